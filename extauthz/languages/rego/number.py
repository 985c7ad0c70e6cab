"""Numbers with the precision that policies are used to.

Integers are exact at any size. Other numbers are decimal texts to OPA, read into floats of 64 bits of mantissa for
arithmetic and written back as the shortest decimal that reads the same: `0.1 + 0.2` is `0.3`. Here such a number is a
`float` when the shortest text of that float is the number, else a `Decimal`; the three types compare and hash alike.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import TypeAlias

Number: TypeAlias = int | float | Decimal

MAX_DIGITS = 4_000
"""Of an integer; a float's exponent is bounded by the same: beyond, arithmetic would take unbounded time."""

_MANTISSA_BITS = 64
_SHORTEST_DIGITS = 21
"""64 bits of mantissa are always told apart by this many decimal digits."""
_INTEGER = re.compile(r"-?(0|[1-9][0-9]*)", re.ASCII)
_JSON_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,6})?", re.ASCII)


def is_number(value: object) -> bool:
    """Whether a value is a number; booleans are none."""
    kind = type(value)
    return kind is int or kind is float or kind is Decimal


def parse_number(text: str) -> Number:
    """The number that a JSON text stands for.

    Raises:
        ValueError: not a JSON number, or one beyond our limits.
    """
    if len(text) > MAX_DIGITS or not _JSON_NUMBER.fullmatch(text):
        raise ValueError("not a number, or one that is out of range")
    if _INTEGER.fullmatch(text):
        return int(text)
    number = Decimal(text)
    if number and abs(number.adjusted()) > MAX_DIGITS:
        raise ValueError("a number is out of range")
    return _narrowed(number)


def number_text(number: Number) -> str:
    """The number as JSON."""
    if isinstance(number, Decimal):
        return str(number)
    return repr(number)


def as_integer(number: Number) -> int | None:
    """The number as an integer; None when it has a fraction."""
    if isinstance(number, int):
        return number
    is_whole = number.is_integer() if isinstance(number, float) else number == number.to_integral_value()
    return int(number) if is_whole else None


def calculate(
    exact: Callable[[Fraction, Fraction], Fraction],
    left: Number,
    right: Number,
) -> Number:
    """An operation on floats: operands and result are rounded to 64 bits of mantissa."""
    return _number(exact(_rounded(_fraction(left)), _rounded(_fraction(right))))


def truncated(number: Number) -> int:
    """The integer part, towards zero."""
    return math.trunc(number)


def float_quotient(left: Number, right: Number) -> Number:
    """The quotient as a float; `right` is not zero."""
    return calculate(lambda x, y: x / y, left, right)


def _fraction(number: Number) -> Fraction:
    return Fraction(Decimal(repr(number)) if isinstance(number, float) else number)


def _rounded(value: Fraction) -> Fraction:
    """The nearest value with 64 bits of mantissa, ties to even."""
    if value.denominator == 1 and value.numerator.bit_length() <= _MANTISSA_BITS:
        return value
    mantissa, shift = _mantissa(abs(value.numerator), value.denominator)
    nearest = Fraction(mantissa, 1 << shift) if shift > 0 else Fraction(mantissa << -shift)
    return nearest if value > 0 else -nearest


def _mantissa(numerator: int, denominator: int) -> tuple[int, int]:
    """The 64 bits nearest to a positive quotient, ties to even, and how far they are shifted left."""
    shift = _MANTISSA_BITS - (numerator.bit_length() - denominator.bit_length())
    mantissa = _nearest(numerator, denominator, shift)
    if mantissa.bit_length() > _MANTISSA_BITS:
        shift -= 1
        mantissa = _nearest(numerator, denominator, shift)
    return mantissa, shift


def _nearest(numerator: int, denominator: int, shift: int) -> int:
    if shift >= 0:
        numerator <<= shift
    else:
        denominator <<= -shift
    whole, rest = divmod(numerator, denominator)
    return whole + (2 * rest > denominator or (2 * rest == denominator and whole & 1))


def _number(value: Fraction) -> Number:
    """The shortest decimal that rounds to the same 64 bits, as a number."""
    target = _rounded(value)
    if target.denominator == 1 and abs(target.numerator) < 1 << 63:
        return target.numerator
    numerator, denominator = Decimal(target.numerator), Decimal(target.denominator)
    wanted = _mantissa(abs(target.numerator), target.denominator)
    # More digits are never farther away, so that the fewest that do can be searched for.
    fewest, enough = 1, _SHORTEST_DIGITS
    while fewest < enough:
        digits = (fewest + enough) // 2
        if _mantissa(*_divided(numerator, denominator, digits).copy_abs().as_integer_ratio()) == wanted:
            enough = digits
        else:
            fewest = digits + 1
    decimal = _divided(numerator, denominator, enough)
    integer = as_integer(decimal)
    return _narrowed(decimal) if integer is None else integer


_CONTEXTS = {
    digits: Context(prec=digits, rounding=ROUND_HALF_EVEN, Emax=99_999, Emin=-99_999)
    for digits in range(1, _SHORTEST_DIGITS + 1)
}


def _divided(numerator: Decimal, denominator: Decimal, digits: int) -> Decimal:
    """The quotient to so many digits."""
    return _CONTEXTS[digits].divide(numerator, denominator)


def _narrowed(number: Decimal) -> float | Decimal:
    approximate = float(number)
    if math.isfinite(approximate) and Decimal(repr(approximate)) == number:
        return approximate
    return number
