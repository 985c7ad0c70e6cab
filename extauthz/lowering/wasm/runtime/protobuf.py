"""The request's dynamic metadata: serialised protobuf (Encoding), envoy.config.core.v3.Metadata and Struct."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import load8, load32, store32
from extauthz.lowering.wasm.runtime.layout import FALSE, LEFT, NULL, TRUE, Cell, Kind
from extauthz.lowering.wasm.runtime.memory import address_of, is_text, length_of, make_text, make_value


def read_varint(position: int, end: int) -> int:
    """A number, whose end goes to the cursor; -1 when it is none of 31 bits: then the cursor is at the end."""
    number = 0
    store32(Cell.CURSOR, end)
    for shift in range(5):
        if position >= end:
            return -1
        octet = load8(position)
        position += 1
        if shift == 4 and octet > 7:
            return -1
        number |= (octet & 0x7F) << (shift * 7)
        if octet < 0x80:
            store32(Cell.CURSOR, position)
            return number
    return -1


def read_length(position: int, end: int) -> int:
    """The length of what begins at the cursor; -1 when that does not end before `end`."""
    length = read_varint(position, end)
    if length < 0 or length > end - load32(Cell.CURSOR):
        return -1
    return length


def value_of_entry(entry: int, end: int, key: int) -> int:
    """The value of one entry when it has the key, else 0; -1 when it is no entry."""
    is_key = 1 if length_of(key) == 0 else 0
    value = make_text(entry, 0)
    for _ in range(2):
        if entry >= end:
            break
        tag = load8(entry)
        length = read_length(entry + 1, end)
        if length < 0:
            return -1
        content = load32(Cell.CURSOR)
        if tag == 0x0A:
            is_key = is_text(content, length, key)
        elif tag == 0x12:
            value = make_text(content, length)
        else:
            return -1
        entry = content + length
    return value if is_key else 0


def find_entry(entries: int, end: int, key: int) -> int:
    """The value of a key in a `map<string, message>` of field number 1: its octets, as a text; 0 when it is absent.

    What is no such map is left, as -1: no octets that Envoy writes.
    """
    position = entries
    for _ in range(end - entries):
        if position >= end:
            return 0
        tag = load8(position)
        length = read_length(position + 1, end)
        if length < 0 or tag & 7 != 2:
            return -1
        entry = load32(Cell.CURSOR)
        position = entry + length
        if tag != 0x0A:  # another field of the message
            continue
        value = value_of_entry(entry, position, key)
        if value != 0:
            return value
    return 0


def read_value(address: int, length: int) -> int:
    """A serialised google.protobuf.Value as a value; what is none is left."""
    end = address + length
    if length < 2:
        return LEFT
    tag = load8(address)
    if tag == 0x08:
        return NULL
    if tag == 0x20:
        return TRUE if load8(address + 1) else FALSE
    if tag == 0x11:
        return make_value(Kind.NUMBER, address + 1, 8) if length == 9 else LEFT
    size = read_length(address + 1, end)
    content = load32(Cell.CURSOR)
    if size < 0 or content + size != end:
        return LEFT
    if tag == 0x1A:
        return make_text(content, size)
    if tag == 0x2A:
        return make_value(Kind.MAP, content, size)
    if tag == 0x32:
        return make_value(Kind.LIST, content, size)
    return LEFT


def find_field(map_value: int, key: int) -> int:
    """The value of a key of a map; 0 when it is absent."""
    found = find_entry(address_of(map_value), address_of(map_value) + length_of(map_value), key)
    if found < 0:
        return LEFT
    return read_value(address_of(found), length_of(found)) if found else 0


def next_element(position: int, end: int) -> int:
    """The element of a serialised ListValue that begins here; behind it goes the cursor. What is none is left."""
    if load8(position) != 0x0A:
        store32(Cell.CURSOR, end)
        return LEFT
    length = read_length(position + 1, end)
    if length < 0:
        store32(Cell.CURSOR, end)
        return LEFT
    content = load32(Cell.CURSOR)
    value = read_value(content, length)
    store32(Cell.CURSOR, content + length)
    return value
