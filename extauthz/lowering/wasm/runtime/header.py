"""The request's headers, repeated ones apart, as the host writes them down once."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import OK, REQUEST_HEADERS, load32, proxy_get_header_map_pairs, store32
from extauthz.lowering.wasm.runtime.layout import ERROR, Cell
from extauthz.lowering.wasm.runtime.memory import allocate, boolean, is_comparable, is_text, make_text


def read_headers() -> int:
    """Ask for all headers; 0 when the host has failed."""
    if proxy_get_header_map_pairs(REQUEST_HEADERS, Cell.HOST_ADDRESS, Cell.HOST_LENGTH) != OK:
        return 0
    pairs = load32(Cell.HOST_ADDRESS)
    end = pairs + load32(Cell.HOST_LENGTH)
    if end - pairs < 4:
        return 0
    count = load32(pairs)
    octets = pairs + 4 + (count << 3)
    if count < 0 or count > 65536 or octets > end:
        return 0
    headers = allocate(count << 4)
    for number in range(count):
        header = headers + (number << 4)
        name_length = load32(pairs + 4 + (number << 3))
        value_length = load32(pairs + 8 + (number << 3))
        store32(header, octets)
        store32(header + 4, name_length)
        octets += name_length + 1
        store32(header + 8, octets)
        store32(header + 12, value_length)
        octets += value_length + 1
    if octets != end:
        return 0
    store32(Cell.HEADERS, headers)
    store32(Cell.HEADER_COUNT, count)
    return 1


def header_count(name: int) -> int:
    """How many headers have this name."""
    found = 0
    for number in range(load32(Cell.HEADER_COUNT)):
        header = load32(Cell.HEADERS) + (number << 4)
        if is_text(load32(header), load32(header + 4), name):
            found += 1
    return found


def raw_header(name: int) -> int:
    """The value of the first header of this name as it was sent, 0 when there is none."""
    for number in range(load32(Cell.HEADER_COUNT)):
        header = load32(Cell.HEADERS) + (number << 4)
        if is_text(load32(header), load32(header + 4), name):
            return make_text(load32(header + 8), load32(header + 12))
    return 0


def has_header(name: int) -> int:
    return boolean(header_count(name) > 0)


def header_value(name: int) -> int:
    """The value of the only header of this name: an error when there is none, are several, or it is no text."""
    if header_count(name) != 1:
        return ERROR
    value = raw_header(name)
    return value if is_comparable(value) else ERROR
