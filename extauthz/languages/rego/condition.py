"""Rego rules as conditions of a policy set.

What a request can provoke is an outcome: an undefined rule is not satisfied; a conflict, a built-in's error (strict
here), a limit, a value that is no boolean, and an input that cannot be made are ERRORED.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from extauthz.languages.rego.facts_input import FactPath, FactsInput
from extauthz.languages.rego.failure import RegoEvaluationError
from extauthz.languages.rego.input_document import InputRefusedError
from extauthz.languages.rego.marks import LineMarks
from extauthz.languages.rego.program import Limits, RegoProgram, load_plan
from extauthz.languages.rego.value import UNDEFINED, Value, json_text
from extauthz.model.access import Facts
from extauthz.model.decision import Outcome
from extauthz.model.source import Span

if TYPE_CHECKING:  # sets without Rego do without plans
    from extauthz.languages.rego.ir import Place

DECISION_BUDGET: Final = 1_000_000
"""Steps of one rule on one request, where nobody gives a deadline: about half a second."""

_LONGEST_VALUE: Final = 80

_READS_TIME: Final = frozenset({"time.now_ns"})


class RegoPolicy:
    """All Rego of a policy set, compiled. Its conditions share it; to another process it goes as its plan."""

    def __init__(self, plan: str, data: Value) -> None:
        """Compile a plan.

        Args:
            plan: its JSON document, as text.
            data: the data document, an object.

        Raises:
            PolicyError: as `load_plan`.
        """
        self._plan = plan
        self._data = data
        self.program: RegoProgram = load_plan(json.loads(plan), data)

    def count_lines(self, marks: LineMarks) -> None:
        """From now on, count the lines that are evaluated: for authoring, never for traffic."""
        self.program = load_plan(json.loads(self._plan), self._data, marks)

    def __reduce__(self) -> tuple[Callable[[str, Value], RegoPolicy], tuple[str, Value]]:
        return RegoPolicy, (self._plan, self._data)

    @cached_property
    def digest(self) -> str:
        """The same for policies that evaluate alike, as far as their plans tell."""
        return hashlib.sha256(f"{len(self._plan)} {self._plan}{json_text(self._data)}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class RuleRun:
    """A rule that was evaluated."""

    name: str
    """As in `data.shop.reports.allow`."""
    span: Span
    value: str
    """As JSON, not endless; `undefined` for none."""


@dataclass(frozen=True, slots=True)
class RegoTrace:
    """What happened in an evaluation."""

    runs: tuple[RuleRun, ...]
    problem: str
    """Why it failed; empty when it did not."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RegoCondition:
    """A boolean rule; satisfies `extauthz.model.policy.Condition`. Safe to share between threads."""

    policy: RegoPolicy
    path: str
    """Of the rule: `shop/reports/allow`."""
    text: str
    """As written: `data.shop.reports.allow`."""
    span: Span
    _input: FactsInput
    reads: frozenset[FactPath]

    @property
    def identity(self) -> tuple[str, ...]:
        """Equal for conditions that come to the same on every request, in whatever set."""
        return "rego", self.policy.digest, self.path

    def evaluate(self, facts: Facts) -> Outcome:
        """SATISFIED, UNSATISFIED (undefined included), ERRORED; never raises."""
        try:
            value = self.value(facts)
        except (RegoEvaluationError, InputRefusedError):
            return Outcome.ERRORED
        if value is True:
            return Outcome.SATISFIED
        return Outcome.UNSATISFIED if value is False or value is UNDEFINED else Outcome.ERRORED

    def value(self, facts: Facts) -> Value:
        """What the rule is on one request; UNDEFINED when it is nothing.

        Raises:
            RegoEvaluationError: it has no value, or none was found within its limits.
            InputRefusedError: the input cannot be made.
        """
        deadline = facts.deadline
        return self.policy.program.evaluate(
            self.path,
            self._input.make(facts),
            now_ns=int(facts.now * 1e9),
            strict=True,
            limits=Limits(deadline.at if deadline is not None else None, DECISION_BUDGET),
            clock=deadline.clock if deadline is not None else time.monotonic,
        )

    def trace(self, facts: Facts) -> RegoTrace:
        """Which rules run on one request: to explain, not to decide."""
        program = self.policy.program
        try:
            document = self._input.make(facts)
        except InputRefusedError as error:
            return RegoTrace((), str(error))
        values, problem = program.rules_run(
            self.path, document, now_ns=int(facts.now * 1e9), limits=Limits(budget=DECISION_BUDGET)
        )
        places = {"/".join(function.path[1:]): function.place for function in program.plan.functions}
        runs = (RuleRun(_name(rule), _span(places[rule]), _shown(value)) for rule, value in values.items())
        return RegoTrace(tuple(runs), problem)

    def __repr__(self) -> str:
        return f"RegoCondition({self.text!r})"

    def __reduce__(self) -> tuple[Callable[[RegoPolicy, str, str, Span], RegoCondition], tuple[object, ...]]:
        return rego_condition, (self.policy, self.path, self.text, self.span)


def _name(path: str) -> str:
    return f"data.{path.replace('/', '.')}"


def _span(place: Place) -> Span:
    return Span(place.file, max(place.line, 1), max(place.column, 1))


def _shown(value: Value) -> str:
    if value is UNDEFINED:
        return "undefined"
    text = json_text(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"


def rego_condition(policy: RegoPolicy, path: str, text: str, span: Span) -> RegoCondition:
    """The condition that the rule at `path` is; the policy must define it."""
    program = policy.program
    made = FactsInput(program.input_reads(path))
    reads = set(made.reads)
    if _READS_TIME & program.callees(path):
        reads.add(("request.time",))
    return RegoCondition(policy, path, text, span, made, frozenset(reads))
