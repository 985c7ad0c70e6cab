"""One evaluation: its limits, its memo of rules, and what built-ins may ask of the world.

A policy cannot run away. Every step of a loop, every call of a function and every element that a built-in makes is
taken from a budget of steps; whenever a slice of it is used up the clock is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from extauthz.languages.rego.failure import BuiltinError, RegoConflictError, RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.number import as_integer, is_number, number_text
from extauthz.languages.rego.value import (
    UNDEFINED,
    BoxedKey,
    RegoSet,
    Undefined,
    Value,
    equal,
    object_items,
    unboxed,
)

DEFAULT_BUDGET = 5_000_000
"""Steps: a few seconds of Python, far more than a decision takes, and at most some hundred megabytes."""

_SLICE = 4_096
"""Steps between two looks at the clock: well below a millisecond of plain iteration."""


UNSET: Final = Undefined()
"""Marks a function in the memo that has not run."""


class Evaluation:
    """What generated code and built-ins share while one input is evaluated. For one thread, used once."""

    __slots__ = ("cache", "clock", "deadline", "memo", "now_ns", "printed", "remaining", "results", "steps", "strict")

    def __init__(
        self,
        functions: int,
        *,
        now_ns: int,
        clock: Callable[[], float],
        deadline: float | None,
        budget: int,
        strict: bool,
        printed: list[str] | None = None,
    ) -> None:
        self.memo: list[Value] = [UNSET] * functions
        """By function: its result, `UNSET` until it has run; replaced as a whole while a `with` holds."""
        self.now_ns = now_ns
        self.clock = clock
        self.deadline = deadline
        self.strict = strict
        self.cache: dict[Any, Any] = {}
        """What built-ins keep for the evaluation, such as random numbers by their seed."""
        self.results: list[Value] = []
        self.printed = printed
        """What the policy prints, a line each; None where nobody listens, as in all decisions about traffic."""
        self.steps = min(_SLICE, budget)
        """Steps until the next check. Generated code counts it down and calls `check` below zero."""
        self.remaining = budget - self.steps
        """Steps after those."""

    def check(self) -> None:
        """Look at the limits and open the next slice.

        Raises:
            RegoLimitError: one of them is reached.
        """
        self.remaining += self.steps  # the debt of what was taken beyond the slice
        if self.remaining < 0:
            raise RegoLimitError("the evaluation took more steps than its budget allows")
        if self.deadline is not None and self.clock() >= self.deadline:
            raise RegoLimitError("the evaluation took longer than its deadline allows")
        self.steps = min(_SLICE, self.remaining)
        self.remaining -= self.steps

    def spend(self, steps: int) -> None:
        """Take steps from the budget, for work that a built-in is about to do.

        Raises:
            RegoLimitError: there are not that many left, or the deadline has passed.
        """
        self.steps -= steps
        if self.steps < 0:
            self.check()

    def scan(self, collection: Value) -> Iterable[tuple[Value, Value]]:
        """Keys and values in any order, for a loop whose outcome does not depend on it."""
        kind = type(collection)
        if kind is dict:
            pairs: Iterable[tuple[Value, Value]] = collection.items()
            if collection and any(type(key) is not str for key in collection):
                pairs = [(unboxed(key), value) for key, value in pairs]
        elif kind is list:
            pairs = enumerate(collection)
        else:
            pairs = [(value, value) for value in collection.members.values()]
        return self._counted(pairs, len(collection))

    def scan_ordered(self, collection: Value) -> Iterable[tuple[Value, Value]]:
        """Keys and values in Rego's order."""
        kind = type(collection)
        if kind is dict:
            pairs: Iterable[tuple[Value, Value]] = object_items(collection)
        elif kind is list:
            pairs = enumerate(collection)
        else:
            pairs = [(value, value) for value in collection.ordered]
        return self._counted(pairs, len(collection))

    def _counted(self, pairs: Iterable[tuple[Value, Value]], count: int) -> Iterable[tuple[Value, Value]]:
        """The same pairs, paid for: at once when they are few, else slice by slice as the loop gets to them."""
        if count > _SLICE:
            return self._checked(pairs)
        self.spend(count)
        return pairs

    def _checked(self, pairs: Iterable[tuple[Value, Value]]) -> Iterator[tuple[Value, Value]]:
        for position, pair in enumerate(pairs):
            if position % 256 == 0:
                self.spend(256)
            yield pair

    def failed(self, error: BuiltinError, name: str, place: str) -> Undefined:
        """What a failed call of a built-in yields: undefined.

        Raises:
            RegoEvaluationError: built-ins' errors are strict here.
        """
        if self.strict:
            raise RegoEvaluationError(f"{place}: {name}: {error}") from error
        return UNDEFINED


