"""Whole functions of a plan as Python."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from extauthz.languages.rego import ir
from extauthz.languages.rego.flow import Flow, analyse
from extauthz.languages.rego.index import RuleIndex, Run, find_run
from extauthz.languages.rego.ir import Block
from extauthz.languages.rego.paths import Path
from extauthz.languages.rego.statements import Names, StatementWriter


@dataclass(slots=True)
class Module:
    """The generated Python of a policy."""

    names: Names
    lines: list[str] = field(default_factory=list)
    indexes: list[tuple[RuleIndex, tuple[str, ...]]] = field(default_factory=list)
    """Each index with the names of the functions that it picks from."""

    def function(self, function: ir.Function, flow: Flow) -> None:
        """A rule: its result is kept in the memo when it has no arguments.

        Raises:
            PlanError: it is beyond what Python can express.
        """
        number = self.names.functions[function.name]
        run = find_run(function)
        if run is None or not self._indexed(function, flow, run, f"f{number}"):
            writer = self._begin(f"f{number}", function, flow, function.blocks)
            writer.blocks_of(function.blocks)
            writer.end()

    def entry_point(self, entry_point: ir.EntryPoint, flow: Flow, name: str) -> None:
        """A named plan, which adds to the results."""
        writer = StatementWriter(self.names, flow, self.lines)
        writer.begin(name, (ir.INPUT, ir.DATA), entry_point.blocks)
        writer.blocks_of(entry_point.blocks)
        writer.end()

    def _begin(
        self, name: str, function: ir.Function, flow: Flow, blocks: Sequence[Block], wanted: Iterable[Path] = ()
    ) -> StatementWriter:
        writer = StatementWriter(self.names, flow, self.lines)
        writer.place = function.place
        writer.memo_index = self.names.functions[function.name] if len(function.parameters) == 2 else None
        writer.begin(name, function.parameters, blocks, wanted)
        if writer.memo_index is None:
            writer.emit("c.steps -= 1")
            writer.emit("if c.steps < 0: c.check()")
        return writer

    def _indexed(self, function: ir.Function, flow: Flow, run: Run, name: str) -> bool:
        """A function whose rules are picked by an index; whether it could be written so."""
        before, after = function.blocks[: run.first], function.blocks[run.first + run.count :]
        flows = [analyse(unit.blocks, function.parameters, (function.result,)) for unit in run.units]
        rest = analyse((*before, *after), function.parameters, (function.result,))
        if rest.unsafe or any(unit.unsafe for unit in flows):
            return False  # a block needs what another one leaves in a local
        units = tuple(f"{name}_{position}" for position in range(len(run.units)))
        for unit, unit_flow, unit_name in zip(run.units, flows, units, strict=True):
            self._unit(function, unit.blocks, unit_flow, unit_name)
        slots = run.slots
        index = RuleIndex(run)
        self.indexes.append((index, units))
        outer = Flow(may_be_undefined=flow.may_be_undefined, uninitialised=rest.uninitialised | {function.result})
        writer = self._begin(name, function, outer, (*before, *after), [path for path, _ in slots])
        writer.blocks_of(before)
        values = ", ".join(writer.path(path) for path, _ in slots)
        rule, result = writer.name("u"), f"l{function.result}"
        arguments = ", ".join(f"l{p}" for p in function.parameters)
        writer.emit(f"for {rule} in {self.names.constant(index)}.pick({values}):")
        writer.emit(f" {result} = {rule}(c, {arguments}, {result})")
        writer.blocks_of(after)
        writer.end()
        return True

    def _unit(self, function: ir.Function, blocks: Sequence[Block], flow: Flow, name: str) -> None:
        """A rule on its own: it gets the result so far, and returns it."""
        writer = StatementWriter(self.names, flow, self.lines)
        writer.place = function.place
        parameters = (*function.parameters, function.result)
        writer.begin(name, parameters, blocks)
        writer.blocks_of(blocks)
        writer.end(f"l{function.result}")
