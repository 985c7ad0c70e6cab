"""How control flow is written in Python.

A block is either nested `if`s, or, when a break must be able to leave it or it has many statements that may fail, a
loop that runs once; the body of a scan is a `for`. Leaving a block is then falling through, `break` or `continue`. A
break that leaves more than one loop sets a flag that each loop on the way looks at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from extauthz.languages.rego import ir
from extauthz.languages.rego.flow import Flow
from extauthz.languages.rego.ir import Block, PlanError, Statement
from extauthz.languages.rego.shape import inner_blocks, levels_left, may_fail

_MAX_NESTED_IFS: Final = 6
"""More statements that may fail make a block a loop: deep indentation has limits."""

_MAX_INDENT: Final = 90
"""Python's tokenizer takes 100 levels."""

_MAX_LOOPS: Final = 18
"""Python takes 20 statically nested blocks, and a call of a built-in needs one."""


@dataclass(slots=True, eq=False)
class _Frame:
    """A block that is being written."""

    kind: str
    """`nest` for nested ifs, `once` for a loop that runs once, `each` for the body of a scan."""
    flag: str
    flag_line: int
    """Where the flag is cleared, before all else in the loop."""
    flagged: bool = False
    """Whether some statement sets the flag."""
    passing: list[_Frame] = field(default_factory=list)
    """Frames around this one that statements inside of it leave."""


class BlockWriter(ABC):
    """Writes the blocks of one function."""

    def __init__(self, flow: Flow, lines: list[str]) -> None:
        self.flow = flow
        self.lines = lines
        self.indent = 0
        self.frames: list[_Frame] = []
        self.loops: list[_Frame] = []
        self.targeted: set[int] = set()
        self.needless: set[int] = set()
        """The `id` of each statement that is not written."""
        self.serial = 0

    @abstractmethod
    def statement(self, statement: Statement) -> None:
        """Write one statement."""

    @abstractmethod
    def mark(self, statement: Statement) -> None:
        """Write what counts that a statement is reached, if that is counted."""

    @abstractmethod
    def local(self, local: int) -> str:
        """A local where it is read."""

    # --- Lines -----------------------------------------------------------------------------------------------------

    def emit(self, text: str) -> None:
        """One line."""
        if self.indent > _MAX_INDENT:
            raise PlanError("an expression is nested too deeply: split it into several rules")
        self.lines.append(" " * self.indent + text)

    def name(self, prefix: str) -> str:
        """A new variable."""
        self.serial += 1
        return f"{prefix}{self.serial}"

    def find_targets(self, blocks: Iterable[Block]) -> None:
        """Find the blocks that a break from a block within them leaves."""

        def visit(block: Block, around: tuple[Block, ...]) -> None:
            stack = (*around, block)
            for statement in block:
                levels = levels_left(statement)
                if levels:
                    self.targeted.add(id(stack[-1 - levels]))
                for inner in inner_blocks(statement):
                    visit(inner, stack)

        for block in blocks:
            visit(block, ())

    # --- Blocks ----------------------------------------------------------------------------------------------------

    def block(self, block: Block, *, at_end: str = "") -> None:
        """A block; `at_end` is a line to run when its end is reached."""
        kind = self._kind(block)
        if kind == "once":
            self.emit("while True:")
            self.indent += 1
        frame = self._enter(kind)
        start = self.indent
        self._statements(block, at_end)
        self.indent = start
        if kind == "once":
            self.emit("break")
        self._exit(frame)
        if kind == "once":
            self.indent -= 1
            self._pass_on(frame)

    def _kind(self, block: Block) -> str:
        fails = sum(map(may_fail, block))
        leaves_early = any(isinstance(s, ir.Break) and s.levels == 0 for s in block[:-1])
        if id(block) in self.targeted or leaves_early or fails > _MAX_NESTED_IFS:
            return "once"
        return "once" if self.indent + fails > _MAX_INDENT // 2 and fails else "nest"

    def _enter(self, kind: str) -> _Frame:
        frame = _Frame(kind, self.name("b"), len(self.lines))
        self.frames.append(frame)
        if kind != "nest":
            if len(self.loops) >= _MAX_LOOPS:
                raise PlanError("too many loops within each other: split the expression into several rules")
            self.loops.append(frame)
            self.emit(f"{frame.flag} = False")
        return frame

    def _exit(self, frame: _Frame) -> None:
        self.frames.pop()
        if frame.kind != "nest":
            self.loops.pop()
            if not frame.flagged:
                del self.lines[frame.flag_line]

    def _pass_on(self, frame: _Frame) -> None:
        """After a loop: go on leaving, if a statement in it wanted to leave more than it."""
        for target in frame.passing:
            if self.loops[-1] is target:
                self.emit(f"if {target.flag}: {_leaving(target)}")
            else:
                self._note_passing(self.loops[-1], target)
                self.emit(f"if {target.flag}: break")

    @staticmethod
    def _note_passing(frame: _Frame, target: _Frame) -> None:
        if target not in frame.passing:
            frame.passing.append(target)

    def leave(self, levels: int) -> None:
        """Leave this block and `levels` more."""
        target = self.frames[-1 - levels]
        if target.kind == "nest":  # its end is where we are: nothing follows in any of the blocks left
            self.emit("pass")
        elif self.loops[-1] is target:
            self.emit(_leaving(target))
        else:
            target.flagged = True
            self._note_passing(self.loops[-1], target)
            self.emit(f"{target.flag} = True")
            self.emit("break")

    def require(self, condition: str, negated: str = "") -> None:
        """Fail unless a condition holds."""
        frame = self.frames[-1]
        if frame.kind == "nest":
            self.emit(f"if {condition}:")
            self.indent += 1
        else:
            self.emit(f"if {negated or f'not ({condition})'}: {_leaving(frame)}")

    def require_defined(self, local: int) -> None:
        """Fail when a local is undefined."""
        text = self.local(local)
        self.require(f"{text} is not UNDEFINED", f"{text} is UNDEFINED")

    def _statements(self, block: Block, at_end: str) -> None:
        for statement in block:
            self.mark(statement)
            if id(statement) in self.needless:
                continue
            for local in sorted(self.flow.may_be_undefined.get(id(statement), ())):
                self.require_defined(local)
            self.statement(statement)
            if isinstance(statement, (ir.Break, ir.Return)):
                return
        self.emit(at_end or "pass")

    def loop(self, block: Block) -> None:
        """The body of a `for`, whose line has just been written."""
        self.indent += 1
        frame = self._enter("each")
        start = self.indent
        self._statements(block, "")
        self.indent = start
        self._exit(frame)
        self.indent -= 1
        self._pass_on(frame)


def _leaving(frame: _Frame) -> str:
    return "continue" if frame.kind == "each" else "break"
