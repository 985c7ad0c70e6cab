"""Checked CEL expressions (google.api.expr.v1alpha1.CheckedExpr) as data: what they read, variables, slots.

A declared name with dots (`request.method`) is one identifier. Macros are expanded: a loop is a comprehension, `has()`
a select that only tests. Loop variables never hide a declared name (`extauthz.languages.cel_lint` refuses that), so
whatever is inlined means the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr
from google.api.expr.v1alpha1.syntax_pb2 import Expr, SourceInfo

from extauthz.languages.cel_facts import MAPS, NAMES, CelPath

MAX_NODES = 50_000
"""Of one expression with its variables inlined: variables that double each other grow fast."""

Bound: TypeAlias = frozenset[str]
"""The loop variables in scope."""


class ExpressionTooLargeError(Exception):
    """An expression with more than MAX_NODES nodes once its variables are inlined."""


@dataclass(frozen=True, slots=True)
class Read:
    """One read of a fact: its value, or, with `presence`, whether the path's last key is there."""

    path: CelPath
    presence: bool


@dataclass(frozen=True, slots=True)
class Slots:
    """The reads of an expression, each under the identifier that stands for it."""

    names: dict[Read, str] = field(default_factory=dict)

    def name(self, read: Read) -> str:
        return self.names.setdefault(read, f"@slot{len(self.names)}")


def children(expr: Expr, bound: Bound = frozenset()) -> Iterator[tuple[Expr, Bound]]:
    """The sub-expressions of one node, each with the loop variables in its scope."""
    match expr.WhichOneof("expr_kind"):
        case "select_expr":
            yield expr.select_expr.operand, bound
        case "call_expr":
            if expr.call_expr.HasField("target"):
                yield expr.call_expr.target, bound
            for argument in expr.call_expr.args:
                yield argument, bound
        case "list_expr":
            for element in expr.list_expr.elements:
                yield element, bound
        case "struct_expr":
            for entry in expr.struct_expr.entries:
                if entry.HasField("map_key"):
                    yield entry.map_key, bound
                yield entry.value, bound
        case "comprehension_expr":
            loop = expr.comprehension_expr
            inner = bound | {loop.iter_var, loop.iter_var2, loop.accu_var}
            yield loop.iter_range, bound
            yield loop.accu_init, bound
            yield loop.loop_condition, inner
            yield loop.loop_step, inner
            yield loop.result, inner
        case _:  # identifiers and constants have none
            return


def walk(expr: Expr, bound: Bound = frozenset()) -> Iterator[tuple[Expr, Bound]]:
    """Every node, each before its children."""
    yield expr, bound
    for child, inner in children(expr, bound):
        yield from walk(child, inner)


def chain(expr: Expr, bound: Bound = frozenset()) -> CelPath | None:
    """The constant path that the node reads, from a declared name on; None when it is another kind of node."""
    match expr.WhichOneof("expr_kind"):
        case "ident_expr":
            name = expr.ident_expr.name
            return (name,) if name in NAMES and name not in bound else None
        case "select_expr":
            above = chain(expr.select_expr.operand, bound)
            return None if above is None or expr.select_expr.test_only else (*above, expr.select_expr.field)
        case "call_expr" if expr.call_expr.function == "_[_]":
            operand, index = expr.call_expr.args
            key = constant_text(index)
            above = None if key is None else chain(operand, bound)
            return None if above is None or key is None else (*above, key)
        case _:
            return None


def constant_text(expr: Expr) -> str | None:
    """The text of a string literal, None for any other node."""
    is_text = expr.const_expr.WhichOneof("constant_kind") == "string_value"
    return str(expr.const_expr.string_value) if is_text else None


def membership(expr: Expr, bound: Bound = frozenset()) -> CelPath | None:
    """The path whose last key the node looks for: `has(claims.a.b)`, or `'b' in claims.a`, where that may be a list."""
    match expr.WhichOneof("expr_kind"):
        case "select_expr" if expr.select_expr.test_only:
            above = chain(expr.select_expr.operand, bound)
            return None if above is None else (*above, expr.select_expr.field)
        case "call_expr" if expr.call_expr.function == "@in":
            element, container = expr.call_expr.args
            key = constant_text(element)
            above = None if key is None else chain(container, bound)
            return None if above is None or key is None else (*above, key)
        case _:
            return None


def read_of(expr: Expr, bound: Bound = frozenset()) -> Read | None:
    """The read that the node as a whole is, if it is one."""
    path = chain(expr, bound)
    if path is not None:
        return Read(path, presence=False)
    path = membership(expr, bound)
    if path is not None and (expr.WhichOneof("expr_kind") == "select_expr" or (len(path) == 2 and path[0] in MAPS)):
        return Read(path, presence=True)
    return None


def place_slots(checked: CheckedExpr, slots: Slots) -> None:
    """Puts an identifier in the place of every read, in place: the expression then depends on nothing but `slots`."""

    def place(expr: Expr, bound: Bound) -> None:
        read = read_of(expr, bound)
        if read is None:
            for child, inner in children(expr, bound):
                place(child, inner)
        else:
            checked.reference_map.pop(expr.id, None)
            expr.CopyFrom(Expr(id=expr.id, ident_expr=Expr.Ident(name=slots.name(read))))

    place(checked.expr, frozenset())


def inline_variables(checked: CheckedExpr, variables: Mapping[str, CheckedExpr]) -> None:
    """Puts the variables' expressions in the place of their names, in place; their nodes get new ids.

    Args:
        checked: the expression.
        variables: by identifier (`variables.business_hours`), with nothing left to inline.

    Raises:
        ExpressionTooLargeError: the result would have more than MAX_NODES nodes.
    """
    uses = [expr for expr, _ in walk(checked.expr) if expr.ident_expr.name in variables]
    total = _size(checked) + sum(_size(variables[expr.ident_expr.name]) for expr in uses)
    if total > MAX_NODES:
        raise ExpressionTooLargeError
    next_id = max([checked.expr.id, *checked.source_info.positions, *checked.type_map]) + 1
    for use in uses:
        variable = variables[use.ident_expr.name]
        place = checked.source_info.positions.get(use.id)
        checked.reference_map.pop(use.id, None)
        checked.type_map.pop(use.id, None)
        use.CopyFrom(variable.expr)
        next_id = _renumber(use, variable, checked, start=next_id, place=place)


def _size(checked: CheckedExpr) -> int:
    return sum(1 for _ in walk(checked.expr))


def _renumber(expr: Expr, origin: CheckedExpr, target: CheckedExpr, *, start: int, place: int | None) -> int:
    """Gives the nodes of `expr`, copied from `origin`, ids of `target` from `start` on; returns the next free one."""
    next_id = start
    for node, _ in walk(expr):
        if node.id in origin.type_map:
            target.type_map[next_id].CopyFrom(origin.type_map[node.id])
        if node.id in origin.reference_map:
            target.reference_map[next_id].CopyFrom(origin.reference_map[node.id])
        if place is not None:
            target.source_info.positions[next_id] = place
        node.id = next_id
        next_id += 1
        for entry in node.struct_expr.entries if node.WhichOneof("expr_kind") == "struct_expr" else ():
            entry.id = next_id
            next_id += 1
    return next_id


def line_and_column(info: SourceInfo, node_id: int) -> tuple[int, int]:
    """Where a node stands in the text, both from 1, columns in code points; the beginning when that is not known."""
    offset = info.positions.get(node_id)
    if offset is None:
        return 1, 1
    starts = [0, *(start for start in info.line_offsets if start <= offset)]
    return len(starts), offset - starts[-1] + 1
