"""What a plan computes anew each time although it is always the same: literals, and the objects built of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Constant, Local, Operand, PlanError, Statement
from extauthz.languages.rego.number import Number, parse_number
from extauthz.languages.rego.shape import Uses, all_statements, changed_local, inner_blocks, reads, uses_of
from extauthz.languages.rego.value import RegoSet, Value, equal, object_key


@dataclass(slots=True)
class Known:
    """What is known of the locals of a function before it runs."""

    values: dict[int, Value] = field(default_factory=dict)
    """Locals that only ever hold one value."""
    needless: set[int] = field(default_factory=set)
    """The `id` of each statement that need not run."""


def read_number(text: str) -> Number:
    """A number of a plan.

    Raises:
        PlanError: it is none, or out of range.
    """
    try:
        return parse_number(text)
    except ValueError as error:
        raise PlanError(f"a number that cannot be read: {error}") from error


def known_values(blocks: Iterable[Block], parameters: Iterable[int]) -> Known:
    """Find what is known of a function's locals."""
    blocks = tuple(blocks)
    uses = uses_of(blocks)
    known = Known()
    excluded = {*parameters, *uses.asked}
    for local, writers in uses.writers.items():
        value = _one_value(writers)
        if value is not None and local not in excluded and local not in uses.changers:
            known.values[local] = value[0]
            known.needless.update(map(id, writers))
    if not _builds_in_place(uses):
        for block in blocks:
            _find_composites(block, uses, excluded, known)
    for local, writers in uses.writers.items():
        if local not in excluded and not uses.readers.get(local) and local not in uses.changers:
            known.needless.update(id(writer) for writer in writers if _only_writes(writer))
    return known


def _one_value(writers: list[Statement]) -> tuple[Value] | None:
    """The value that all writers of a local give it; None when there is no such value."""
    found: list[Value] = []
    for writer in writers:
        match writer:
            case ir.Assign(source=Constant(value=value)):
                found.append(value)
            case ir.AssignInt(value=number) | ir.MakeInt(value=number):
                found.append(number)
            case ir.MakeNumber(text=text):
                found.append(read_number(text))
            case ir.MakeNull():
                found.append(None)
            case _:
                return None
    if all(type(value) is type(found[0]) and value == found[0] for value in found):
        return (found[0],)
    return None


def _only_writes(statement: Statement) -> bool:
    return isinstance(statement, (ir.Assign, ir.AssignInt, ir.MakeInt, ir.MakeNumber, ir.MakeNull))


def _builds_in_place(uses: Uses) -> bool:
    """Whether something that was looked up is added to: then what it is part of is not constant."""
    return any(
        not isinstance(writer, (ir.MakeArray, ir.MakeObject, ir.MakeSet, ir.Reset))
        for local in uses.changers
        for writer in uses.writers.get(local, ())
    )


def _find_composites(block: Block, uses: Uses, excluded: set[int], known: Known) -> None:
    """Collections that are made in a block, filled with known values in it, and only then read."""
    for statement in block:
        for inner in inner_blocks(statement):
            _find_composites(inner, uses, excluded, known)
    filling: dict[int, list[Statement]] = {}
    first_read: dict[int, int] = {}
    for position, statement in enumerate(block):
        changed = changed_local(statement)
        if changed is not None:
            filling.setdefault(changed, []).append(statement)
        for read in all_statements([(statement,)]):
            for local in reads(read):
                if local != changed:
                    first_read.setdefault(local, position)
    positions = {id(statement): position for position, statement in enumerate(block)}
    made = [(s.target, s) for s in block if isinstance(s, (ir.MakeArray, ir.MakeObject, ir.MakeSet))]
    # From the last made to the first: what is within another is made after it.
    for local, maker in reversed(made):
        changes = filling.get(local, [])
        if local in excluded or len(uses.writers[local]) > 1 or len(changes) != len(uses.changers.get(local, ())):
            continue
        begin = positions[id(maker)]
        last = positions[id(changes[-1])] if changes else begin
        if (changes and positions[id(changes[0])] < begin) or first_read.get(local, last + 1) <= last:
            continue
        value = _filled(maker, changes, known)
        if value is not None:
            known.values[local] = value
            known.needless.update(map(id, (maker, *changes)))


def _filled(maker: Statement, changes: list[Statement], known: Known) -> Value | None:
    """A collection with all that is added to it; None when not all of that is known, or it is in conflict."""
    collection: Any = [] if isinstance(maker, ir.MakeArray) else {} if isinstance(maker, ir.MakeObject) else RegoSet()
    for change in changes:
        operands = [_value(o, known) for o in _operands(change)]
        if any(value is None for value in operands):
            return None
        values = [value[0] for value in operands if value is not None]
        match change:
            case ir.ArrayAppend() if isinstance(collection, list):
                collection.append(values[0])
            case ir.SetAdd() if isinstance(collection, RegoSet):
                collection.add(values[0])
            case ir.ObjectInsert() | ir.ObjectInsertOnce() if isinstance(collection, dict):
                key = object_key(values[0])
                if isinstance(change, ir.ObjectInsertOnce) and not equal(collection.get(key, values[1]), values[1]):
                    return None
                collection[key] = values[1]
            case _:
                return None
    return collection


def _operands(change: Statement) -> tuple[Operand, ...]:
    match change:
        case ir.ObjectInsert(key=key, value=value) | ir.ObjectInsertOnce(key=key, value=value):
            return (key, value)
        case ir.ArrayAppend(value=value) | ir.SetAdd(value=value):
            return (value,)
        case _:
            return ()


def _value(operand: Operand, known: Known) -> tuple[Value] | None:
    if isinstance(operand, Local):
        return (known.values[operand.index],) if operand.index in known.values else None
    return (operand.value,)
