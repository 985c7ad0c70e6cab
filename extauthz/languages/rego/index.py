"""Rule indexing: which rules of one name can hold at all for an input, without evaluating each.

A rule whose body demands that something under a path equals a text, or begins with one, is not evaluated where it does
not; that is what OPA does, errors in such rules included. The blocks of a function become functions of their own, of
which an index picks those that may matter, in their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from extauthz.languages.rego import ir
from extauthz.languages.rego.constants import read_number
from extauthz.languages.rego.ir import Block, Constant, Local, Operand, Statement
from extauthz.languages.rego.paths import Path
from extauthz.languages.rego.shape import all_statements, may_fail, written_locals
from extauthz.languages.rego.value import UNDEFINED, Value

_MIN_UNITS = 6
"""Rules below which an index costs more than it saves."""

_MAX_SLOTS = 4
"""Paths that one index looks at."""


class Guard(NamedTuple):
    """What a rule demands."""

    path: Path
    is_prefix: bool
    """Whether the value only begins what is under the path."""
    value: str | bool


@dataclass(frozen=True, slots=True)
class Unit:
    """Blocks that belong together: a rule, and what takes up its result."""

    blocks: tuple[Block, ...]
    guards: tuple[Guard, ...]


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive units of a function that an index picks from."""

    first: int
    """The position of its first block."""
    count: int
    """How many blocks it has."""
    units: tuple[Unit, ...]
    chosen: tuple[Guard | None, ...]
    """For each unit the guard it is picked by; None when it is always evaluated."""

    @property
    def slots(self) -> tuple[tuple[Path, bool], ...]:
        """What the index looks at."""
        return tuple(dict.fromkeys((guard.path, guard.is_prefix) for guard in self.chosen if guard is not None))


def find_run(function: ir.Function) -> Run | None:
    """The rules of a function that are worth an index."""
    units: list[Unit] = []
    first = position = 0
    while position < len(function.blocks):
        unit = _unit(function, position)
        if unit is None:
            if len(units) >= _MIN_UNITS:
                break
            units, first = [], position + 1
            position += 1
            continue
        units.append(unit)
        position += len(unit.blocks)
    count = sum(len(unit.blocks) for unit in units)
    chosen = _choose(units)
    if sum(guard is not None for guard in chosen) < _MIN_UNITS:
        return None
    return Run(first, count, tuple(units), chosen)


def _unit(function: ir.Function, position: int) -> Unit | None:
    """The unit that begins with a block; None when it is no rule."""
    block = function.blocks[position]
    if any(isinstance(s, ir.Return) for s in block) or not any(map(may_fail, all_statements([block]))):
        return None
    if isinstance(block[0], ir.IsUndefined):  # a default
        return None
    blocks: tuple[Block, ...] = (block,)
    if position + 1 < len(function.blocks) and _takes_up(function.blocks[position + 1], block, function.result):
        blocks = (block, function.blocks[position + 1])
    return Unit(blocks, tuple(_Spine({p: (p, ()) for p in function.parameters}).follow(block)))


def _takes_up(block: Block, rule: Block, result: int) -> bool:
    """Whether a block only hands a rule's result on."""
    match block:
        case (ir.IsDefined(source=local), ir.AssignOnce(source=Local(index=index), target=target)):
            written = {w for s in all_statements([rule]) for w in written_locals(s)}
            return local == index and target == result and local in written
        case _:
            return False


def _choose(units: Sequence[Unit]) -> tuple[Guard | None, ...]:
    """For each unit the guard that tells it from the most others."""
    values: dict[tuple[Path, bool], set[str | bool]] = defaultdict(set)
    for unit in units:
        for guard in unit.guards:
            values[guard.path, guard.is_prefix].add(guard.value)
    best = sorted(values, key=lambda slot: (-len(values[slot]), str(slot)))[:_MAX_SLOTS]
    ranks = {slot: rank for rank, slot in enumerate(best) if len(values[slot]) > 1}
    return tuple(
        min(
            (guard for guard in unit.guards if (guard.path, guard.is_prefix) in ranks),
            key=lambda guard: ranks[guard.path, guard.is_prefix],
            default=None,
        )
        for unit in units
    )


# --- What a rule demands -------------------------------------------------------------------------------------------


