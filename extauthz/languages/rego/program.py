"""Compiled policies: from an input to an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from extauthz.languages.rego.evaluation import DEFAULT_BUDGET, UNSET, DynamicRule, Evaluation
from extauthz.languages.rego.failure import RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.marks import LineMarks
from extauthz.languages.rego.value import UNDEFINED, Value, key_of, to_json

if TYPE_CHECKING:  # see `load_plan`
    from extauthz.languages.rego.ir import Plan
    from extauthz.languages.rego.reads import InputPath

EntryPoint: TypeAlias = Callable[[Evaluation, Value, Value], object]
"""Generated code."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How far an evaluation may go."""

    deadline: float | None = None
    """On the clock of `time.monotonic`; None is none."""
    budget: int = DEFAULT_BUDGET
    """Steps: rounds of loops, calls, elements made."""


UNLIMITED_TIME = Limits()


class RegoProgram:
    """A policy, compiled. Evaluations share nothing that changes, so several threads may evaluate at once."""

    def __init__(
        self,
        *,
        source: str,
        plan: Plan,
        entry_points: Mapping[str, EntryPoint],
        rules: Mapping[tuple[str, ...], DynamicRule],
        data: Value,
    ) -> None:
        self.source = source
        """The generated Python, for those who look for what went wrong."""
        self.plan = plan
        """What it was made from, verified."""
        self._functions = len(plan.functions)
        self._entry_points = entry_points
        self._rules = {"/".join(path[1:]): rule for path, rule in rules.items() if path and path[0] == "g0"}
        self._data = data

    @property
    def entry_points(self) -> tuple[str, ...]:
        """The named plans, as in `shop/reports/allow`."""
        return tuple(sorted(self._entry_points))

    @property
    def rules(self) -> tuple[str, ...]:
        """The rules in the plan, as in `shop/reports/allow`: each can be evaluated, entry point or not."""
        return tuple(sorted(self._rules))

    def defines(self, path: str) -> bool:
        """Whether a document such as `shop/reports/allow` can be evaluated."""
        return path in self._entry_points or path in self._rules

    def has_rules_at(self, path: str) -> bool:
        """Whether there is a rule at, above or below a path such as `shop/reports`."""
        return any(f"{rule}/".startswith(f"{path}/") or path.startswith(f"{rule}/") for rule in self._rules)

    def input_reads(self, path: str) -> frozenset[InputPath]:
        """All of the input that a document for which `defines` holds can depend on; see `reads.input_reads`."""
        from extauthz.languages.rego.reads import input_reads  # noqa: PLC0415 - as in `load_plan`

        return input_reads(self.plan, path)

    def callees(self, path: str) -> frozenset[str]:
        """The functions and built-ins that a document for which `defines` holds may call; see `calls.all_callees`."""
        from extauthz.languages.rego.calls import all_callees, blocks_at  # noqa: PLC0415 - as in `load_plan`

        return all_callees(blocks_at(self.plan, path)[0], self.plan)

    def evaluate(
        self,
        path: str,
        document: Value = UNDEFINED,
        *,
        now_ns: int,
        strict: bool = False,
        limits: Limits = UNLIMITED_TIME,
        clock: Callable[[], float] = time.monotonic,
        printed: list[str] | None = None,
    ) -> Value:
        """The value of a document such as `shop/reports/allow`, as JSON; UNDEFINED when it has none.

        Args:
            path: one for which `defines` holds.
            document: the input, of exactly the types that `value` describes; it is neither copied nor changed.
            now_ns: the time, in nanoseconds since the epoch.
            strict: whether an error of a built-in ends the evaluation instead of being undefined.
            limits: how far it may go.
            clock: seconds, as the deadline counts them.
            printed: takes what a rule's `print` says, a line each.

        Raises:
            RegoEvaluationError: the policy has no answer for this input.
            RegoLimitError: a limit was reached.
        """
        rule = self._rules.get(path)
        if rule is not None:
            _, function = rule
            evaluation = self._evaluation(now_ns, strict, limits, clock)
            evaluation.printed = printed
            return to_json(_run(function, evaluation, document, self._data))
        results = self.results(path, document, now_ns=now_ns, strict=strict, limits=limits, clock=clock)
        return results[0].get("result", UNDEFINED) if results else UNDEFINED

    def rules_run(self, path: str, document: Value, *, now_ns: int, limits: Limits) -> tuple[dict[str, Value], str]:
        """Which rules run when a rule is evaluated, with errors of built-ins strict: to explain, not to decide.

        Returns:
            What each rule comes to, by its path, as JSON, in the order of the plan: those that run while a `with`
            replaces something are left out. And why the evaluation fails; empty when it does not.
        """
        _, function = self._rules[path]
        evaluation = self._evaluation(now_ns, True, limits, time.monotonic)  # noqa: FBT003 - strict, as its caller is
        problem = ""
        try:
            _run(function, evaluation, document, self._data)
        except RegoEvaluationError as error:
            problem = str(error)
        memo = evaluation.memo
        return {
            rule: to_json(memo[number]) for rule, (number, _) in self._rules.items() if memo[number] is not UNSET
        }, problem

    def results(
        self,
        entry_point: str,
        document: Value = UNDEFINED,
        *,
        now_ns: int,
        strict: bool = False,
        limits: Limits = UNLIMITED_TIME,
        clock: Callable[[], float] = time.monotonic,
    ) -> list[Value]:
        """All results of a named plan, each once: objects of variables and their values.

        As `evaluate` for the rest.
        """
        plan = self._entry_points.get(entry_point)
        if plan is None:
            raise RegoEvaluationError(f"the policy has no document {entry_point!r}")
        evaluation = self._evaluation(now_ns, strict, limits, clock)
        _run(plan, evaluation, document, self._data)
        return [to_json(result) for result in {key_of(result): result for result in evaluation.results}.values()]

    def _evaluation(self, now_ns: int, strict: bool, limits: Limits, clock: Callable[[], float]) -> Evaluation:  # noqa: FBT001
        return Evaluation(
            self._functions,
            now_ns=now_ns,
            clock=clock,
            deadline=limits.deadline,
            budget=limits.budget,
            strict=strict,
        )


def _run(function: EntryPoint, evaluation: Evaluation, document: Value, data: Value) -> Value:
    """Call generated code; whatever it raises is one of our own errors."""
    try:
        return function(evaluation, document, data)
    except RegoEvaluationError:
        raise
    except (RecursionError, MemoryError) as error:
        raise RegoLimitError("a value or the policy is nested too deeply, or too large") from error
    except Exception as error:
        raise RegoEvaluationError(f"an internal error: {type(error).__name__}") from error


def load_plan(document: object, data: Value, marks: LineMarks | None = None) -> RegoProgram:
    """A program from a plan's JSON document and the data document, an object.

    Args:
        document: the plan.
        data: the data document.
        marks: where evaluated lines are counted; None: nowhere, which is faster.

    Raises:
        PolicyError: the plan is malformed, calls what it must not, or does not hold what `verify` demands.
    """
    # Plans, their compiler and all built-ins: without them a command on a set without Rego takes a fifth less time.
    from extauthz.languages.rego.compiler import compile_document  # noqa: PLC0415

    return compile_document(document, data, marks)