DynamicRule: TypeAlias = tuple[int, Callable[[Evaluation, Value, Value], Value]]
"""A rule that can be called by its path: its number in the memo, and its function."""


def conflict(place: str) -> RegoEvaluationError:
    """A complete rule or a function yields two values."""
    return RegoConflictError(place, "complete rules must not produce multiple outputs")


def key_conflict(place: str) -> RegoEvaluationError:
    """An object gets two values for one key."""
    return RegoConflictError(place, "object keys must be unique")


# --- Steps of generated code that are too long to write in line ----------------------------------------------------


def _element(array: list[Value], key: Value) -> Value:
    if type(key) is not int:
        position = as_integer(key) if is_number(key) else None
        if position is None:
            return UNDEFINED
        key = position
    return array[key] if 0 <= key < len(array) else UNDEFINED


def lookup(source: Value, key: Value) -> Value:
    """The member of a collection under a key (IR `DotStmt`); undefined when there is none."""
    kind = type(source)
    if kind is dict:
        return source.get(key if type(key) is str else BoxedKey(key), UNDEFINED)
    if kind is list:
        return _element(source, key)
    if kind is RegoSet:
        return key if key in source else UNDEFINED
    return UNDEFINED


def lookup_stored(source: Value, key: Value) -> Value:
    """As `lookup`, in the data document: what is kept there has texts for keys, so a number finds its text."""
    if type(source) is dict and is_number(key):
        return source.get(number_text(key), UNDEFINED)
    return lookup(source, key)


def find_dynamic(rules: Mapping[tuple[str, ...], DynamicRule], path: tuple[Value, ...]) -> DynamicRule | None:
    """The rule under a path that is known only now; None when there is none."""
    return rules.get(path) if all(type(part) is str for part in path) else None


def call_dynamic(evaluation: Evaluation, rule: DynamicRule, document: Value, data: Value) -> Value:
    """The result of such a rule."""
    number, function = rule
    kept = evaluation.memo[number]
    return function(evaluation, document, data) if kept is UNSET else kept


def call_or_stored(
    evaluation: Evaluation,
    rules: Mapping[tuple[str, ...], DynamicRule],
    path: tuple[Value, ...],
    document: Value,
    data: Value,
) -> Value:
    """What is under a path: a rule's result or a part of it, or, where there is no rule, of the data document."""
    for length in range(2, len(path) + 1):
        rule = find_dynamic(rules, path[:length])
        if rule is not None:
            found = call_dynamic(evaluation, rule, document, data)
            for step in path[length:]:
                found = lookup(found, step)
            return found
    for step in path[1:]:
        data = lookup_stored(data, step)
    return data


def merge(base: Value, virtual: Value) -> Value:
    """Two documents in one (IR `ObjectMergeStmt`): where both say something and are not both objects, `base` holds."""
    if type(base) is not dict or type(virtual) is not dict:
        return base
    merged = {**virtual, **base}
    for key in base.keys() & virtual.keys():
        merged[key] = merge(base[key], virtual[key])
    return merged


def replaced(document: Value, path: Sequence[str], value: Value) -> Value:
    """A copy of a document with `value` under `path` (IR `WithStmt`); what is no object on the way becomes one."""
    if not path:
        return value
    copy = dict(document) if type(document) is dict else {}
    copy[path[0]] = replaced(copy.get(path[0]), path[1:], value)
    return copy


def insert_once(target: dict[Any, Value], key: Value, value: Value, place: str) -> None:
    """Put a member into an object that is being built.

    Raises:
        RegoEvaluationError: the key already has another value.
    """
    own = key if type(key) is str else BoxedKey(key)
    if not equal(target.setdefault(own, value), value):
        raise key_conflict(place)
