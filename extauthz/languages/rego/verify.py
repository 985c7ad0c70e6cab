"""What must hold of a plan before it runs. Planners check it too, some of them laxly; here nothing gets by.

Every call has a target and the right number of arguments, no rule depends on itself, and no local is read before it is
written. The findings are diagnostics at the place in the policy that the plan gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from extauthz.errors import PolicyError
from extauthz.languages.rego import ir
from extauthz.languages.rego.builtins.table import BUILTINS, REFUSED
from extauthz.languages.rego.calls import callees, may_call
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.flow import Flow, analyse
from extauthz.languages.rego.ir import Block, Place, Plan, PlanError
from extauthz.languages.rego.regopy_plan import COMPILER, CorrectionError, corrected
from extauthz.languages.rego.shape import all_statements
from extauthz.model.source import Diagnostic, Span


@dataclass(frozen=True, slots=True)
class VerifiedPlan:
    """A plan that may run, with what is known of the locals of each function and entry point, in their order."""

    plan: Plan
    function_flows: tuple[Flow, ...]
    entry_point_flows: tuple[Flow, ...]


def verify(plan: Plan) -> VerifiedPlan:
    """Check a plan.

    Raises:
        PolicyError: with everything that is wrong with it.
    """
    findings: list[Diagnostic] = []
    is_lax = plan.compiler == COMPILER
    if is_lax:
        try:
            plan = corrected(plan)
        except PlanError as error:
            place = error.place if isinstance(error, CorrectionError) else Place("", 0, 0)
            raise PolicyError([diagnostic(place, RegoCode.NOT_PLANNED, str(error))]) from error
    functions = {function.name: function for function in plan.functions}
    findings += _duplicates(plan)
    for name, blocks in _all_blocks(plan):
        findings += _calls(name, blocks, functions)
    findings += _recursion(plan)
    findings += _dynamic_packages(plan)
    flows = [_flow(f.name, f.blocks, f.parameters, f.place, findings) for f in plan.functions]
    if is_lax:
        findings += [shadow for f, flow in zip(plan.functions, flows, strict=True) for shadow in _shadows(f, flow)]
    entry_flows = [_flow(e.name, e.blocks, (ir.INPUT, ir.DATA), Place("", 0, 0), findings) for e in plan.entry_points]
    if findings:
        raise PolicyError(findings)
    return VerifiedPlan(plan, tuple(flows), tuple(entry_flows))


def diagnostic(place: Place, code: RegoCode, message: str, hint: str = "") -> Diagnostic:
    """A finding at a place of the policy; without a line it is about the whole of it."""
    file = place.file or "<rego>"
    return Diagnostic(Span(file, max(place.line, 1), max(place.column, 1)), code, message, hint=hint)


def rule_name(function: str) -> str:
    """A function's name as an author knows it: the first part says for which `with` it was planned."""
    generation, _, name = function.partition(".")
    return name if generation[1:].isdigit() else function


def _all_blocks(plan: Plan) -> Iterator[tuple[str, tuple[Block, ...]]]:
    for function in plan.functions:
        yield function.name, function.blocks
    for entry in plan.entry_points:
        yield entry.name, entry.blocks


def _duplicates(plan: Plan) -> Iterator[Diagnostic]:
    for kind, names in (
        ("function", [function.name for function in plan.functions]),
        ("entry point", [entry.name for entry in plan.entry_points]),
    ):
        for name in sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else ():
            yield diagnostic(Place("", 0, 0), RegoCode.NOT_A_PLAN, f"the plan has two {kind}s {name!r}")
    for function in plan.functions:
        if len(function.parameters) < 2 or len(set(function.parameters)) < len(function.parameters):
            yield diagnostic(function.place, RegoCode.NOT_A_PLAN, f"{rule_name(function.name)}: malformed parameters")


