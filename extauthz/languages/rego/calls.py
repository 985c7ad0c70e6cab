"""Which functions a plan's blocks can call."""

from __future__ import annotations

from collections.abc import Iterable

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Constant, Plan
from extauthz.languages.rego.shape import all_statements


def callees(blocks: Iterable[Block], plan: Plan) -> tuple[str, ...]:
    """The functions and built-ins that blocks may call themselves, each once, in the order of the plan."""
    found: dict[str, None] = {}
    for statement in all_statements(blocks):
        if isinstance(statement, ir.Call):
            found[statement.function] = None
        elif isinstance(statement, ir.CallDynamic):
            found.update(dict.fromkeys(f.name for f in plan.functions if may_call(statement, f)))
    return tuple(found)


def all_callees(blocks: Iterable[Block], plan: Plan) -> frozenset[str]:
    """As `callees`, with those that the functions among them may call in turn."""
    functions = {function.name: function for function in plan.functions}
    waiting = [tuple(blocks)]
    seen: set[str] = set()
    while waiting:
        called = set(callees(waiting.pop(), plan)) - seen
        seen |= called
        waiting += [functions[name].blocks for name in called if name in functions]
    return frozenset(seen)


def may_call(call: ir.CallDynamic, function: ir.Function) -> bool:
    """Whether a dynamic call's path can turn out to be a function's."""
    if len(call.path) != len(function.path) or len(function.parameters) != 2:
        return False
    pairs = zip(call.path, function.path, strict=True)
    return all(not isinstance(step, Constant) or step.value == part for step, part in pairs)


def blocks_at(plan: Plan, path: str) -> tuple[tuple[Block, ...], tuple[int, ...]]:
    """The blocks and parameters of a rule such as `shop/reports/allow`, else of the entry point of that name.

    Raises:
        KeyError: the plan has neither.
    """
    for function in plan.functions:
        if "/".join(function.path[1:]) == path and function.path[:1] == ("g0",) and len(function.parameters) == 2:
            return function.blocks, function.parameters
    for entry_point in plan.entry_points:
        if entry_point.name == path:
            return entry_point.blocks, (ir.INPUT, ir.DATA)
    raise KeyError(path)
