"""The parts of a condition and what each comes to on one request: CEL itself keeps no trace of an evaluation.

Each part is evaluated by itself over the same facts (`extauthz.languages.cel_facts`) and by the same library as the
whole. What a loop asks of each item of a list is evaluated with the item in the place of the loop's variable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Final

from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr, Type
from google.api.expr.v1alpha1.syntax_pb2 import Constant, Expr

from extauthz.languages.cel import CelCondition, CelError, CelResult, evaluator
from extauthz.languages.cel_ast import (
    Bound,
    Read,
    Slots,
    children,
    constant_text,
    line_and_column,
    place_slots,
    read_of,
    walk,
)
from extauthz.languages.cel_facts import UNREADABLE, CelPath, Load, load_presence, load_value
from extauthz.languages.cel_guard import CALLER, value_text
from extauthz.languages.cel_text import Loop, loop_of, text_of
from extauthz.model.access import Facts
from extauthz.model.decision import Outcome

MAX_ITEMS: Final = 8
"""Of a list: what a loop asks of further ones is not shown."""


class Kind(StrEnum):
    """What the value of a part follows from."""

    AND = "and"
    OR = "or"
    NOT = "not"
    CHOICE = "choice"
    LOOP = "loop"
    READ = "read"
    OTHER = "other"


_LENIENT: Final = frozenset({"_&&_", "_||_", "_?_:_"})
"""Operators whose result may not depend on an operand that errs."""
_KINDS: Final = {"_&&_": Kind.AND, "_||_": Kind.OR, "!_": Kind.NOT, "_?_:_": Kind.CHOICE}


@dataclass(frozen=True, slots=True)
class PartResult:
    """One part on one request."""

    part: Part
    result: CelResult
    below: tuple[PartResult, ...]

    def reads(self) -> Iterator[PartResult]:
        """The parts that do nothing but read a fact, from left to right."""
        if self.part.kind is Kind.READ:
            yield self
        for result in self.below:
            yield from result.reads()


@dataclass(frozen=True, eq=False)
class Part:
    """A sub-expression. Programs are made when they are first needed, and kept."""

    _expr: Expr = field(repr=False)
    _whole: CheckedExpr = field(repr=False)

    @cached_property
    def text(self) -> str:
        return text_of(self._expr)

    @cached_property
    def place(self) -> tuple[int, int]:
        """Line and column within the condition, from 1; of a variable's part, where the variable is named."""
        return line_and_column(self._whole.source_info, self._expr.id)

    @cached_property
    def kind(self) -> Kind:
        if read_of(self._expr) is not None:
            return Kind.READ
        if self._loop is not None:
            return Kind.LOOP
        return _KINDS.get(self._expr.call_expr.function, Kind.OTHER)

    @cached_property
    def is_bool(self) -> bool:
        known = self._whole.type_map.get(self._expr.id)
        return known is not None and known.primitive == Type.BOOL

    @cached_property
    def reads(self) -> frozenset[CelPath]:
        """Every fact that it reads."""
        return frozenset(read.path for read in _reads(self._expr, frozenset()))

    @cached_property
    def presence(self) -> CelPath | None:
        """What it looks for, when all it does is to ask whether a path is there."""
        read = read_of(self._expr)
        return read.path if read is not None and read.presence else None

    @cached_property
    def canonical(self) -> tuple[bytes, bool]:
        """The expression wherever it stands, and whether it is what the part negates: `a != b` is not `a == b`."""
        whole = Expr()
        whole.CopyFrom(self._expr)
        for node, _ in walk(whole):
            node.id = 0
            for entry in node.struct_expr.entries if node.WhichOneof("expr_kind") == "struct_expr" else ():
                entry.id = 0
        negated = whole.call_expr.function == "_!=_"
        if negated:
            whole.call_expr.function = "_==_"
        return whole.SerializeToString(deterministic=True), negated

    @cached_property
    def is_strict(self) -> bool:
        """Whether it errs when something that it reads does: nothing within it can pass over an error."""
        return not any(
            node.call_expr.function in _LENIENT or node.WhichOneof("expr_kind") == "comprehension_expr"
            for node, _ in walk(self._expr)
        )

    @cached_property
    def compared_texts(self) -> frozenset[str] | None:
        """The texts that `==`, `!=` or `in` compares one read with; None when it is no such comparison."""
        call = self._expr.call_expr
        if call.function not in {"_==_", "_!=_", "@in"}:
            return None
        values = [expr for expr in call.args if read_of(expr) is None]
        if len(values) != 1:
            return None
        listed = values[0].list_expr.elements if values[0].HasField("list_expr") else values
        found = [constant_text(expr) for expr in listed]
        return None if None in found else frozenset(text for text in found if text is not None)

    @cached_property
    def equality(self) -> tuple[CelPath, str | bool] | None:
        """The read and the text or truth that `==` or `!=` compares it with; None when it does something else."""
        call = self._expr.call_expr
        if call.function not in {"_==_", "_!=_"}:
            return None
        reads = [read for expr in call.args if (read := read_of(expr)) is not None and not read.presence]
        constants = [expr.const_expr for expr in call.args if expr.HasField("const_expr")]
        if len(reads) != 1 or len(constants) != 1:
            return None
        kind = constants[0].WhichOneof("constant_kind")
        if kind == "bool_value":
            return reads[0].path, bool(constants[0].bool_value)
        return (reads[0].path, str(constants[0].string_value)) if kind == "string_value" else None

    @cached_property
    def texts(self) -> frozenset[str]:
        """Every text that is written in it."""
        return frozenset(text for node, _ in walk(self._expr) if (text := constant_text(node)) is not None)

    @cached_property
    def operands(self) -> tuple[Part, ...]:
        """What it is put together from by one of `&&`, `||`, `!` and `?:`, in order; of another part, nothing."""
        if self.kind not in _KINDS.values():
            return ()
        parts = tuple(Part(child, self._whole) for child, _ in children(self._expr))
        return parts if all(part.is_bool for part in parts) else ()

    @cached_property
    def children(self) -> tuple[Part, ...]:
        """The parts that are worth a look, which constants are not; of a loop only what it runs over."""
        if _is_path(self._expr):
            return ()
        below = [self._loop.range] if self._loop is not None else [child for child, _ in children(self._expr)]
        parts = [Part(expr, self._whole) for expr in below]
        if self.kind in {Kind.AND, Kind.OR}:  # `a && b && c` has three parts
            parts = [inner for part in parts for inner in (part.children if part.kind is self.kind else (part,))]
        return tuple(part for part in parts if part.reads)

    def atoms(self) -> Iterator[Part]:
        """The conditions that `&&`, `||`, `!` and `?:` put together, from left to right."""
        if not self.operands:
            yield self
        for operand in self.operands:
            yield from operand.atoms()

    def evaluate(self, facts: Facts) -> CelResult:
        """What it comes to on this request; never raises."""
        data: dict[str, object] = {}
        unreadable: list[Read] = []
        for read, name, load in self._loads:
            value = load(facts)
            if value is UNREADABLE:
                unreadable.append(read)
            else:
                data[name] = value
        result = self._program(data)
        if result.outcome is Outcome.ERRORED and unreadable:
            return CelResult("; ".join(_why_unreadable(read, facts) for read in unreadable), Outcome.ERRORED)
        return result

    def trace(self, facts: Facts) -> PartResult:
        """The same with every part below, and what a loop asks of each item."""
        below = [child.trace(facts) for child in self.children]
        if self._loop is not None:
            below += [item.trace(facts) for item in self._items(self._loop, facts)]
        return PartResult(self, self.evaluate(facts), tuple(below))

    # --- How ---

    @cached_property
    def _loop(self) -> Loop | None:
        return loop_of(self._expr)

    @cached_property
    def _compiled(self) -> tuple[CheckedExpr, Slots]:
        nodes = [node.id for node, _ in walk(self._expr)]
        checked = CheckedExpr(
            expr=self._expr,
            reference_map={i: self._whole.reference_map[i] for i in nodes if i in self._whole.reference_map},
            type_map={i: self._whole.type_map[i] for i in nodes if i in self._whole.type_map},
        )
        slots = Slots()
        place_slots(checked, slots)
        return checked, slots

    @cached_property
    def _program(self) -> Callable[[Mapping[str, object]], CelResult]:
        return evaluator(self._compiled[0])

    @cached_property
    def _loads(self) -> tuple[tuple[Read, str, Load], ...]:
        names = self._compiled[1].names
        return tuple(
            (read, name, load_presence(read.path) if read.presence else load_value(read.path))
            for read, name in names.items()
        )

    def _items(self, loop: Loop, facts: Facts) -> Iterator[Part]:
        """What the loop asks of each item of a list; nothing of a map, whose keys have no index."""
        for index in range(MAX_ITEMS):
            item = Expr(
                id=loop.range.id,
                call_expr=Expr.Call(function="_[_]", args=[loop.range, Expr(const_expr=Constant(int64_value=index))]),
            )
            try:
                found = Part(item, self._whole).evaluate(facts)
                asked = Part(_with_item(loop, item), self._whole)
            except CelError:  # too deep with the item in place
                return
            if found.outcome is Outcome.ERRORED:
                return  # past the end, or no list
            yield asked