def _calls(name: str, blocks: Iterable[Block], functions: Mapping[str, ir.Function]) -> Iterator[Diagnostic]:
    for statement in all_statements(blocks):
        if isinstance(statement, ir.Call):
            yield from _call(statement, functions)
        elif isinstance(statement, ir.ResultAdd) and name in functions:
            yield diagnostic(statement.place, RegoCode.NOT_A_PLAN, f"{rule_name(name)}: a rule that adds a result")


def _call(call: ir.Call, functions: Mapping[str, ir.Function]) -> Iterator[Diagnostic]:
    name = rule_name(call.function)
    if call.function in functions:
        expected, given, documents = len(functions[call.function].parameters), len(call.arguments), 2
    elif call.function in BUILTINS:
        expected, given, documents = BUILTINS[call.function].arity, len(call.arguments), 0
    elif call.function in REFUSED:
        yield diagnostic(call.place, RegoCode.REFUSED_BUILTIN, f"{name} cannot be used: {REFUSED[call.function]}")
        return
    else:
        yield diagnostic(call.place, RegoCode.UNKNOWN_FUNCTION, f"undefined function {name}")
        return
    if expected != given:
        yield diagnostic(
            call.place,
            RegoCode.ARITY,
            f"{name} takes {max(expected - documents, 0)} arguments, not {max(given - documents, 0)}",
        )


def _flow(
    name: str, blocks: tuple[Block, ...], parameters: tuple[int, ...], place: Place, findings: list[Diagnostic]
) -> Flow:
    """The flow of a function, whose findings are added."""
    try:
        flow = analyse(blocks, parameters)
    except PlanError as error:
        findings.append(diagnostic(place, RegoCode.NOT_A_PLAN, f"{rule_name(name)}: {error}"))
        return Flow()
    found = {(read.place if read.place.line else place) for read in flow.unsafe}
    findings += [
        diagnostic(where, RegoCode.UNSAFE_VARIABLE, f"{rule_name(name)}: an unsafe variable: nothing gives it a value")
        for where in found
    ]
    return flow


def _dynamic_packages(plan: Plan) -> Iterator[Diagnostic]:
    """References that can turn out to be a package, where the planner did not provide for that."""
    for _, blocks in _all_blocks(plan):
        for statement in all_statements(blocks):
            if isinstance(statement, ir.CallDynamic) and statement.stored:
                shorter = (replace(f, path=f.path[: len(statement.path)]) for f in plan.functions)
                if any(
                    may_call(statement, f) and f.path != g.path for f, g in zip(shorter, plan.functions, strict=True)
                ):
                    message = "a reference with a variable that may stand for a whole package"
                    hint = "write the rule's name out, or compile with OPA"
                    yield diagnostic(statement.place, RegoCode.NOT_PLANNED, message, hint)


def _shadows(function: ir.Function, flow: Flow) -> Iterator[Diagnostic]:
    """Variables that an inner scope declares anew, which the compiler takes for the outer ones."""
    for place in {use.place if use.place.line else function.place for use in flow.redefined}:
        message = f"{rule_name(function.name)}: a variable is declared again in an inner scope"
        hint = "give the inner variable another name, or compile with OPA"
        yield diagnostic(place, RegoCode.NOT_PLANNED, message, hint)


# --- Recursion -----------------------------------------------------------------------------------------------------


def _recursion(plan: Plan) -> Iterator[Diagnostic]:
    """A rule on each cycle of calls, with the whole cycle."""
    callees_by_name = {function.name: callees(function.blocks, plan) for function in plan.functions}
    places = {function.name: function.place for function in plan.functions}
    done: set[str] = set()
    for start in callees_by_name:
        path: list[str] = []
        waiting: list[tuple[str, bool]] = [(start, False)]
        while waiting:
            name, leaving = waiting.pop()
            if leaving:
                done.add(path.pop())
            elif name in path:
                cycle = [*path[path.index(name) :], name]
                message = "a rule depends on itself: " + " -> ".join(map(rule_name, cycle))
                yield diagnostic(places[name], RegoCode.RECURSION, message)
                return
            elif name not in done:
                path.append(name)
                waiting.append((name, True))
                waiting += [(callee, False) for callee in callees_by_name.get(name, ())]
