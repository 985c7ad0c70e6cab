"""One reading of a path, or none: the law of `extauthz.pdp.canonical`."""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import load8, load32, store8, store32
from extauthz.lowering.wasm.runtime.layout import Cell, Configured, Option
from extauthz.lowering.wasm.runtime.memory import address_of, allocate, find_octet, is_utf8, length_of, make_text


def keeps(option: int) -> int:
    return load32(Configured.BITS) & option


def hexadecimal(character: int) -> int:
    """The value of a hexadecimal digit, -1 of another character."""
    if ord("0") <= character <= ord("9"):
        return character - ord("0")
    lower = character | 0x20
    if ord("a") <= lower <= ord("f"):
        return lower - ord("a") + 10
    return -1


def upper(character: int) -> int:
    return character - 32 if ord("a") <= character <= ord("z") else character


def escape_at(address: int, end: int) -> int:
    """The octet of the escape that begins here, -1 when it is malformed."""
    if address + 3 > end:
        return -1
    high = hexadecimal(load8(address + 1))
    low = hexadecimal(load8(address + 2))
    if high < 0 or low < 0:
        return -1
    return (high << 4) + low


def may_stand_raw(character: int, previous: int) -> int:
    """Whether a character other than `%` may stand in a path (RFC 3986 section 3.3), under the set's options."""
    if character < ord("!") or character > ord("~") or character in {ord("#"), 0x5C}:
        return 0
    if character == ord(";"):
        return keeps(Option.KEEP_PARAMETERS)
    if character == ord("/") and previous == ord("/"):
        return keeps(Option.KEEP_REPEATED_SLASH)
    return 1


def read_escapes(start: int, end: int, decoded: int) -> int:
    """Decode a path but for what an option keeps; where that ends, or 0 when the path has no single reading."""
    position = start
    previous = 0
    for _ in range(end - start):
        if position >= end:
            break
        character = load8(position)
        if character != ord("%"):
            if not may_stand_raw(character, previous):
                return 0
            store8(decoded, character)
            decoded += 1
            position += 1
            previous = character
            continue
        previous = 0
        octet = escape_at(position, end)
        if octet < 0x20 or octet == 0x7F:  # malformed, or a control
            return 0
        kept = 0
        if octet in {ord("/"), 0x5C}:
            kept = 3 if keeps(Option.KEEP_ENCODED_SLASH) else -1
        if octet == ord(";") and not keeps(Option.KEEP_PARAMETERS):
            return 0
        if octet == ord("%") and escape_at(position + 2, end) >= 0:
            kept = 5 if keeps(Option.KEEP_DOUBLE_ENCODING) else -1
        if kept < 0:
            return 0
        if kept == 0:
            store8(decoded, octet)
            decoded += 1
            position += 3
        for offset in range(kept):
            store8(decoded + offset, upper(load8(position + offset)))
        decoded += kept
        position += kept
    return decoded


def is_dot_segment(address: int, length: int) -> int:
    if length == 0 or length > 2 or load8(address) != ord("."):
        return 0
    return length == 1 or load8(address + 1) == ord(".")


def read_segments(address: int, end: int) -> int:
    """Split a decoded path at its slashes; 0 when it has a dot segment."""
    segments = allocate((end - address + 1) << 3)
    count = 0
    for _ in range(end - address):
        if address >= end:
            break
        address += 1  # the slash
        length = find_octet(address, end - address, ord("/"))
        if is_dot_segment(address, length) and not keeps(Option.KEEP_DOT_SEGMENTS):
            return 0
        store32(segments + (count << 3), address)
        store32(segments + (count << 3) + 4, length)
        count += 1
        address += length
    store32(Cell.SEGMENTS, segments)
    store32(Cell.SEGMENT_COUNT, count)
    return 1


def read_path(target: int) -> int:
    """Read the path of a request's target into the cells; 0 when it has no single reading."""
    start = address_of(target)
    length = find_octet(start, length_of(target), ord("?"))
    if length == 0 or load8(start) != ord("/"):
        return 0
    decoded = allocate(length)
    end = read_escapes(start, start + length, decoded)
    if end == 0 or not is_utf8(decoded, end - decoded):
        return 0
    if length > 1 and not read_segments(decoded, end):
        return 0
    count = load32(Cell.SEGMENT_COUNT)
    if (
        count > 0
        and load32(load32(Cell.SEGMENTS) + (count << 3) - 4) == 0
        and not keeps(Option.TRAILING_SLASH_DISTINCT)
    ):
        # An empty last segment: the slash before it goes too, but for the path's first.
        store32(Cell.SEGMENT_COUNT, count - 1)
        end = end - 1 if end - decoded > 1 else end
    store32(Cell.PATH, make_text(decoded, end - decoded))
    return 1


def rest_from(segment: int) -> int:
    """The segments from this one on, joined by slashes: a text."""
    if segment >= load32(Cell.SEGMENT_COUNT):
        return make_text(address_of(load32(Cell.PATH)), 0)
    address = load32(load32(Cell.SEGMENTS) + (segment << 3))
    end = address_of(load32(Cell.PATH)) + length_of(load32(Cell.PATH))
    return make_text(address, end - address)


def captured_segment(variable: int) -> int:
    """What a variable of the owner's pattern binds, by its number: one segment."""
    segment = load32(Cell.SEGMENTS) + (load32(load32(Cell.CAPTURES) + (variable << 2)) << 3)
    return make_text(load32(segment), load32(segment + 4))


def captured_rest(variable: int) -> int:
    """What the last variable of the owner's pattern binds: the rest of the path."""
    return rest_from(load32(load32(Cell.CAPTURES) + (variable << 2)))
