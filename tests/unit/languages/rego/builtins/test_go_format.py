from decimal import Decimal

import pytest

from extauthz.languages.rego.builtins.go_format import go_format, rego_text
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import RegoSet


@pytest.mark.parametrize(
    ("template", "values", "want"),
    [
        ("%d", [1.0], "%!d(float64=1)"),
        ("%v", [1e21], "1e+21"),
        ("%v", [123456789.5], "123456789.5"),
        ("%g", [0.00001], "1e-05"),
        ("%e", [1234.5], "1.234500e+03"),
        ("%s", [3], "%!s(int=3)"),
        ("%s", [1 << 70], str(1 << 70)),
        ("%+d|% d|%-4d|", [5, 5, 5], "+5| 5|5   |"),
        ("%6.2f|%-8s|%.2s", [3.14159, "ab", "abcdef"], "  3.14|ab      |ab"),
        ("%*d", [4, 7], "   7"),
        ("%c%U%q", [0x41, 0x41, 0x41], "AU+0041'A'"),
        ("%x %X % x", ["hi", "hi", "hi"], "6869 6869 68 69"),
        ("%b %o %#x", [5, 8, 255], "101 10 0xff"),
        ("%z", ["a"], "%!z(string=a)"),
        ("100%", [], "100%!(NOVERB)"),
        ("%v", [Decimal("0.33333333333333333334")], "0.3333333333333333"),
    ],
)
def test_as_go(template, values, want):
    """Texts as Go's fmt.Sprintf makes them, errors in the text included."""
    assert go_format(template, values) == want


def test_width_is_bounded():
    """A width cannot be used to fill the memory."""
    with pytest.raises(BuiltinError):
        go_format("%99999999d", [1])


def test_values_as_rego_writes_them():
    """Composite values are in Rego's syntax, members in order."""
    assert rego_text({"b": [1, None], "a": RegoSet()}) == '{"a": set(), "b": [1, null]}'
    assert rego_text(RegoSet(["b", "a", True])) == '{true, "a", "b"}'