class _Spine:
    """Follows the statements that each way to a rule's end passes."""

    def __init__(self, facts: dict[int, Any]) -> None:
        self.facts = facts
        """What is known of a local: the path it was reached by, a constant, a number, or the test it came of."""
        self.guards: list[Guard] = []

    def follow(self, block: Block) -> list[Guard]:
        """What must hold for the end of a block to be reached."""
        for position, statement in enumerate(block):
            if isinstance(statement, (ir.With, ir.Break, ir.Return)):
                break
            inner = self._way_on(statement) if position == len(block) - 1 else None
            self._forget(statement)
            if inner is not None:
                return self.follow(inner)
            self._learn(statement)
        return self.guards

    @staticmethod
    def _way_on(statement: Statement) -> Block | None:
        """The block in which a rule that ends with this statement goes on."""
        match statement:
            case ir.Scan(block=block) | ir.Blocks(blocks=(block,)):
                return block
            case _:
                return None

    def _forget(self, statement: Statement) -> None:
        if isinstance(statement, (ir.Scan, ir.Blocks, ir.Not)):
            for inner in all_statements([(statement,)]):
                for local in written_locals(inner):
                    self.facts.pop(local, None)

    def _fact(self, operand: Operand) -> Any:
        return self.facts.get(operand.index) if isinstance(operand, Local) else operand

    def _learn(self, statement: Statement) -> None:
        """What a statement says of its target, and what it demands."""
        match statement:
            case ir.Equal(a=a, b=b):
                self._demand(self._fact(a), self._fact(b))
                return
            case ir.NotEqual(a=a, b=Constant(value=False)):
                fact = self._fact(a)
                if isinstance(fact, Guard):
                    self.guards.append(fact)
                return
            case _:
                pass
        fact = self._result(statement)
        for local in written_locals(statement):
            self.facts.pop(local, None)
            if fact is not None:
                self.facts[local] = fact

    def _result(self, statement: Statement) -> Any:
        match statement:
            case ir.Dot(source=source, key=key):
                owner, member = self._fact(source), self._fact(key)
                step = member.value if isinstance(member, Constant) else member
                if _is_path(owner) and (type(step) is str or type(step) is int):
                    return (owner[0], (*owner[1], step))
            case ir.Assign(source=source):
                return self._fact(source)
            case ir.AssignInt(value=value) | ir.MakeInt(value=value):
                return value
            case ir.MakeNumber(text=text):
                number = read_number(text)
                return number if type(number) is int else None
            case ir.Call(function="startswith", arguments=(subject, Constant(value=str(prefix)))):
                path = self._fact(subject)
                if _is_path(path):
                    return Guard(path, is_prefix=True, value=prefix)
            case _:
                pass
        return None

    def _demand(self, one: Any, other: Any) -> None:
        for path, constant in ((one, other), (other, one)):
            if _is_path(path) and isinstance(constant, Constant):
                self.guards.append(Guard(path, is_prefix=False, value=constant.value))


def _is_path(fact: Any) -> bool:
    return type(fact) is tuple


# --- At run time ---------------------------------------------------------------------------------------------------

_Rule: TypeAlias = Callable[..., Value]


class RuleIndex:
    """Picks rules by what is under some paths. Not changed once it is bound."""

    def __init__(self, run: Run) -> None:
        slots = run.slots
        self._always = [position for position, guard in enumerate(run.chosen) if guard is None]
        tables: list[dict[str | bool, list[int]]] = [{} for _ in slots]
        for position, guard in enumerate(run.chosen):
            if guard is not None:
                tables[slots.index((guard.path, guard.is_prefix))].setdefault(guard.value, []).append(position)
        self._tables = [
            (table, sorted({len(str(value)) for value in table}) if is_prefix else None)
            for table, (_, is_prefix) in zip(tables, slots, strict=True)
        ]
        self._rules: list[_Rule] = []

    def bind(self, rules: Sequence[_Rule]) -> None:
        """Set the functions of the units, in their order."""
        self._rules = list(rules)

    def pick(self, *values: Value) -> list[_Rule]:
        """The rules that may hold, in their order; `values` are what is under the paths of the index."""
        picked = list(self._always)
        for value, (table, lengths) in zip(values, self._tables, strict=True):
            if lengths is not None:
                picked += _by_prefix(table, lengths, value)
            elif type(value) is str or type(value) is bool:
                picked += table.get(value, ())
        picked.sort()
        rules = self._rules
        return [rules[position] for position in picked]


def _by_prefix(table: Mapping[str | bool, list[int]], lengths: list[int], value: Value) -> list[int]:
    if type(value) is str:
        return [position for length in lengths for position in table.get(value[:length], ()) if length <= len(value)]
    # Not a text: the test is an error, which each rule has to find for itself.
    return [] if value is UNDEFINED else [position for positions in table.values() for position in positions]
