"""From a plan to Python: what is known of the plan is checked, then it is written as code, which is compiled.

Nobody imports this, and all that stands behind it, before there is a plan: see `program.load_plan`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extauthz.errors import PolicyError
from extauthz.languages.rego import evaluation as runtime
from extauthz.languages.rego.builtins.table import BUILTINS
from extauthz.languages.rego.codes import RegoCode
from extauthz.languages.rego.evaluation import UNSET, DynamicRule
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.functions import Module
from extauthz.languages.rego.ir import Place, PlanError
from extauthz.languages.rego.marks import LineMarks
from extauthz.languages.rego.plan import parse_plan
from extauthz.languages.rego.program import RegoProgram
from extauthz.languages.rego.statements import Names
from extauthz.languages.rego.value import UNDEFINED, RegoSet, Value, equal, object_key
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


def compile_document(document: object, data: Value, marks: LineMarks | None) -> RegoProgram:
    """As `program.load_plan`."""
    try:
        plan = parse_plan(document)
    except (PlanError, RecursionError) as error:
        raise PolicyError([diagnostic(Place("", 0, 0), RegoCode.NOT_A_PLAN, f"not a plan: {error}")]) from error
    try:
        return _compile(verify(plan), data, marks)
    except RecursionError as error:
        message = "the policy's expressions are nested too deeply"
        raise PolicyError([diagnostic(Place("", 0, 0), RegoCode.NOT_PLANNED, message)]) from error


def _compile(verified: VerifiedPlan, data: Value, marks: LineMarks | None) -> RegoProgram:
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
