import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import (
    BoxedKey,
    RegoSet,
    bytes_text,
    compare,
    equal,
    json_text,
    key_of,
    object_key,
    parse_json,
    sort,
    text_bytes,
    to_json,
    unboxed,
)

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
HASHABLE = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(HASHABLE.map(object_key), inner, max_size=3)
        | st.lists(inner, max_size=3).map(RegoSet)
    ),
    max_leaves=10,
)


@given(VALUES, VALUES)
def test_three_notions_of_equality_agree(one, other):
    """Equal values have one key and no order, others have another key and one."""
    assert equal(one, other) == (compare(one, other) == 0) == (key_of(one) == key_of(other))
    assert equal(one, one)


@given(VALUES, VALUES, VALUES)
def test_order_is_an_order(one, other, third):
    """Antisymmetric and transitive."""
    assert (compare(one, other) > 0) == (compare(other, one) < 0)
    a, b, c = sort([one, other, third])
    assert max(compare(a, b), compare(b, c), compare(a, c)) <= 0


@given(VALUES)
def test_json_can_be_read_again(value):
    """The text of a value is its JSON form."""
    assert equal(parse_json(json_text(value)), to_json(value))


def test_true_is_not_one():
    """Where Python takes several values for one, Rego does not."""
    assert len(RegoSet([True, 1, 1.0, "1", False, 0, None])) == 6
    assert not equal([True], [1])
    assert not equal({"a": False}, {"a": 0})
    assert BoxedKey(True) != BoxedKey(1)
    assert BoxedKey(1) == BoxedKey(1.0)
    assert unboxed(object_key([1])) == [1]


def test_json_of_what_json_does_not_have():
    """Sets are arrays, keys that are no strings their JSON, and Go's escapes."""
    assert to_json({object_key(1): RegoSet([2, 1]), object_key(None): 1}) == {"1": [1, 2], "null": 1}
    assert json_text({"<": "\u2028"}) == '{"\\u003c":"\\u2028"}'


def test_surrogates():
    """Half a pair in JSON is the replacement character; bytes that are no text come back as they were."""
    assert parse_json('{"\\ud800": "a\\udc00b\\ud83d\\ude00"}') == {"\ufffd": "a\ufffdb😀"}
    assert text_bytes(bytes_text(b"\x80\xff")) == b"\x80\xff"
    assert json_text({bytes_text(b"a\xff"): "\ud800"}) == '{"a\\ufffd":"\\ufffd"}'
    with pytest.raises(BuiltinError):
        text_bytes("\ud800")


def test_deep_json():
    """Nesting beyond what Python's recursion takes is an error of its own."""
    with pytest.raises(BuiltinError, match="deep"):
        parse_json("[" * 100_000)


def test_sets_keep_one_of_equal_members():
    """And forget their order when they grow."""
    members = RegoSet(["b"])
    assert list(members) == ["b"]
    members.add("a")
    members.add("b")
    assert list(members) == ["a", "b"]
    assert "a" in members
    assert 1 not in members
