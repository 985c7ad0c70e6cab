"""Memory, octets and texts."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import grow_memory, load8, load32, memory_pages, stop, store8, store32
from extauthz.lowering.wasm.runtime.layout import FALSE, RECORD_BYTES, TRUE, Cell, Configured, Kind


def allocate(size: int) -> int:
    """Memory until the end of the request; a module that gets none stops."""
    address = load32(Cell.HEAP_NEXT)
    following = address + ((size + 7) & -8)
    if size < 0 or following < address:
        stop()
    wanted = ((following + 65535) >> 16) - memory_pages()
    if wanted > 0 and grow_memory(wanted) < 0:
        stop()
    store32(Cell.HEAP_NEXT, following)
    return address


def proxy_on_memory_allocate(size: int) -> int:
    """Where the host puts what it was asked for."""
    return allocate(size)


def reset() -> None:
    """Forget the last request."""
    for cell in range(Cell.HEAP_NEXT, Cell.ITEM + 1):
        if cell & 3 == 0:
            store32(cell, 0)
    store32(Cell.HEAP_NEXT, load32(Configured.HEAP_BEGIN))


def make_value(kind: int, first: int, second: int) -> int:
    """A record."""
    record = allocate(RECORD_BYTES)
    store32(record, kind)
    store32(record + 4, first)
    store32(record + 8, second)
    return record


def make_text(address: int, length: int) -> int:
    return make_value(Kind.TEXT, address, length)


def kind_of(value: int) -> int:
    return load32(value)


def address_of(text: int) -> int:
    return load32(text + 4)


def length_of(text: int) -> int:
    return load32(text + 8)


def boolean(truth: int) -> int:
    return TRUE if truth else FALSE


def octets_equal(left: int, right: int, length: int) -> int:
    for offset in range(length):
        if load8(left + offset) != load8(right + offset):
            return 0
    return 1


def texts_equal(left: int, right: int) -> int:
    if length_of(left) != length_of(right):
        return 0
    return octets_equal(address_of(left), address_of(right), length_of(left))


def is_text(address: int, length: int, text: int) -> int:
    """Whether the octets are those of the text."""
    return length == length_of(text) and octets_equal(address, address_of(text), length)


def compare(left: int, left_length: int, right: int, right_length: int) -> int:
    """Below 0, 0 or above, octet by octet: for UTF-8 that is the order of code points."""
    for offset in range(min(right_length, left_length)):
        difference = load8(left + offset) - load8(right + offset)
        if difference != 0:
            return difference
    return left_length - right_length


def copy(source: int, length: int, target: int) -> int:
    """Copy octets; where they end is returned."""
    for offset in range(length):
        store8(target + offset, load8(source + offset))
    return target + length


def find_octet(address: int, length: int, octet: int) -> int:
    """The offset of the first, the length when there is none."""
    for offset in range(length):
        if load8(address + offset) == octet:
            return offset
    return length


def find_sorted(table: int, address: int, length: int) -> int:
    """What a table says of a text; 0 when it does not hold it.

    A table is its number of rows, then rows of 8 octets, a text and a number, in the order of the texts.
    """
    low = 0
    high = load32(table)
    for _ in range(32):
        if low >= high:
            break
        middle = (low + high) >> 1
        row = table + 4 + (middle << 3)
        text = load32(row)
        order = compare(address, length, address_of(text), length_of(text))
        if order == 0:
            return load32(row + 4)
        if order < 0:
            high = middle
        else:
            low = middle + 1
    return 0


def utf8_length(address: int, end: int) -> int:
    """How many octets the code point takes that begins here; 0 when it is none (RFC 3629, section 4)."""
    first = load8(address)
    if first < 0x80:
        return 1
    size = 2 if first < 0xE0 else (3 if first < 0xF0 else 4)
    if first < 0xC2 or first > 0xF4 or address + size > end:
        return 0
    second = load8(address + 1)
    lowest = 0xA0 if first == 0xE0 else (0x90 if first == 0xF0 else 0x80)
    highest = 0x9F if first == 0xED else (0x8F if first == 0xF4 else 0xBF)
    if second < lowest or second > highest:
        return 0
    for offset in range(2, size):
        if load8(address + offset) & 0xC0 != 0x80:
            return 0
    return size


def is_utf8(address: int, length: int) -> int:
    """Whether the octets are UTF-8: without surrogates and overlong forms."""
    end = address + length
    for _ in range(length):
        if address >= end:
            break
        size = utf8_length(address, end)
        if size == 0:
            return 0
        address += size
    return 1


def is_comparable(text: int) -> int:
    """Whether the text is UTF-8 without NUL: the authorizer compares no other."""
    address = address_of(text)
    length = length_of(text)
    return find_octet(address, length, 0) == length and is_utf8(address, length)
