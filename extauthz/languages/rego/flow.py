"""What is known about each local variable of a plan, statement by statement.

A planner that overlooks an unsafe variable lets a rule read what another rule left behind. So every read of a value
must be preceded by a write on every path to it, or the plan is refused. Among what is written, only some can be
undefined (the input of an evaluation without one, and what was assigned from it); those reads are reported too, so that
generated code tests just these.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from extauthz.languages.rego import ir
from extauthz.languages.rego.ir import Block, Constant, Local, Operand, Place, PlanError, Statement


class Use(NamedTuple):
    """A local where it is used."""

    place: Place
    local: int


@dataclass(slots=True)
class Flow:
    """What was found about one function or entry point."""

    unsafe: list[Use] = field(default_factory=list)
    """Reads of a local that some path to them does not write."""
    redefined: list[Use] = field(default_factory=list)
    """Assignments to a local that an assignment in the same block, or in one around it, has given a value."""
    may_be_undefined: dict[int, frozenset[int]] = field(default_factory=dict)
    """By the `id` of a statement: the locals whose value it needs and which may be undefined there."""
    uninitialised: set[int] = field(default_factory=set)
    """Locals that are asked whether they are defined before anything is written to them."""


def analyse(blocks: Iterable[Block], parameters: Iterable[int], written: Iterable[int] = ()) -> Flow:
    """Follow all paths through the blocks of a function or an entry point.

    `written` are locals that have been written before, to a value or to undefined.

    Raises:
        PlanError: a break leaves more blocks than there are, or one that must not be left by a break.
    """
    analysis = _Analysis()
    state = 0
    for number, parameter in enumerate(parameters):
        state = _written(state, parameter, defined=number != ir.INPUT)
    for local in written:
        state = _written(state, local, defined=False)
    for block in blocks:
        after = analysis.block(block, state)
        if after is None:
            break
        state = after
    return analysis.flow


# A state is two bits for each local: written, and certainly defined. None is a state that no path reaches.


def _written(state: int, local: int, *, defined: bool) -> int:
    cleared = state & ~(3 << 2 * local)
    return cleared | ((3 if defined else 1) << 2 * local)


def _is_written(state: int, local: int) -> bool:
    return bool(state >> 2 * local & 1)


def _is_defined(state: int, local: int) -> bool:
    return bool(state >> 2 * local & 2)


def _both(one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return one if other is None else other
    return one & other


@dataclass(slots=True)
class _Frame:
    """A block that is being followed, with the state at its end, over all ways to get there."""

    sealed: bool
    """A break may end it, but not go past it: the body of a scan, a negation or a `with`."""
    end: int | None = None
    assigned: set[int] = field(default_factory=set)
    """Locals that assignments in it give a value."""


@dataclass(slots=True)
class _Analysis:
    flow: Flow = field(default_factory=Flow)
    frames: list[_Frame] = field(default_factory=list)
    reported: set[Use] = field(default_factory=set)

    def block(self, block: Block, state: int, *, sealed: bool = False) -> int | None:
        """The state after a block that is entered with `state`; None when nothing gets there."""
        reached, ended = self._run(block, state, sealed=sealed)
        return _both(reached, ended)

    def _run(self, block: Block, state: int, *, sealed: bool) -> tuple[int | None, int | None]:
        """The state at the end of a block's statements, and where it was left before."""
        frame = _Frame(sealed)
        self.frames.append(frame)
        current: int | None = state
        for statement in block:
            if current is None:
                break
            current = self._step(statement, current)
        self.frames.pop()
        return current, frame.end

    def _leave(self, levels: int, state: int) -> None:
        if levels >= len(self.frames) or levels < 0:
            raise PlanError("a break leaves more blocks than there are")
        if any(frame.sealed for frame in self.frames[len(self.frames) - levels :]):
            raise PlanError("a break leaves a loop, a negation or a `with`")
        frame = self.frames[-1 - levels]
        frame.end = _both(frame.end, state)

    def _reads(self, statement: Statement, state: int, *operands: Operand | int) -> int:
        """Note reads; the state after them, in which all of them are defined or the block was left."""
        locals_ = [o.index if isinstance(o, Local) else o for o in operands if isinstance(o, (Local, int))]
        for local in locals_:
            if not _is_written(state, local):
                self._report(Use(statement.place, local))
        doubtful = frozenset(local for local in locals_ if not _is_defined(state, local))
        if doubtful:
            known = self.flow.may_be_undefined.get(id(statement), frozenset())
            self.flow.may_be_undefined[id(statement)] = known | doubtful
            self._leave(0, state)
        for local in doubtful:
            state = _written(state, local, defined=True)
        return state

    def _report(self, read: Use) -> None:
        if read not in self.reported:
            self.reported.add(read)
            self.flow.unsafe.append(read)

    def _asks(self, state: int, local: int) -> None:
        if not _is_written(state, local):
            self.flow.uninitialised.add(local)

    def _fails_or_writes(self, state: int, target: int) -> int:
        """A statement whose target becomes undefined when it fails."""
        self._leave(0, _written(state, target, defined=False))
        return _written(state, target, defined=True)

    def _copies(self, state: int, source: Operand, target: int) -> int:
        """An assignment, from what may be undefined."""
        if isinstance(source, Local):
            if not _is_written(state, source.index):
                return state & ~(3 << 2 * target)
            return _written(state, target, defined=_is_defined(state, source.index))
        return _written(state, target, defined=True)

    def _step(self, statement: Statement, state: int) -> int | None:  # noqa: C901, PLR0911, PLR0912 - one table
        match statement:
            case ir.Dot(source=source, key=key, target=target):
                return self._fails_or_writes(self._reads(statement, state, source, key), target)
            case ir.Call(arguments=arguments, result=result):
                # The documents, which come first, may be undefined; values handed to a function may not.
                state = self._reads(statement, state, *arguments[_documents(arguments) :])
                return self._fails_or_writes(state, result)
            case ir.CallDynamic(path=path, result=result):
                state = self._reads(statement, state, *path)
                self._leave(0, state)
                self._leave(statement.levels, _written(state, result, defined=False))
                return _written(state, result, defined=True)
            case ir.Assign(source=source, target=target):
                if isinstance(source, Local) and not _is_written(state, source.index):
                    self._report(Use(statement.place, source.index))
                self._note_assignment(statement, source, target, state)
                return self._copies(state, source, target)
            case ir.AssignOnce(source=source, target=target):
                self._asks(state, target)
                return _written(self._reads(statement, state, source), target, defined=True)
            case ir.Reset(target=target):
                return _written(state, target, defined=False)
            case (
                ir.AssignInt(target=target)
                | ir.MakeNull(target=target)
                | ir.MakeInt(target=target)
                | ir.MakeNumber(target=target)
                | ir.MakeArray(target=target)
                | ir.MakeObject(target=target)
                | ir.MakeSet(target=target)
            ):
                return _written(state, target, defined=True)
            case ir.ArrayAppend(value=value, array=owner) | ir.SetAdd(value=value, set=owner):
                return self._reads(statement, state, value, owner)
            case (
                ir.ObjectInsert(key=key, value=value, object=owner)
                | ir.ObjectInsertOnce(key=key, value=value, object=owner)
            ):
                return self._reads(statement, state, key, value, owner)
            case ir.ObjectMerge(a=a, b=b, target=target):
                return _written(self._reads(statement, state, a, b), target, defined=True)
            case ir.Equal(a=a, b=b) | ir.NotEqual(a=a, b=b):
                return self._may_fail(self._reads(statement, state, a, b))
            case ir.IsArray(source=source) | ir.IsObject(source=source) | ir.IsSet(source=source):
                return self._may_fail(self._reads(statement, state, source))
            case ir.Length(source=source, target=target):
                return _written(self._reads(statement, state, source), target, defined=True)
            case ir.ResultAdd(value=value):
                return self._reads(statement, state, value)
            case _:
                return self._step_control(statement, state)

    def _note_assignment(self, statement: Statement, source: Operand, target: int, state: int) -> None:
        """Notes a redefinition; booleans are how planners remember that a block was reached."""
        is_flag = isinstance(source, Constant) and isinstance(source.value, bool)
        if not is_flag and _is_defined(state, target) and any(target in frame.assigned for frame in self.frames):
            self.flow.redefined.append(Use(statement.place, target))
        self.frames[-1].assigned.add(target)

    def _may_fail(self, state: int) -> int:
        self._leave(0, state)
        return state

    def _step_control(self, statement: Statement, state: int) -> int | None:  # noqa: C901 - one table
        """Statements about definedness, and those with blocks."""
        match statement:
            case ir.IsDefined(source=source):
                self._asks(state, source)
                self._leave(0, state)
                return _written(state, source, defined=True)
            case ir.IsUndefined(source=source):
                self._asks(state, source)
                self._leave(0, _written(state, source, defined=True) if _is_written(state, source) else state)
                return _written(state, source, defined=False)
            case ir.Return(source=source):
                self._asks(state, source)
                if any(frame.sealed for frame in self.frames):
                    raise PlanError("a return inside of a loop, a negation or a `with`")
                return None
            case ir.Break(levels=levels):
                self._leave(levels, state)
                return None
            case ir.Blocks(blocks=blocks):
                after: int | None = state
                for block in blocks:
                    if after is None:
                        return None
                    after = self.block(block, after)
                return after
            case ir.Scan():
                return self._scan(statement, state)
            case ir.Not(block=block):
                reached, failed = self._run(block, state, sealed=True)
                if reached is not None:
                    self._leave(0, reached)
                return failed
            case ir.With():
                return self._with(statement, state)
            case ir.Nothing():
                return state
            case _:
                raise PlanError(f"an unknown statement, {type(statement).__name__}")

    def _scan(self, scan: ir.Scan, state: int) -> int:
        """The body is followed until another round changes nothing: it starts where the round before left off."""
        state = self._may_fail(self._reads(scan, state, scan.source))
        while True:
            entry = _written(_written(state, scan.key, defined=True), scan.value, defined=True)
            end = self.block(scan.block, entry, sealed=True)
            after = state if end is None else state & end
            if after == state:
                return state
            state = after

    def _with(self, statement: ir.With, state: int) -> int | None:
        """Inside, the local is what replaces it; after, it is again what it was before."""
        local, value = statement.local, statement.value
        self._asks(state, local)
        before = state >> 2 * local & 3
        inside = self._copies(state, value, local) if not statement.path else _written(state, local, defined=True)
        if isinstance(value, Local) and not _is_written(state, value.index):
            self._report(Use(statement.place, value.index))
        reached, failed = self._run(statement.block, inside, sealed=True)
        if failed is not None:
            self._leave(0, failed & ~(3 << 2 * local) | before << 2 * local)
        return None if reached is None else reached & ~(3 << 2 * local) | before << 2 * local


def _documents(arguments: tuple[Operand, ...]) -> int:
    """How many of a call's arguments are the input and the data, handed on as they are."""
    return sum(1 for argument in arguments[:2] if isinstance(argument, Local) and argument.index in {0, 1})
