from itertools import count
from typing import Any

import pytest

from extauthz.languages.rego.evaluation import (
    DynamicRule,
    Evaluation,
    call_or_stored,
    find_dynamic,
    insert_once,
    lookup,
    lookup_stored,
    merge,
    replaced,
)
from extauthz.languages.rego.failure import BuiltinError, RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.value import UNDEFINED, RegoSet, object_key


def evaluation(*, budget=1_000_000, deadline=None, clock=lambda: 0.0, strict=False):
    return Evaluation(2, now_ns=0, clock=clock, deadline=deadline, budget=budget, strict=strict)


@pytest.mark.parametrize("budget", [1, 10, 4_095, 4_096, 10_000])
def test_budget_is_exact_to_a_slice(budget):
    """As many steps as it says can be taken, and hardly one more."""
    one = evaluation(budget=budget)
    for _ in range(budget):
        one.spend(1)
    with pytest.raises(RegoLimitError):
        one.spend(1)
    with pytest.raises(RegoLimitError):
        evaluation(budget=budget).spend(budget + 1)
    evaluation(budget=budget).spend(budget)


def test_the_clock_is_looked_at_now_and_then():
    """A deadline ends a loop that has budget enough."""
    ticks = count()
    one = evaluation(deadline=3.0, clock=lambda: float(next(ticks)))
    with pytest.raises(RegoLimitError, match="deadline"):
        any(one.spend(1) for _ in range(1_000_000))
    assert next(ticks) < 6


def test_long_scans_are_paid_for_as_they_go():
    """A long collection does not cost its whole length at once, but a loop over it does end."""
    one = evaluation(budget=10_000)
    taken: list[Any] = []
    with pytest.raises(RegoLimitError):
        taken.extend(one.scan(list(range(100_000))))
    assert 9_000 < len(taken) <= 10_256


def test_scans():
    """Keys that are no strings come out as themselves; the ordered scan is in Rego's order."""
    one = evaluation()
    assert sorted(one.scan({object_key(1): "a", object_key(2): "b"})) == [(1, "a"), (2, "b")]
    assert list(one.scan_ordered({"b": 1, "a": 2})) == [("a", 2), ("b", 1)]
    assert list(one.scan_ordered(RegoSet([2, 1]))) == [(1, 1), (2, 2)]
    assert list(one.scan(["x"])) == [(0, "x")]


def test_errors_of_builtins():
    """Undefined, or an error with its place."""
    assert evaluation().failed(BuiltinError("why"), "name", "p.rego:3") is UNDEFINED
    with pytest.raises(RegoEvaluationError, match=r"p\.rego:3: name: why"):
        evaluation(strict=True).failed(BuiltinError("why"), "name", "p.rego:3")


@pytest.mark.parametrize(
    ("source", "key", "want"),
    [
        ({"a": 1}, "a", 1),
        ({"1": 1}, 1, UNDEFINED),
        ({object_key(1): 2}, 1.0, 2),
        (["a"], 0, "a"),
        (["a"], 0.0, "a"),
        (["a"], -1, UNDEFINED),
        (["a"], True, UNDEFINED),
        (["a"], "0", UNDEFINED),
        (RegoSet([1]), 1, 1),
        (RegoSet([1]), True, UNDEFINED),
        ("text", 0, UNDEFINED),
        (UNDEFINED, "a", UNDEFINED),
    ],
)
def test_lookup(source, key, want):
    """Members by keys of the right type, everything else undefined."""
    assert lookup(source, key) is want or lookup(source, key) == want


def test_numbers_find_texts_in_stored_data():
    """The data document has texts for keys."""
    assert lookup_stored({"1": "a"}, 1) == "a"
    assert lookup_stored(["a"], 0) == "a"


def test_documents_are_merged_and_replaced_in_copies():
    """The originals stay as they are; where both say something the base document holds."""
    base, virtual = {"a": {"x": 1}, "b": 1}, {"a": {"y": 2, "x": 9}, "c": 3}
    assert merge(base, virtual) == {"a": {"x": 1, "y": 2}, "b": 1, "c": 3}
    assert replaced(base, ("a", "z", "q"), 5) == {"a": {"x": 1, "z": {"q": 5}}, "b": 1}
    assert base == {"a": {"x": 1}, "b": 1}
    assert replaced(UNDEFINED, ("a",), 1) == {"a": 1}


def test_objects_take_one_value_for_a_key():
    """The same value again is none, another is an error."""
    target: dict[Any, Any] = {}
    insert_once(target, "a", [1], "p.rego:1")
    insert_once(target, "a", [1.0], "p.rego:1")
    with pytest.raises(RegoEvaluationError, match="unique"):
        insert_once(target, "a", [True], "p.rego:1")


def test_dynamic_rules():
    """A path finds a rule, a part of its result, or the data document."""
    rules: dict[tuple[str, ...], DynamicRule] = {("g0", "a", "r"): (0, lambda *_: {"k": "v"})}
    one = evaluation()
    assert find_dynamic(rules, ("g0", "a", 1)) is None
    assert call_or_stored(one, rules, ("g0", "a", "r", "k"), UNDEFINED, {}) == "v"
    assert call_or_stored(one, rules, ("g0", "a", "x"), UNDEFINED, {"a": {"x": 5}}) == 5
    assert call_or_stored(one, rules, ("g0", "a", "y"), UNDEFINED, {"a": {"x": 5}}) is UNDEFINED
