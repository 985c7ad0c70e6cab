import pytest

from extauthz.languages.rego.failure import BuiltinError, RegoLimitError


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("startswith", (1, "a")),
        ("concat", (",", ["a", 1])),
        ("substring", ("abc", -1, 2)),
        ("indexof", ("abc", "")),
        ("format_int", (10, 3)),
        ("strings.replace_n", ({"a": 1}, "x")),
        ("strings.any_prefix_match", ("a", 1)),
    ],
)
def test_wrong_operands(call, name, operands):
    """What a built-in does not take is an error, not an answer."""
    with pytest.raises(BuiltinError):
        call(name, *operands)


def test_texts_are_paid_for(call):
    """A text that grows beyond the budget is not made."""
    with pytest.raises(RegoLimitError):
        call("replace", "a" * 10_000, "a", "b" * 10_000, budget=100_000)
    with pytest.raises(RegoLimitError):
        call("concat", "x" * 1_000_000, ["a"] * 1_000, budget=100_000)


def test_replacing_several_patterns_goes_from_left_to_right(call):
    """What was put in is not looked at again."""
    assert call("strings.replace_n", {"a": "b", "b": "c"}, "ab") == "bc"


def test_split_n_counts_from_either_end(call):
    """A negative count takes the last pieces."""
    assert call("strings.split_n", "a,b,c", ",", 2) == ["a", "b"]
    assert call("strings.split_n", "a,b,c", ",", -2) == ["b", "c"]
