"""OPA's intermediate representation: what a planner makes of modules, as typed statements.

A plan is a JSON document (`plan.json` of a bundle built with `opa build -t plan`; OPA's package `ir` defines it). It
holds functions, one or more for each rule, and named plans, the entry points. Statements run in blocks; a statement
that fails leaves its block, and `Break` leaves it and as many blocks around it as it says.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

INPUT: Final = 0
DATA: Final = 1
"""The locals that hold the documents when a plan begins, and each function's first two parameters."""


class PlanError(ValueError):
    """Not a plan, or one that cannot be trusted."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in the policy a statement comes from. Lines and columns count from 1; 0 is unknown."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Local:
    """A local variable, by number."""

    index: int


@dataclass(frozen=True, slots=True)
class Constant:
    """A string or a boolean."""

    value: str | bool


Operand: TypeAlias = Local | Constant


@dataclass(frozen=True, slots=True)
class Statement:
    """Any statement."""

    place: Place


Block: TypeAlias = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Dot(Statement):
    """`target` = the member of `source` under `key`; fails when there is none."""

    source: Operand
    key: Operand
    target: int


@dataclass(frozen=True, slots=True)
class Call(Statement):
    """`result` = a function or built-in of `arguments`; fails when that is undefined."""

    function: str
    arguments: tuple[Operand, ...]
    result: int


@dataclass(frozen=True, slots=True)
class CallDynamic(Statement):
    """`result` = the rule under `path`, which begins with a generation as functions' paths do.

    OPA's planner wraps it in blocks: it fails when there is no such rule, and then the data document is asked; an
    undefined rule leaves `levels` more blocks. Others wrap nothing: then `stored` says to ask the data document here.
    """

    arguments: tuple[Operand, ...]
    path: tuple[Operand, ...]
    result: int
    levels: int
    stored: bool


@dataclass(frozen=True, slots=True)
class Assign(Statement):
    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class AssignOnce(Statement):
    """`target` = `source`; a conflict when `target` already has another value."""

    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class AssignInt(Statement):
    value: int
    target: int


@dataclass(frozen=True, slots=True)
class Reset(Statement):
    """`target` becomes undefined."""

    target: int


@dataclass(frozen=True, slots=True)
class MakeNull(Statement):
    target: int


@dataclass(frozen=True, slots=True)
class MakeInt(Statement):
    value: int
    target: int


@dataclass(frozen=True, slots=True)
class MakeNumber(Statement):
    text: str
    target: int


@dataclass(frozen=True, slots=True)
class MakeArray(Statement):
    target: int


@dataclass(frozen=True, slots=True)
class MakeObject(Statement):
    target: int


@dataclass(frozen=True, slots=True)
class MakeSet(Statement):
    target: int


@dataclass(frozen=True, slots=True)
class ArrayAppend(Statement):
    value: Operand
    array: int


@dataclass(frozen=True, slots=True)
class SetAdd(Statement):
    value: Operand
    set: int


@dataclass(frozen=True, slots=True)
class ObjectInsert(Statement):
    key: Operand
    value: Operand
    object: int


@dataclass(frozen=True, slots=True)
class ObjectInsertOnce(Statement):
    """As `ObjectInsert`; a conflict when the key already has another value."""

    key: Operand
    value: Operand
    object: int


@dataclass(frozen=True, slots=True)
class ObjectMerge(Statement):
    """`target` = both objects, recursively; what only one can give is from `a`."""

    a: int
    b: int
    target: int


@dataclass(frozen=True, slots=True)
class Equal(Statement):
    """Fails unless `a` and `b` are equal."""

    a: Operand
    b: Operand


@dataclass(frozen=True, slots=True)
class NotEqual(Statement):
    """Fails when `a` and `b` are equal."""

    a: Operand
    b: Operand


@dataclass(frozen=True, slots=True)
class IsDefined(Statement):
    source: int


@dataclass(frozen=True, slots=True)
class IsUndefined(Statement):
    source: int


@dataclass(frozen=True, slots=True)
class IsArray(Statement):
    source: Operand


@dataclass(frozen=True, slots=True)
class IsObject(Statement):
    source: Operand


@dataclass(frozen=True, slots=True)
class IsSet(Statement):
    source: Operand


@dataclass(frozen=True, slots=True)
class Length(Statement):
    source: Operand
    target: int


@dataclass(frozen=True, slots=True)
class Break(Statement):
    """Leaves this block and `levels` more."""

    levels: int


@dataclass(frozen=True, slots=True)
class Nothing(Statement):
    """Does nothing."""


@dataclass(frozen=True, slots=True)
class Return(Statement):
    source: int


@dataclass(frozen=True, slots=True)
class ResultAdd(Statement):
    """Adds to the results of the entry point."""

    value: int


@dataclass(frozen=True, slots=True)
class Blocks(Statement):
    """Runs each block in turn, whether or not the one before failed."""

    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Scan(Statement):
    """Runs `block` for each member of a collection; fails when `source` is none."""

    source: int
    key: int
    value: int
    block: Block


@dataclass(frozen=True, slots=True)
class Not(Statement):
    """Fails when the end of `block` is reached."""

    block: Block


@dataclass(frozen=True, slots=True)
class With(Statement):
    """Runs `block` with `path` below `local` replaced by `value`; fails unless its end is reached."""

    local: int
    path: tuple[str, ...]
    value: Operand
    block: Block


@dataclass(frozen=True, slots=True)
class Function:
    """A rule, or several with one path: called with the input, the data, and its arguments."""

    name: str
    path: tuple[str, ...]
    parameters: tuple[int, ...]
    result: int
    blocks: tuple[Block, ...]
    place: Place


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """A named plan."""

    name: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole policy."""

    entry_points: tuple[EntryPoint, ...]
    functions: tuple[Function, ...]
    compiler: str = "opa"
    """What made it."""
