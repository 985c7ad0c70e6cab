import pytest

from extauthz.errors import PolicyError


def test_many_conditions(evaluated):
    """More than can be nested."""
    conditions = "; ".join(f"input.x{i} == {i}" for i in range(200))
    document = {f"x{i}": i for i in range(200)}
    assert evaluated(f"result if {{ {conditions} }}", document) is True
    assert evaluated(f"default result := false\nresult if {{ {conditions} }}", {**document, "x199": 0}) is False


def test_many_iterations(evaluated):
    """As many loops within each other as Python can take; beyond, the policy is refused when it is loaded."""

    def nested(depth):
        return "result if { " + "; ".join(f"some v{i} in input.xs" for i in range(depth)) + " }"

    assert evaluated(nested(17), {"xs": [1]}) is True
    with pytest.raises(PolicyError, match="too many loops"):
        evaluated(nested(25), {"xs": [1]})


def test_alternatives_within_iterations(evaluated):
    """Leaving one of several blocks in a loop goes on with the next round."""
    text = """
        pick(x) := "low" if { x < 2 } else := "mid" if { x < 4 } else := "high"
        result := [p | some x in input.xs; p := pick(x); every y in input.ys { y != x }]
    """
    assert evaluated(text, {"xs": [1, 2, 3, 4, 5], "ys": [3]}) == ["low", "mid", "high", "high"]
