import pytest

from extauthz.languages.rego.failure import BuiltinError, RegoLimitError
from extauthz.languages.rego.value import RegoSet


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("numbers.range", (1, 10_000_000)),
        ("numbers.range_step", (0, 10**30, 1)),
        ("numbers.range_step", (0, 1, 0)),
        ("bits.lsh", (1, 10**9)),
        ("mul", (1 << 60_000, 1 << 60_000)),
        ("div", (1, 0)),
        ("div", (1, 0.0)),
        ("rem", (1.5, 2)),
        ("minus", (1, RegoSet([1]))),
        ("plus", (True, 1)),
    ],
)
def test_refused(call, name, operands):
    """What would take the machine's memory, or has no answer, is an error."""
    with pytest.raises(BuiltinError):
        call(name, *operands)


def test_range_is_paid_for(call):
    """A range takes as many steps as it has members."""
    with pytest.raises(RegoLimitError):
        call("numbers.range", 1, 5_000, budget=4_999)


def test_random_numbers_stay_the_same_for_a_seed(call):
    """Within one evaluation a seed and a limit have one number."""
    assert len({call("rand.intn", "a", 1_000_000_000) for _ in range(5)}) == 1
    assert call("rand.intn", "a", 0) == 0


def test_comparisons_are_total(call):
    """Values of any two types can be compared."""
    values = [None, True, 1, 1.5, "a", [1], {"a": 1}, RegoSet([1])]
    for position, one in enumerate(values):
        for other in values[position + 1 :]:
            assert call("lt", one, other)
            assert call("gte", other, one)
            assert call("neq", one, other)
