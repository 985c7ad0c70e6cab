"""CEL's operators (cel-spec, "Semantics") over values, with one more outcome than CEL has: left to the authorizer.

An operand that is left makes the result left unless it is the same whatever that operand is. A strict operator errs
when an operand does.
"""

from __future__ import annotations

from extauthz.lowering.wasm.intrinsics import doubles_equal, doubles_less, load8, load32, store32
from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, TRUE, Cell, Kind
from extauthz.lowering.wasm.runtime.memory import (
    address_of,
    allocate,
    boolean,
    compare,
    is_comparable,
    kind_of,
    length_of,
    make_value,
    octets_equal,
    texts_equal,
)
from extauthz.lowering.wasm.runtime.protobuf import find_field, next_element


def both(left: int, right: int) -> int:
    """`&&`: false beats what is left, which beats an error, which beats true. What is no BOOL errs."""
    if FALSE in {left, right}:
        return FALSE
    if LEFT in {left, right}:
        return LEFT
    return TRUE if left == TRUE and right == TRUE else ERROR


def either(left: int, right: int) -> int:
    """`||`: true beats what is left, which beats an error, which beats false."""
    if TRUE in {left, right}:
        return TRUE
    if LEFT in {left, right}:
        return LEFT
    return FALSE if left == FALSE and right == FALSE else ERROR


def negated(value: int) -> int:
    if value == LEFT:
        return LEFT
    if value == TRUE:
        return FALSE
    return TRUE if value == FALSE else ERROR


def unfit(left: int, right: int) -> int:
    """What a strict operator comes to whatever it does: an error, or left; 0 when its operands are values."""
    if ERROR in {left, right}:
        return ERROR
    return LEFT if LEFT in {left, right} else 0


def scalars_equal(left: int, right: int) -> int:
    """Of values that are not both lists; maps are left. Values of unlike kinds are not equal."""
    kind = kind_of(left)
    if kind != kind_of(right):
        return FALSE
    if kind == Kind.TEXT:
        return boolean(texts_equal(left, right))
    if kind == Kind.NUMBER:
        return boolean(doubles_equal(address_of(left), address_of(right)))
    if kind in {Kind.BOOLEAN, Kind.NULL}:
        return boolean(left == right)
    return LEFT


def lists_equal(left: int, right: int) -> int:
    """Element by element; lists within lists are left."""
    left_position = address_of(left)
    left_end = left_position + length_of(left)
    right_position = address_of(right)
    right_end = right_position + length_of(right)
    outcome = TRUE
    for _ in range(length_of(left) + 1):
        if left_position >= left_end or right_position >= right_end:
            break
        left_element = next_element(left_position, left_end)
        left_position = load32(Cell.CURSOR)
        right_element = next_element(right_position, right_end)
        right_position = load32(Cell.CURSOR)
        equality = LEFT if LEFT in {left_element, right_element} else scalars_equal(left_element, right_element)
        outcome = both(outcome, equality)
    if left_position < left_end or right_position < right_end:
        return FALSE
    return outcome


def equal(left: int, right: int) -> int:
    """`==`."""
    spoiled = unfit(left, right)
    if spoiled != 0:
        return spoiled
    if kind_of(left) == Kind.LIST and kind_of(right) == Kind.LIST:
        return lists_equal(left, right)
    return scalars_equal(left, right)


def less(left: int, right: int, or_equal: int) -> int:
    """`<`, or `<=`: of two numbers, two texts or two BOOLs."""
    spoiled = unfit(left, right)
    if spoiled != 0:
        return spoiled
    kind = kind_of(left)
    if kind != kind_of(right):
        return ERROR
    if kind == Kind.NUMBER:
        is_equal = doubles_equal(address_of(left), address_of(right))
        return boolean(doubles_less(address_of(left), address_of(right)) or (or_equal and is_equal))
    if kind == Kind.TEXT:
        order = compare(address_of(left), length_of(left), address_of(right), length_of(right))
        return boolean(order < 0 or (or_equal and order == 0))
    if kind == Kind.BOOLEAN:
        return boolean(left < right or (or_equal and left == right))  # FALSE stands before TRUE
    return ERROR


def contained(element: int, container: int) -> int:
    """`in`: of a list. A map is left, anything else errs."""
    spoiled = unfit(element, container)
    if spoiled != 0:
        return spoiled
    if kind_of(container) != Kind.LIST:
        return LEFT if kind_of(container) == Kind.MAP else ERROR
    position = address_of(container)
    end = position + length_of(container)
    outcome = FALSE
    for _ in range(length_of(container)):
        if position >= end or outcome == TRUE:
            break
        member = next_element(position, end)
        position = load32(Cell.CURSOR)
        outcome = either(outcome, LEFT if member == LEFT else equal(element, member))
    return outcome


def unfit_texts(left: int, right: int) -> int:
    """As `unfit`, of an operator on texts."""
    spoiled = unfit(left, right)
    if spoiled != 0:
        return spoiled
    return 0 if kind_of(left) == Kind.TEXT and kind_of(right) == Kind.TEXT else ERROR


