from decimal import Decimal
from fractions import Fraction

import pytest

from extauthz.languages.rego.number import (
    as_integer,
    calculate,
    float_quotient,
    is_number,
    number_text,
    parse_number,
    truncated,
)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1", 1),
        ("-0", 0),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_reading(text, want):
    """Integers are exact, other numbers floats where those suffice."""
    assert parse_number(text) == want


def test_decimals_beyond_a_double_stay():
    """What a float would round is kept as it is written."""
    number = parse_number("0.33333333333333333334")
    assert isinstance(number, Decimal)
    assert number_text(number) == "0.33333333333333333334"
    assert parse_number("1e400") > 10**399


@pytest.mark.parametrize("text", ["", "x", "1.", ".5", "01", "+1", "0x1", "1e9999999", "1" * 5_000, "1e5000", "NaN"])
def test_refused(text):
    """What is no JSON number, or would take unbounded time."""
    with pytest.raises(ValueError, match="number"):
        parse_number(text)


def test_arithmetic_is_of_64_bits():
    """Results are those of a float with 64 bits of mantissa, in the shortest text."""
    assert calculate(Fraction.__add__, 0.1, 0.2) == 0.3
    assert number_text(float_quotient(1, 3)) == "0.33333333333333333334"
    assert number_text(float_quotient(2, 3)) == "0.6666666666666666667"
    assert float_quotient(6, 3) == 2
    assert calculate(Fraction.__mul__, 1e30, 1.5) == 1_500_000_000_000_000_000_000_000_000_000


def test_integers():
    """A fraction is none, and booleans are no numbers."""
    assert as_integer(2.0) == 2
    assert as_integer(2.5) is None
    assert as_integer(Decimal("1e20")) == 10**20
    assert truncated(-1.9) == -1
    assert not is_number(True)
