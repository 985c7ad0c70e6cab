import pytest

from extauthz.languages.rego.failure import BuiltinError, RegoLimitError
from extauthz.languages.rego.value import RegoSet, equal


@pytest.mark.parametrize(
    ("name", "operands"),
    [
        ("count", (1,)),
        ("sum", ([1, "a"],)),
        ("union", (RegoSet([1]),)),
        ("object.get", ([], "a", 1)),
        ("object.union_n", ([{}, 1],)),
        ("object.subset", ([1], {"a": 1})),
        ("array.slice", ([1], 0.5, 1)),
    ],
)
def test_wrong_operands(call, name, operands):
    """What a built-in does not take is an error, not an answer."""
    with pytest.raises(BuiltinError):
        call(name, *operands)


def test_operands_stay_as_they_are(call):
    """A built-in makes new values; those it was given may be in use elsewhere."""
    left, right, members = {"a": {"b": 1}}, {"a": {"c": 2}}, RegoSet([1])
    assert call("object.union", left, right) == {"a": {"b": 1, "c": 2}}
    call("or", members, RegoSet([2]))
    assert left == {"a": {"b": 1}}
    assert len(members) == 1


def test_doubling_ends(call):
    """Putting an array behind itself again and again is stopped by the budget."""

    def double() -> None:
        values = [0] * 1_000
        for _ in range(40):
            values = call("array.concat", values, values, budget=1_000_000)

    with pytest.raises(RegoLimitError):
        double()


def test_paths_of_a_dense_graph_end(call):
    """A graph has exponentially many paths; the budget stops their enumeration."""
    graph = {str(i): [str(j) for j in range(14)] for i in range(14)}
    with pytest.raises(RegoLimitError):
        call("graph.reachable_paths", graph, ["0"], budget=200_000)


def test_members_are_told_by_type(call):
    """True is not 1, in sets and in arrays."""
    assert not call("internal.member_2", True, [1])
    assert not call("internal.member_2", 1, RegoSet([True]))
    assert call("internal.member_2", 1.0, RegoSet([1]))
    assert call("internal.member_3", 0, "a", ["a"])


def test_walk_finds_every_value(call):
    """Each value with its path, sets by their members."""
    assert equal(call("walk", {"a": RegoSet([1])}), [[[], {"a": RegoSet([1])}], [["a"], RegoSet([1])], [["a", 1], 1]])