def starts_with(text: int, prefix: int) -> int:
    spoiled = unfit_texts(text, prefix)
    if spoiled != 0:
        return spoiled
    if length_of(text) < length_of(prefix):
        return FALSE
    return boolean(octets_equal(address_of(text), address_of(prefix), length_of(prefix)))


def ends_with(text: int, suffix: int) -> int:
    spoiled = unfit_texts(text, suffix)
    if spoiled != 0:
        return spoiled
    before = length_of(text) - length_of(suffix)
    if before < 0:
        return FALSE
    return boolean(octets_equal(address_of(text) + before, address_of(suffix), length_of(suffix)))


def contains(text: int, part: int) -> int:
    spoiled = unfit_texts(text, part)
    if spoiled != 0:
        return spoiled
    for offset in range(length_of(text) - length_of(part) + 1):
        if octets_equal(address_of(text) + offset, address_of(part), length_of(part)):
            return TRUE
    return FALSE


def store_double(number: int, target: int) -> None:
    """Write a number that is not negative, and below 2^31, as a double."""
    store32(target, 0)
    store32(target + 4, 0)
    if number == 0:
        return
    exponent = 0
    for bit in range(31):
        if number >> bit == 1:
            exponent = bit
    fraction = number - (1 << exponent)  # below the leading bit, `exponent` bits
    high = fraction >> (exponent - 20) if exponent > 20 else fraction << (20 - exponent)
    store32(target + 4, ((exponent + 1023) << 20) + high)
    if exponent > 20:
        store32(target, fraction << (52 - exponent))


def make_number(number: int) -> int:
    """A number that is not negative."""
    target = allocate(8)
    store_double(number, target)
    return make_value(Kind.NUMBER, target, 8)


def size(value: int) -> int:
    """`size()`: code points of a text, elements of a list; a map is left."""
    if value in {ERROR, LEFT}:
        return value
    kind = kind_of(value)
    position = address_of(value)
    end = position + length_of(value)
    count = 0
    if kind == Kind.TEXT:
        for address in range(position, end):
            if load8(address) & 0xC0 != 0x80:
                count += 1
        return make_number(count)
    if kind == Kind.LIST:
        for _ in range(length_of(value)):
            if position >= end:
                break
            next_element(position, end)
            position = load32(Cell.CURSOR)
            count += 1
        return make_number(count)
    return LEFT if kind == Kind.MAP else ERROR


def crossing_text(text: int) -> int:
    """A text with NUL errs; one that is no UTF-8 is left: what the issuer wrote is not known here."""
    if is_comparable(text):
        return text
    for address in range(address_of(text), address_of(text) + length_of(text)):
        if load8(address) == 0:
            return ERROR
    return LEFT


def crossing(value: int) -> int:
    """A value as the authorizer lets it cross into CEL: text without NUL, alone or in a list. Objects are left."""
    kind = kind_of(value)
    if kind == Kind.TEXT:
        return crossing_text(value)
    if kind == Kind.MAP:
        return LEFT
    if kind != Kind.LIST:
        return value
    position = address_of(value)
    end = position + length_of(value)
    outcome = value
    for _ in range(length_of(value)):
        if position >= end:
            break
        element = next_element(position, end)
        position = load32(Cell.CURSOR)
        if kind_of(element) == Kind.TEXT:
            element = crossing_text(element)
        if element == ERROR:
            return ERROR
        if element == LEFT or kind_of(element) == Kind.LIST or kind_of(element) == Kind.MAP:
            outcome = LEFT
    return outcome


def claim_above(path: int) -> int:
    """The object that holds the last key of a path into the claims; 0 when there is none, LEFT when it is not known.

    A path is how many keys it has, then each key's text.
    """
    value = load32(Cell.CLAIMS)
    for number in range(load32(path) - 1):
        if value == 0 or kind_of(value) != Kind.MAP:
            break
        value = find_field(value, load32(path + 4 + (number << 2)))
    if value == LEFT:
        return LEFT
    return value if value != 0 and kind_of(value) == Kind.MAP else 0


def claim(path: int) -> int:
    """The value at a path into the claims, whatever it is; 0 when it is absent, LEFT when it is not known."""
    above = claim_above(path)
    if above in {0, LEFT}:
        return above
    return find_field(above, load32(path + (load32(path) << 2)))


def claim_value(path: int) -> int:
    """`claims.a.b`: an error when it is absent."""
    found = claim(path)
    return ERROR if found == 0 else crossing(found)


def has_claim(path: int) -> int:
    """`has(claims.a.b)`: an error when what is above it is no object."""
    above = claim_above(path)
    if above == LEFT:
        return LEFT
    if above == 0:
        return ERROR
    found = find_field(above, load32(path + (load32(path) << 2)))
    return LEFT if found == LEFT else boolean(found != 0)
