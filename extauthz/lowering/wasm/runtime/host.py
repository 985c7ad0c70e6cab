"""One reading of a host, or none: the law of `extauthz.pdp.canonical`."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import load8, store8, store32
from extauthz.lowering.wasm.runtime.layout import Cell
from extauthz.lowering.wasm.runtime.memory import address_of, allocate, find_octet, length_of, make_text
from extauthz.lowering.wasm.runtime.path import hexadecimal


def may_stand_in_name(character: int) -> int:
    if character <= 0x20 or character >= 0x7F:
        return 0
    if character in {ord("%"), ord(","), ord("@"), ord("/")}:
        return 0
    if character in {ord("?"), ord("#"), 0x5C, ord(":")}:
        return 0
    return character not in {ord("["), ord("]")}


def name_length(address: int, length: int) -> int:
    """How long the name is before the port, 0 when it is none."""
    if length == 0 or load8(address) != ord("["):
        for offset in range(length):
            if not may_stand_in_name(load8(address + offset)):
                return offset
        return length
    closing = find_octet(address, length, ord("]"))
    if closing in {length, 1}:
        return 0
    for offset in range(1, closing):
        character = load8(address + offset)
        if hexadecimal(character) < 0 and character != ord(":") and character != ord("."):
            return 0
    return closing + 1


def is_port(address: int, length: int) -> int:
    """Whether the octets are nothing, or a colon and one to five digits."""
    if length == 0:
        return 1
    if length < 2 or length > 6 or load8(address) != ord(":"):
        return 0
    for offset in range(1, length):
        if load8(address + offset) < ord("0") or load8(address + offset) > ord("9"):
            return 0
    return 1


def read_host(raw: int) -> int:
    """Read a host into its cell: lower case, without port and one final dot; 0 when it is no single host name."""
    address = address_of(raw)
    length = name_length(address, length_of(raw))
    if length == 0 or not is_port(address + length, length_of(raw) - length):
        return 0
    name = allocate(length)
    for offset in range(length):
        character = load8(address + offset)
        store8(name + offset, character + 32 if ord("A") <= character <= ord("Z") else character)
    if load8(name + length - 1) == ord("."):
        length -= 1
    store32(Cell.HOST, make_text(name, length))
    return length > 0