def _with_item(loop: Loop, item: Expr) -> Expr:
    body = Expr()
    body.CopyFrom(loop.body)
    for node, bound in walk(body):
        if node.ident_expr.name == loop.variable and loop.variable not in bound:
            node.CopyFrom(item)
    return body


def _reads(expr: Expr, bound: Bound) -> Iterator[Read]:
    read = read_of(expr, bound)
    if read is not None:
        yield read
        return
    for child, inner in children(expr, bound):
        yield from _reads(child, inner)


def _is_path(expr: Expr) -> bool:
    """Whether the node only leads to a value: `claims.a`, `claims.list[0].b`."""
    if read_of(expr) is not None:
        return True
    if expr.WhichOneof("expr_kind") == "select_expr":
        return _is_path(expr.select_expr.operand)
    is_index = expr.call_expr.function == "_[_]"
    return is_index and expr.call_expr.args[1].HasField("const_expr") and _is_path(expr.call_expr.args[0])


def _why_unreadable(read: Read, facts: Facts) -> str:
    """Why a fact that is read is an error: it is not there, or there is no one value to read."""
    path = read.path
    if path[0] in CALLER:
        return f"{path[0]} is absent: nobody is authenticated"
    if path[0] == "body" and load_value(path[:1])(facts) is UNREADABLE:
        return "the body is not here, not whole, or not JSON"
    for end in range(2, len(path) + (not read.presence)):
        if load_presence(path[:end])(facts) is False:
            return f"{value_text(path[:end])} is absent"
    return f"{value_text(path)} cannot be read: it is repeated, malformed or unsafe"


@lru_cache(maxsize=1024)
def parts_of(condition: CelCondition) -> Part:
    """The whole condition as a part; the same one again while it is asked for, with the programs that it has made."""
    checked = CheckedExpr.FromString(condition.checked)
    return Part(checked.expr, checked)
