import math
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.cel_value import MAX_DEPTH, UnsafeValueError, is_safe_text, plain_text, plain_value
from extauthz.model.access import JsonValue

SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(st.characters())
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters()), inner))


def nested(depth):
    value: JsonValue = 1
    for level in range(depth):
        value = [value] if level % 2 else {"k": value}
    return value


@pytest.mark.parametrize("text", ["", "admin", "grüße", "日本", "\x01\x7f", "\ufffd"])
def test_ordinary_text_is_safe(text):
    """Text of any script crosses as it is."""
    assert is_safe_text(text)
    assert plain_text(text) == text


@pytest.mark.parametrize("text", ["\0", "admin\0x", "é\0", "\ud800", "a\udfffb", "é\udcff"])
def test_text_that_the_library_would_change_is_refused(text):
    """NUL cuts a string there, and a lone surrogate is no text."""
    assert not is_safe_text(text)
    with pytest.raises(UnsafeValueError):
        plain_text(text)


@given(st.text(st.characters()))
def test_safe_text_is_text_that_has_utf8_and_no_nul(text):
    """The quick test agrees with encoding."""
    try:
        text.encode()
    except UnicodeEncodeError:
        assert not is_safe_text(text)
    else:
        assert is_safe_text(text) == ("\0" not in text)


def test_numbers_become_doubles():
    """As in Envoy's Struct, also beyond the integers that a double holds exactly."""
    value = plain_value({"n": 5, "big": 2**60 + 1, "half": 0.5})
    assert isinstance(value, dict)
    assert value == {"n": 5.0, "big": 2.0**60, "half": 0.5}
    assert all(type(number) is float for number in value.values())


def test_booleans_and_null_stay_what_they_are():
    """`True` is no number."""
    assert plain_value([True, False, None]) == [True, False, None]
    assert [type(plain_value(item)) for item in (True, 1)] == [bool, float]


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, 10**400, -(10**400)])
def test_a_number_that_is_no_finite_double_is_refused(number):
    """JSON has none of them, and they compare in surprising ways."""
    with pytest.raises(UnsafeValueError):
        plain_value([number])


@pytest.mark.parametrize("value", [{"a\0": 1}, {"k": "a\0"}, [["\ud800"]], {"a": {1: 2}}, {1, 2}, object(), b"x"])
def test_anything_unsafe_inside_refuses_the_whole(value):
    """Keys and items are looked at as deep as they go."""
    with pytest.raises(UnsafeValueError):
        plain_value([value])


def test_other_mappings_and_sequences_are_copied_to_plain_ones():
    """The library takes dict and list only."""
    value: Any = plain_value(MappingProxyType({"a": (1, MappingProxyType({}))}))
    assert value == {"a": [1.0, {}]}
    assert type(value) is dict
    assert type(value["a"]) is list
    assert type(value["a"][1]) is dict


def test_nesting_is_bounded():
    """One more than the limit is refused, and so is any depth that would overflow a stack."""
    plain_value(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 5000):
        with pytest.raises(UnsafeValueError):
            plain_value(nested(depth))


@given(JSON)
def test_what_crosses_is_plain_all_the_way_down(value):
    """Any JSON value is copied into safe plain values, or refused."""
    try:
        plain = plain_value(value)
    except UnsafeValueError:
        return
    todo: list[Any] = [plain]
    while todo:
        item = todo.pop()
        assert type(item) in {dict, list, str, bool, float, type(None)}
        if isinstance(item, dict):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list):
            todo += item
        elif isinstance(item, str):
            assert is_safe_text(item)
