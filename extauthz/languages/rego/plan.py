"""Reads a plan from its JSON document.

Strictly: what is not a plan of the form that `ir` describes is a `PlanError`, never a plan that means something else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from extauthz.languages.rego.ir import (
    ArrayAppend,
    Assign,
    AssignInt,
    AssignOnce,
    Block,
    Blocks,
    Break,
    Call,
    CallDynamic,
    Constant,
    Dot,
    EntryPoint,
    Equal,
    Function,
    IsArray,
    IsDefined,
    IsObject,
    IsSet,
    IsUndefined,
    Length,
    Local,
    MakeArray,
    MakeInt,
    MakeNull,
    MakeNumber,
    MakeObject,
    MakeSet,
    Not,
    NotEqual,
    Nothing,
    ObjectInsert,
    ObjectInsertOnce,
    ObjectMerge,
    Operand,
    Place,
    Plan,
    PlanError,
    Reset,
    ResultAdd,
    Return,
    Scan,
    SetAdd,
    Statement,
    With,
)

MAX_DEPTH = 100
"""How deep blocks may nest; recursion over them stays far from Python's limit."""

DYNAMIC_CALL_LEVELS = 3
"""OPA's planner wraps a dynamic call in this many blocks, which an undefined result leaves."""

MAX_LOCALS = 100_000
"""Of one function: a number beyond is damage, not a policy."""


def parse_plan(document: object) -> Plan:
    """A plan from its JSON document.

    Raises:
        PlanError: it is none; the message says where.
    """
    return _Reader(_mapping(document, "the plan")).plan()


@dataclass(slots=True)
class _Reader:
    document: Mapping[str, Any]
    strings: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    compiler: str = "opa"
    depth: int = 0

    def plan(self) -> Plan:
        self.compiler = _text(self.document.get("compiler", "opa"), "compiler")
        static = _mapping(self.document.get("static"), "static")
        self.strings = [_text(s.get("value"), "a string") for s in _mappings(static.get("strings"), "static.strings")]
        self.files = [_text(s.get("value"), "a file") for s in _mappings(static.get("files"), "static.files")]
        functions = _mappings(_mapping(self.document.get("funcs"), "funcs").get("funcs"), "funcs.funcs")
        plans = _mappings(_mapping(self.document.get("plans"), "plans").get("plans"), "plans.plans")
        return Plan(
            entry_points=tuple(EntryPoint(_text(p.get("name"), "a plan's name"), self._blocks(p)) for p in plans),
            functions=tuple(map(self._function, functions)),
            compiler=self.compiler,
        )

    def _function(self, document: Mapping[str, Any]) -> Function:
        name = _text(document.get("name"), "a function's name")
        blocks = self._blocks(document)
        return Function(
            name=name,
            path=tuple(_text(part, f"the path of {name}") for part in _sequence(document.get("path"), name)),
            parameters=tuple(map(_local, _sequence(document.get("params"), name))),
            result=_local(document.get("return")),
            blocks=blocks,
            place=next((s.place for block in blocks for s in block if s.place.line), Place(name, 0, 0)),
        )

    def _blocks(self, document: Mapping[str, Any]) -> tuple[Block, ...]:
        return tuple(map(self._block, _mappings(document.get("blocks"), "blocks")))

    def _block(self, document: object) -> Block:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise PlanError("the policy's expressions are nested too deeply")
        block = tuple(map(self._statement, _mappings(_mapping(document, "a block").get("stmts"), "a block")))
        self.depth -= 1
        return block

    def _statement(self, document: Mapping[str, Any]) -> Statement:
        kind = document.get("type")
        reader = _READERS.get(kind) if isinstance(kind, str) else None
        if reader is None:
            raise PlanError(f"an unknown statement, {kind!r}")
        fields = _mapping(document.get("stmt"), str(kind))
        return reader(self, fields, self._place(fields))

    def _place(self, fields: Mapping[str, Any]) -> Place:
        file, line, column = fields.get("file"), fields.get("row"), fields.get("col")
        known = isinstance(file, int) and 0 <= file < len(self.files)
        # regopy counts from 0.
        offset = 1 if self.compiler == "regopy" else 0
        return Place(
            self.files[file] if known and isinstance(file, int) else "",
            line + offset if isinstance(line, int) else 0,
            column + offset if isinstance(column, int) else 0,
        )

    def operand(self, document: object) -> Operand:
        """A local, a string or a boolean."""
        fields = _mapping(document, "an operand")
        kind, value = fields.get("type"), fields.get("value")
        if kind == "local":
            return Local(_local(value))
        if kind == "string_index":
            return Constant(self.string(value))
        if kind == "bool" and isinstance(value, bool):
            return Constant(value)
        raise PlanError(f"an unknown operand, {kind!r}")

    def operands(self, document: object) -> tuple[Operand, ...]:
        """A list of operands."""
        return tuple(self.operand(item) for item in _sequence(document, "operands"))

    def string(self, index: object) -> str:
        """A string of the static table."""
        if not isinstance(index, int) or not 0 <= index < len(self.strings):
            raise PlanError("a string that the plan does not hold")
        return self.strings[index]


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise PlanError(f"{what}: not an object")
    return value


def _sequence(value: object, what: str) -> Sequence[Any]:
    if value is None:  # how Go writes an empty list
        return ()
    if not isinstance(value, list):
        raise PlanError(f"{what}: not a list")
    return value


def _mappings(value: object, what: str) -> Sequence[Mapping[str, Any]]:
    return [_mapping(item, what) for item in _sequence(value, what)]


