from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.query import MAX_PARAMETERS, QueryError, parse_query


@pytest.mark.parametrize(
    ("target", "parameters"),
    [
        ("/", {}),
        ("/a?", {}),
        ("/a?&&", {}),
        ("/a?x=1", {"x": ("1",)}),
        ("/a?x=1&y=2&x=3", {"x": ("1", "3"), "y": ("2",)}),
        ("/a?x", {"x": ("",)}),
        ("/a?=1", {"": ("1",)}),
        ("/a?x=1=2", {"x": ("1=2",)}),
        ("/a?x=1?y=2", {"x": ("1?y=2",)}),
        ("/a?x=1;y=2", {"x": ("1;y=2",)}),
        ("/a?x=a+b%2Bc%20d", {"x": ("a b+c d",)}),
        ("/a?%78=%C3%A9", {"x": ("é",)}),
        ("/a?é=日", {"é": ("日",)}),
        ("/a?x=%00", {"x": ("\0",)}),
    ],
)
def test_parameters_are_split_and_decoded(target, parameters):
    """As a browser's form would be, each name with all its values in order."""
    assert parse_query(target) == parameters


@pytest.mark.parametrize("value", ["%", "%4", "%zz", "%ff", "%C3", "%ed%a0%80", "%c0%af", "\udcff"])
def test_a_value_that_cannot_be_decoded_is_there_but_unknown(value):
    """Its name is known, so only its readers fail."""
    assert parse_query(f"/a?x={value}&y=1") == {"x": (None,), "y": ("1",)}


@pytest.mark.parametrize("name", ["%", "%zz", "%ff", "x%00", "\udcff"])
def test_a_name_that_cannot_be_decoded_spoils_the_query(name):
    """It might be any name to another reader."""
    with pytest.raises(QueryError):
        parse_query(f"/a?y=1&{name}=2")


def test_the_number_of_parameters_is_bounded():
    """The last one too many refuses them all."""
    assert len(parse_query("/?" + "&".join(f"p{i}" for i in range(MAX_PARAMETERS)))) == MAX_PARAMETERS
    with pytest.raises(QueryError):
        parse_query("/?" + "&" * MAX_PARAMETERS)


@given(st.lists(st.tuples(st.text(min_size=1), st.text())))
def test_what_a_form_encodes_comes_back(pairs):
    """Encoding by the standard library and decoding here is the identity."""
    if any("\0" in name for name, _ in pairs):
        with pytest.raises(QueryError):
            parse_query("/?" + urlencode(pairs))
        return
    expected: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        expected[name] = (*expected.get(name, ()), value)
    assert parse_query("/?" + urlencode(pairs)) == expected
