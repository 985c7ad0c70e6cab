"""What an allowed request carries on: the law of `extauthz.pdp.upstream`.

A piece of a header is a text; NULL when it is absent or empty, which removes the header; an error when no header can
carry it faithfully, which denies the request; or left.
"""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import (
    OK,
    REQUEST_HEADERS,
    load8,
    load32,
    proxy_remove_header_map_value,
    proxy_replace_header_map_value,
    stop,
)
from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, NULL, TRUE, Cell, Kind, Word
from extauthz.lowering.wasm.runtime.memory import (
    address_of,
    allocate,
    copy,
    find_octet,
    kind_of,
    length_of,
    make_text,
)
from extauthz.lowering.wasm.runtime.protobuf import next_element
from extauthz.lowering.wasm.runtime.values import claim


def joined(left: int, right: int) -> int:
    """Two pieces, one after the other; of two that are no texts the first decides."""
    if kind_of(left) != Kind.TEXT:
        return left
    if kind_of(right) != Kind.TEXT:
        return right
    length = length_of(left) + length_of(right)
    target = allocate(length)
    copy(address_of(right), length_of(right), copy(address_of(left), length_of(left), target))
    return make_text(target, length)


def absent_when_empty(text: int) -> int:
    return NULL if kind_of(text) == Kind.TEXT and length_of(text) == 0 else text


def is_visible(text: int) -> int:
    """Whether a text is visible ASCII, with spaces only inside, and not empty."""
    address = address_of(text)
    length = length_of(text)
    if length == 0 or load8(address) == ord(" ") or load8(address + length - 1) == ord(" "):
        return 0
    for offset in range(length):
        character = load8(address + offset)
        if character < 0x20 or character > 0x7E:
            return 0
    return 1


def checked(value: int) -> int:
    """A header's whole value, when a header can carry it."""
    if kind_of(value) != Kind.TEXT:
        return value
    return value if is_visible(value) else ERROR


def piece(value: int) -> int:
    """A scalar as it is written; numbers are left, since `1` and `1.0` are one number here."""
    if value == TRUE:
        return Word.TRUE
    if value == FALSE:
        return Word.FALSE
    kind = kind_of(value)
    if kind in {Kind.NUMBER, Kind.LEFT}:
        return LEFT
    return value if kind == Kind.TEXT else ERROR


def with_element(whole: int, element: int) -> int:
    """A list with one more element; one that holds a comma, or is not visible ASCII, errs, whatever is left."""
    if kind_of(element) == Kind.TEXT:
        has_comma = find_octet(address_of(element), length_of(element), ord(",")) < length_of(element)
        if has_comma or not is_visible(element):
            return ERROR
    if element == ERROR:
        return ERROR
    if LEFT in {whole, element}:
        return LEFT
    return element if whole == NULL else joined(joined(whole, Word.COMMA), element)


def claim_piece(path: int) -> int:
    """A claim as a piece of a header; the elements of a list with commas between them."""
    value = claim(path)
    if value in {0, NULL}:
        return NULL
    if kind_of(value) != Kind.LIST:
        return absent_when_empty(piece(value))
    position = address_of(value)
    end = position + length_of(value)
    whole = NULL
    for _ in range(length_of(value)):
        if position >= end:
            break
        element = next_element(position, end)
        position = load32(Cell.CURSOR)
        whole = with_element(whole, piece(element))
        if whole == ERROR:
            return ERROR
    return whole


def with_role(whole: int, holds: int, role: int) -> int:
    """A list of roles with one more where the caller holds it."""
    if holds == FALSE or whole == ERROR:
        return whole
    if holds == TRUE:
        return with_element(whole, role)
    return ERROR if holds == ERROR else LEFT


def remove_header(name: int) -> None:
    if proxy_remove_header_map_value(REQUEST_HEADERS, address_of(name), length_of(name)) != OK:
        stop()


def set_header(name: int, value: int) -> None:
    """Set a header to a text, or remove it: all of its values."""
    if kind_of(value) != Kind.TEXT:
        remove_header(name)
        return
    status = proxy_replace_header_map_value(
        REQUEST_HEADERS, address_of(name), length_of(name), address_of(value), length_of(value)
    )
    if status != OK:
        stop()