def _text(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise PlanError(f"{what}: not a string")
    return value


def _integer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise PlanError("not an integer")
    return value


def _local(value: object) -> int:
    local = _integer(value)
    if not 0 <= local < MAX_LOCALS:
        raise PlanError("a local variable out of range")
    return local


_Fields: TypeAlias = Mapping[str, Any]


def _call_dynamic(reader: _Reader, fields: _Fields, place: Place) -> CallDynamic:
    """OPA's path begins with a generation, `g0`, and arguments are numbers; regopy's begins with `data`."""
    arguments = tuple(
        Local(_local(item)) if isinstance(item, int) else reader.operand(item)
        for item in _sequence(fields.get("args"), "a dynamic call")
    )
    path = reader.operands(fields.get("path"))
    stored = path[:1] == (Constant("data"),)
    return CallDynamic(
        place,
        arguments,
        (Constant("g0"), *path[1:]) if stored else path,
        _local(fields.get("result")),
        0 if stored else DYNAMIC_CALL_LEVELS,
        stored,
    )


_READERS: dict[str, Callable[[_Reader, _Fields, Place], Statement]] = {
    "DotStmt": lambda r, f, p: Dot(p, r.operand(f.get("source")), r.operand(f.get("key")), _local(f.get("target"))),
    "CallStmt": lambda r, f, p: Call(
        p, _text(f.get("func"), "a call"), r.operands(f.get("args")), _local(f.get("result"))
    ),
    "CallDynamicStmt": _call_dynamic,
    "AssignVarStmt": lambda r, f, p: Assign(p, r.operand(f.get("source")), _local(f.get("target"))),
    "AssignVarOnceStmt": lambda r, f, p: AssignOnce(p, r.operand(f.get("source")), _local(f.get("target"))),
    "AssignIntStmt": lambda _, f, p: AssignInt(p, _integer(f.get("value")), _local(f.get("target"))),
    "ResetLocalStmt": lambda _, f, p: Reset(p, _local(f.get("target"))),
    "MakeNullStmt": lambda _, f, p: MakeNull(p, _local(f.get("target"))),
    "MakeNumberIntStmt": lambda _, f, p: MakeInt(p, _integer(f.get("value")), _local(f.get("target"))),
    # Go writes this field in upper case, as it has no tag there.
    "MakeNumberRefStmt": lambda r, f, p: MakeNumber(
        p, r.string(f.get("Index", f.get("index"))), _local(f.get("target"))
    ),
    "MakeArrayStmt": lambda _, f, p: MakeArray(p, _local(f.get("target"))),
    "MakeObjectStmt": lambda _, f, p: MakeObject(p, _local(f.get("target"))),
    "MakeSetStmt": lambda _, f, p: MakeSet(p, _local(f.get("target"))),
    "ArrayAppendStmt": lambda r, f, p: ArrayAppend(p, r.operand(f.get("value")), _local(f.get("array"))),
    "SetAddStmt": lambda r, f, p: SetAdd(p, r.operand(f.get("value")), _local(f.get("set"))),
    "ObjectInsertStmt": lambda r, f, p: ObjectInsert(
        p, r.operand(f.get("key")), r.operand(f.get("value")), _local(f.get("object"))
    ),
    "ObjectInsertOnceStmt": lambda r, f, p: ObjectInsertOnce(
        p, r.operand(f.get("key")), r.operand(f.get("value")), _local(f.get("object"))
    ),
    "ObjectMergeStmt": lambda _, f, p: ObjectMerge(p, _local(f.get("a")), _local(f.get("b")), _local(f.get("target"))),
    "EqualStmt": lambda r, f, p: Equal(p, r.operand(f.get("a")), r.operand(f.get("b"))),
    "NotEqualStmt": lambda r, f, p: NotEqual(p, r.operand(f.get("a")), r.operand(f.get("b"))),
    "IsDefinedStmt": lambda _, f, p: IsDefined(p, _local(f.get("source"))),
    "IsUndefinedStmt": lambda _, f, p: IsUndefined(p, _local(f.get("source"))),
    "IsArrayStmt": lambda r, f, p: IsArray(p, r.operand(f.get("source"))),
    "IsObjectStmt": lambda r, f, p: IsObject(p, r.operand(f.get("source"))),
    "IsSetStmt": lambda r, f, p: IsSet(p, r.operand(f.get("source"))),
    "LenStmt": lambda r, f, p: Length(p, r.operand(f.get("source")), _local(f.get("target"))),
    "BreakStmt": lambda _, f, p: Break(p, _integer(f.get("index"))),
    "NopStmt": lambda _, __, p: Nothing(p),
    "ReturnLocalStmt": lambda _, f, p: Return(p, _local(f.get("source"))),
    "ResultSetAddStmt": lambda _, f, p: ResultAdd(p, _local(f.get("value"))),
    "BlockStmt": lambda r, f, p: Blocks(p, r._blocks(f)),  # noqa: SLF001 - a part of the reader
    "ScanStmt": lambda r, f, p: Scan(
        p,
        _local(f.get("source")),
        _local(f.get("key")),
        _local(f.get("value")),
        r._block(f.get("block")),  # noqa: SLF001
    ),
    "NotStmt": lambda r, f, p: Not(p, r._block(f.get("block"))),  # noqa: SLF001
    "WithStmt": lambda r, f, p: With(
        p,
        _local(f.get("local")),
        tuple(map(r.string, _sequence(f.get("path"), "with"))),
        r.operand(f.get("value")),
        r._block(f.get("block")),  # noqa: SLF001
    ),
}
