"""What kind a statement is, for those who walk over plans."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Statement


def inner_blocks(statement: Statement) -> tuple[Block, ...]:
    """The blocks directly within a statement."""
    match statement:
        case ir.Blocks(blocks=blocks):
            return blocks
        case ir.Scan(block=block) | ir.Not(block=block) | ir.With(block=block):
            return (block,)
        case _:
            return ()


def levels_left(statement: Statement) -> int:
    """How many blocks around its own a statement can leave."""
    match statement:
        case ir.Break(levels=levels):
            return levels
        case ir.CallDynamic(levels=levels):
            return levels
        case _:
            return 0


def may_fail(statement: Statement) -> bool:
    """Whether a statement can leave its block by failing."""
    return isinstance(
        statement,
        (
            ir.Dot,
            ir.Call,
            ir.CallDynamic,
            ir.Equal,
            ir.NotEqual,
            ir.IsDefined,
            ir.IsUndefined,
            ir.IsArray,
            ir.IsObject,
            ir.IsSet,
            ir.Scan,
            ir.Not,
            ir.With,
        ),
    )


def depends_on_order(block: Block) -> bool:
    """Whether a scan's outcome depends on the order of its rounds: only arrays and results keep one."""
    made: set[int] = set()
    waiting = [block]
    appended: set[int] = set()
    while waiting:
        for statement in waiting.pop():
            match statement:
                case ir.MakeArray(target=target):
                    made.add(target)
                case ir.ArrayAppend(array=array):
                    appended.add(array)
                case ir.ResultAdd():
                    return True
                case _:
                    waiting += inner_blocks(statement)
    return not appended <= made


def parts_of_data(blocks: Iterable[Block]) -> frozenset[int]:
    """The locals that only ever hold what a path of keys reaches from the data document."""
    sources: dict[int, set[int | None]] = {}
    for statement in all_statements(blocks):
        for local in written_locals(statement):
            sources.setdefault(local, set()).add(_stored_source(statement))
    reached = {ir.DATA}
    while True:
        more = {local for local, found in sources.items() if found <= reached} - reached
        if not more:
            return frozenset(reached)
        reached |= more


def _stored_source(statement: Statement) -> int | None:
    """The local of which a statement takes a member, or the data document that it takes whole."""
    match statement:
        case ir.Dot(source=ir.Local(index=index)):
            return index
        case ir.Assign(source=ir.Local(index=ir.DATA)):
            return ir.DATA
        case _:
            return None


def all_blocks(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks and those within them."""
    for block in blocks:
        yield block
        for statement in block:
            yield from all_blocks(inner_blocks(statement))


def all_statements(blocks: Iterable[Block]) -> Iterator[Statement]:
    """Every statement of the blocks and of the blocks within them, in the order of the plan."""
    for block in blocks:
        for statement in block:
            yield statement
            yield from all_statements(inner_blocks(statement))


def written_locals(statement: Statement) -> tuple[int, ...]:
    """The locals that a statement gives a value, itself and not by its blocks."""
    match statement:
        case ir.Scan(key=key, value=value):
            return (key, value)
        case ir.Call(result=local) | ir.CallDynamic(result=local) | ir.With(local=local):
            return (local,)
        case _:
            target = getattr(statement, "target", None)
            return () if target is None else (target,)


def changed_local(statement: Statement) -> int | None:
    """The local whose collection a statement adds to."""
    match statement:
        case ir.ArrayAppend(array=owner) | ir.SetAdd(set=owner):
            return owner
        case ir.ObjectInsert(object=owner) | ir.ObjectInsertOnce(object=owner):
            return owner
        case _:
            return None


_LOCAL_FIELDS = frozenset({"array", "set", "object", "source", "a", "b", "local"})
"""Fields that name a local which is read, by its number."""


def reads(statement: Statement) -> Iterator[int]:
    """The locals whose value a statement itself reads, those that it adds to included."""
    if isinstance(statement, ir.ResultAdd):
        yield statement.value
        return
    for name in _field_names(type(statement).__name__):
        value = getattr(statement, name)
        if isinstance(value, ir.Local):
            yield value.index
        elif isinstance(value, tuple):
            yield from (item.index for item in value if isinstance(item, ir.Local))
        elif name in _LOCAL_FIELDS and isinstance(value, int):
            yield value


@functools.cache
def _field_names(kind: str) -> tuple[str, ...]:
    names = (field.name for field in fields(getattr(ir, kind)))
    return tuple(name for name in names if name not in {"place", "block", "blocks"})


@dataclass(slots=True)
class Uses:
    """Who writes and reads the locals of a function."""

    writers: dict[int, list[Statement]] = field(default_factory=dict)
    readers: dict[int, list[Statement]] = field(default_factory=dict)
    changers: dict[int, list[Statement]] = field(default_factory=dict)
    """Statements that add to the collection that a local holds; they are readers too."""
    asked: set[int] = field(default_factory=set)
    """Locals of which it matters whether they are defined, or which a `with` replaces."""


def uses_of(blocks: Iterable[Block]) -> Uses:
    """Look at every statement of the blocks."""
    uses = Uses()
    for statement in all_statements(blocks):
        for local in written_locals(statement):
            uses.writers.setdefault(local, []).append(statement)
        for local in reads(statement):
            uses.readers.setdefault(local, []).append(statement)
        changed = changed_local(statement)
        if changed is not None:
            uses.changers.setdefault(changed, []).append(statement)
        match statement:
            case ir.IsDefined(source=local) | ir.IsUndefined(source=local) | ir.Return(source=local):
                uses.asked.add(local)
            case ir.AssignOnce(target=local) | ir.With(local=local) | ir.Reset(target=local):
                uses.asked.add(local)
            case _:
                pass
    return uses
