from typing import Any

import pytest

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import RegoSet


def test_each_value_has_one_type(call):
    """Of the seven tests exactly one holds."""
    names = ("null", "boolean", "number", "string", "array", "object", "set")
    values: list[Any] = [None, True, 1, 1.5, "a", [], {}, RegoSet()]
    for value in values:
        assert [name for name in names if call(f"is_{name}", value)] == [call("type_name", value)]


@pytest.mark.parametrize("value", ["", "x", "1e", "0x10", "Infinity", "nan", " 1", "1_000", "1e999999", [], {}])
def test_what_is_no_number(call, value):
    """Only JSON numbers of a sane size become numbers."""
    with pytest.raises(BuiltinError):
        call("to_number", value)


def test_casts(call):
    """A cast passes what is of its type, and arrays and sets into each other."""
    assert call("cast_string", "a") == "a"
    assert call("cast_array", RegoSet([2, 1])) == [1, 2]
    assert len(call("cast_set", [1, 1])) == 1
    with pytest.raises(BuiltinError):
        call("cast_object", [])
