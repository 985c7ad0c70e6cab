"""Compiled policies: from a plan to Python, and from an input to an answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from extauthz.errors import PolicyError
from extauthz.languages.rego import evaluation as runtime
from extauthz.languages.rego.builtins.table import BUILTINS
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.evaluation import DEFAULT_BUDGET, UNSET, DynamicRule, Evaluation
from extauthz.languages.rego.failure import BuiltinError, RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.functions import Module
from extauthz.languages.rego.ir import Place, Plan, PlanError
from extauthz.languages.rego.marks import LineMarks
from extauthz.languages.rego.plan import parse_plan
from extauthz.languages.rego.reads import InputPath, input_reads
from extauthz.languages.rego.statements import Names
from extauthz.languages.rego.value import UNDEFINED, RegoSet, Value, equal, key_of, object_key, to_json
from extauthz.languages.rego.verify import VerifiedPlan, diagnostic, rule_name, verify

_RUNTIME: Mapping[str, object] = {
    "COLLECTIONS": frozenset({dict, list, RegoSet}),
    "UNDEFINED": UNDEFINED,
    "UNSET": UNSET,
    "BuiltinError": BuiltinError,
    "RegoSet": RegoSet,
    "equal": equal,
    "object_key": object_key,
    **{
        name: getattr(runtime, name)
        for name in (
            "call_dynamic",
            "call_or_stored",
            "conflict",
            "find_dynamic",
            "insert_once",
            "lookup",
            "lookup_stored",
            "merge",
            "replaced",
        )
    },
    **{builtin.identifier: builtin.function for builtin in BUILTINS.values()},
}
"""What generated code can name."""

_EntryPoint: TypeAlias = Callable[[Evaluation, Value, Value], object]


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
        entry_points: Mapping[str, _EntryPoint],
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
        return input_reads(self.plan, path)

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


def _run(function: _EntryPoint, evaluation: Evaluation, document: Value, data: Value) -> Value:
    """Call generated code; whatever it raises is one of our own errors."""
    try:
        return function(evaluation, document, data)
    except RegoEvaluationError:
        raise
    except (RecursionError, MemoryError) as error:
        raise RegoLimitError("a value or the policy is nested too deeply, or too large") from error
    except Exception as error:
        raise RegoEvaluationError(f"an internal error: {type(error).__name__}") from error


# --- Loading -------------------------------------------------------------------------------------------------------


def load_plan(document: object, data: Value, marks: LineMarks | None = None) -> RegoProgram:
    """A program from a plan's JSON document and the data document, an object.

    Args:
        document: the plan.
        data: the data document.
        marks: where evaluated lines are counted; None: nowhere, which is faster.

    Raises:
        PolicyError: the plan is malformed, calls what it must not, or does not hold what `verify` demands.
    """
    try:
        plan = parse_plan(document)
    except (PlanError, RecursionError) as error:
        raise PolicyError([diagnostic(Place("", 0, 0), RegoCode.NOT_A_PLAN, f"not a plan: {error}")]) from error
    try:
        return compile_plan(verify(plan), data, marks)
    except RecursionError as error:
        message = "the policy's expressions are nested too deeply"
        raise PolicyError([diagnostic(Place("", 0, 0), RegoCode.NOT_PLANNED, message)]) from error


def compile_plan(verified: VerifiedPlan, data: Value, marks: LineMarks | None = None) -> RegoProgram:
    """A program from a verified plan and the data document.

    Raises:
        PolicyError: the policy is beyond what Python can express.
    """
    plan = verified.plan
    module = _generate(verified, marks)
    source = "\n".join(module.lines)
    rules: dict[tuple[str, ...], DynamicRule] = {}
    namespace: dict[str, Any] = {**_RUNTIME, **module.names.constants, "DYNAMIC": rules}
    if marks is not None:
        namespace["MARKS"] = marks.counts
    exec(compile(source, "<rego>", "exec"), namespace)  # noqa: S102 - our own code, from a verified plan
    for index, units in module.indexes:
        index.bind([namespace[unit] for unit in units])
    for number, function in enumerate(plan.functions):
        if len(function.parameters) == 2:
            rules[function.path] = (number, namespace[f"f{number}"])
    return RegoProgram(
        source=source,
        plan=plan,
        entry_points={entry.name: namespace[f"p{n}"] for n, entry in enumerate(plan.entry_points)},
        rules=rules,
        data=data,
    )


def _generate(verified: VerifiedPlan, marks: LineMarks | None) -> Module:
    plan = verified.plan
    names = Names(
        functions={function.name: number for number, function in enumerate(plan.functions)},
        parameters={function.name: len(function.parameters) for function in plan.functions},
        marks=marks,
    )
    module = Module(names)
    for function, flow in zip(plan.functions, verified.function_flows, strict=True):
        try:
            module.function(function, flow)
        except PlanError as error:
            message = f"{rule_name(function.name)}: {error}"
            raise PolicyError([diagnostic(function.place, RegoCode.NOT_PLANNED, message)]) from error
    for number, (entry, flow) in enumerate(zip(plan.entry_points, verified.entry_point_flows, strict=True)):
        try:
            module.entry_point(entry, flow, f"p{number}")
        except PlanError as error:
            message = f"{entry.name}: {error}"
            raise PolicyError([diagnostic(Place("", 0, 0), RegoCode.NOT_PLANNED, message)]) from error
    return module
