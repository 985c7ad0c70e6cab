"""Plans as Python: one function for each function of the plan, one for each entry point."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from extauthz.languages.rego import ir
from extauthz.languages.rego.blocks import BlockWriter
from extauthz.languages.rego.builtins import BUILTINS
from extauthz.languages.rego.flow import Flow
from extauthz.languages.rego.ir import Block, Constant, Local, Operand, PlanError, Statement
from extauthz.languages.rego.number import parse_number
from extauthz.languages.rego.shape import depends_on_order, parts_of_data


@dataclass(slots=True)
class Names:
    """What generated code calls by name."""

    functions: Mapping[str, int]
    """A function's number; it is `f<number>` in the code."""
    parameters: Mapping[str, int]
    """How many parameters it has."""
    constants: dict[str, object] = field(default_factory=dict)
    """Values that are made once, by their name in the code."""

    def constant(self, value: object) -> str:
        """A name for a value."""
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name


class FunctionWriter(BlockWriter):
    """Writes one function."""

    def __init__(self, names: Names, flow: Flow, lines: list[str]) -> None:
        super().__init__(flow, lines)
        self.names = names
        self.memo_index: int | None = None
        self.stored: frozenset[int] = frozenset()
        """Locals that hold parts of the data document, reached step by step."""

    # --- Functions -------------------------------------------------------------------------------------------------

    def function(self, function: ir.Function) -> None:
        """A rule: its result is kept in the memo when it has no arguments."""
        number = self.names.functions[function.name]
        memoised = len(function.parameters) == 2
        self.memo_index = number if memoised else None
        self._define(f"f{number}", function.parameters)
        if not memoised:
            self.emit("c.steps -= 1")
            self.emit("if c.steps < 0: c.check()")
        self._body(function.blocks)
        self._return("UNDEFINED")  # where no statement returns
        self.indent -= 1

    def entry_point(self, entry_point: ir.EntryPoint, name: str) -> None:
        """A named plan, which adds to the results."""
        self._define(name, (ir.INPUT, ir.DATA))
        self._body(entry_point.blocks)
        self.indent -= 1

    def _define(self, name: str, parameters: Iterable[int]) -> None:
        self.emit(f"def {name}(c, {', '.join(f'l{p}' for p in parameters)}):")
        self.indent += 1
        self.emit("m = c.memo")
        if self.flow.uninitialised:
            self.emit(" = ".join(f"l{local}" for local in sorted(self.flow.uninitialised)) + " = UNDEFINED")

    def _body(self, blocks: Sequence[Block]) -> None:
        self.stored = parts_of_data(blocks)
        self.find_targets(blocks)
        for block in blocks:
            self.block(block)

    def _return(self, value: str) -> None:
        if self.memo_index is not None:
            self.emit(f"m[{self.memo_index}] = {value}")
        self.emit(f"return {value}")

    # --- Statements ------------------------------------------------------------------------------------------------

    def operand(self, operand: Operand) -> str:
        """An operand as an expression."""
        return f"l{operand.index}" if isinstance(operand, Local) else repr(operand.value)

    def statement(self, statement: Statement) -> None:  # noqa: C901, PLR0912 - one table
        """One statement."""
        match statement:
            case ir.Dot(source=source, key=key, target=target):
                self._dot(source, key, target)
            case ir.Call():
                self._call(statement)
            case ir.CallDynamic():
                self._call_dynamic(statement)
            case ir.Scan():
                self._scan(statement)
            case ir.Not(block=block):
                self._not(block)
            case ir.With():
                self._with(statement)
            case ir.Blocks(blocks=blocks):
                for block in blocks:
                    self.block(block)
            case ir.Break(levels=levels):
                self.leave(levels)
            case ir.Return(source=source_local):
                self._return(f"l{source_local}")
            case ir.Equal(a=a, b=b):
                self._equal(a, b, negate=False)
            case ir.NotEqual(a=a, b=b):
                self._equal(a, b, negate=True)
            case ir.IsDefined(source=local):
                self.require_defined(local)
            case ir.IsUndefined(source=local):
                self.require(f"l{local} is UNDEFINED", f"l{local} is not UNDEFINED")
            case ir.IsArray(source=source):
                self._is_type(source, "list")
            case ir.IsObject(source=source):
                self._is_type(source, "dict")
            case ir.IsSet(source=source):
                self._is_type(source, "RegoSet")
            case ir.AssignOnce(source=source, target=target, place=place):
                value = self.operand(source)
                self.emit(f"if l{target} is UNDEFINED: l{target} = {value}")
                self.emit(f"elif not equal(l{target}, {value}): raise conflict({str(place)!r})")
            case _:
                self.emit(self._simple(statement))

    def _simple(self, statement: Statement) -> str:  # noqa: C901, PLR0911, PLR0912 - one table
        """A statement that always succeeds, as one line."""
        match statement:
            case ir.Assign(source=source, target=target):
                return f"l{target} = {self.operand(source)}"
            case ir.AssignInt(value=value, target=target) | ir.MakeInt(value=value, target=target):
                return f"l{target} = {value}"
            case ir.Reset(target=target):
                return f"l{target} = UNDEFINED"
            case ir.MakeNull(target=target):
                return f"l{target} = None"
            case ir.MakeNumber(text=text, target=target):
                return f"l{target} = {self._number(text)}"
            case ir.MakeArray(target=target):
                return f"l{target} = []"
            case ir.MakeObject(target=target):
                return f"l{target} = {{}}"
            case ir.MakeSet(target=target):
                return f"l{target} = RegoSet()"
            case ir.ArrayAppend(value=value, array=array):
                return f"l{array}.append({self.operand(value)})"
            case ir.SetAdd(value=value, set=owner):
                return f"l{owner}.add({self.operand(value)})"
            case ir.ObjectInsert(key=key, value=value, object=owner):
                return f"l{owner}[{self._key(key)}] = {self.operand(value)}"
            case ir.ObjectInsertOnce(key=key, value=value, object=owner, place=place):
                return f"insert_once(l{owner}, {self.operand(key)}, {self.operand(value)}, {str(place)!r})"
            case ir.ObjectMerge(a=a, b=b, target=target):
                return f"l{target} = merge(l{a}, l{b})"
            case ir.Length(source=source, target=target):
                return f"l{target} = len({self.operand(source)})"
            case ir.ResultAdd(value=local):
                return f"c.results.append(l{local})"
            case ir.Nothing():
                return "pass"
            case _:
                raise PlanError(f"an unknown statement, {type(statement).__name__}")

    def _number(self, text: str) -> str:
        try:
            number = parse_number(text)
        except ValueError as error:
            raise PlanError(f"a number that cannot be read: {error}") from error
        return repr(number) if isinstance(number, (int, float)) else self.names.constant(number)

    def _key(self, key: Operand) -> str:
        if isinstance(key, Constant) and isinstance(key.value, str):
            return repr(key.value)
        return f"object_key({self.operand(key)})"

    def _dot(self, source: Operand, key: Operand, target: int) -> None:
        owner, member = self.operand(source), self.operand(key)
        general = f"lookup({owner}, {member})"
        if isinstance(key, Constant) and isinstance(key.value, str) and isinstance(source, Local):
            general = f"{owner}.get({member}, UNDEFINED) if type({owner}) is dict else {general}"
        elif isinstance(source, Local) and source.index in self.stored:
            general = f"lookup_stored({owner}, {member})"
        self.emit(f"l{target} = {general}")
        self.require_defined(target)

    def _equal(self, a: Operand, b: Operand, *, negate: bool) -> None:
        if isinstance(a, Constant):
            a, b = b, a
        left, right = self.operand(a), self.operand(b)
        if isinstance(b, Constant) and isinstance(b.value, bool):
            same, differs = f"{left} is {right}", f"{left} is not {right}"
        elif isinstance(b, Constant):  # a text equals nothing but the same text, in Python as in Rego
            same, differs = f"{left} == {right}", f"{left} != {right}"
        else:
            same = f"({left} == {right} if type({left}) is str else equal({left}, {right}))"
            differs = f"not {same}"
        if negate:
            same, differs = differs, same
        self.require(same, differs)

    def _is_type(self, source: Operand, kind: str) -> None:
        self.require(f"type({self.operand(source)}) is {kind}", f"type({self.operand(source)}) is not {kind}")

    def _call(self, call: ir.Call) -> None:
        arguments = [self.operand(a) for a in call.arguments]
        number = self.names.functions.get(call.function)
        if number is None:
            self._call_builtin(call, arguments)
        elif self.names.parameters[call.function] == 2:
            self.emit(f"l{call.result} = m[{number}]")
            self.emit(f"if l{call.result} is UNSET: l{call.result} = f{number}(c, {', '.join(arguments)})")
        else:
            self.emit(f"l{call.result} = f{number}(c, {', '.join(arguments)})")
        self.require_defined(call.result)

    def _call_builtin(self, call: ir.Call, arguments: list[str]) -> None:
        builtin = BUILTINS[call.function]
        if builtin.stateful:
            arguments = ["c", *arguments]
        invocation = f"l{call.result} = {builtin.identifier}({', '.join(arguments)})"
        if builtin.total:
            self.emit(invocation)
            return
        self.emit(f"try: {invocation}")
        self.emit(f"except BuiltinError as e: l{call.result} = c.failed(e, {call.function!r}, {str(call.place)!r})")

    def _call_dynamic(self, call: ir.CallDynamic) -> None:
        path, arguments = ", ".join(map(self.operand, call.path)), ", ".join(map(self.operand, call.arguments))
        if call.stored:
            self.emit(f"l{call.result} = call_or_stored(c, DYNAMIC, ({path},), {arguments})")
            self.require_defined(call.result)
            return
        target = self.name("d")
        self.emit(f"{target} = find_dynamic(DYNAMIC, ({path},))")
        self.require(f"{target} is not None", f"{target} is None")
        self.emit(f"l{call.result} = call_dynamic(c, {target}, {arguments})")
        self.emit(f"if l{call.result} is UNDEFINED:")
        self.indent += 1
        self.leave(call.levels)
        self.indent -= 1

    def _scan(self, scan: ir.Scan) -> None:
        self.require(f"type(l{scan.source}) in COLLECTIONS", f"type(l{scan.source}) not in COLLECTIONS")
        method = "scan_ordered" if depends_on_order(scan.block) else "scan"
        self.emit(f"for l{scan.key}, l{scan.value} in c.{method}(l{scan.source}):")
        self.loop(scan.block)

    def _not(self, block: Block) -> None:
        holds = self.name("n")
        self.emit(f"{holds} = True")
        self.block(block, at_end=f"{holds} = False")
        self.require(holds, f"not {holds}")

    def _with(self, statement: ir.With) -> None:
        local, saved, reached = f"l{statement.local}", self.name("w"), self.name("e")
        self.emit("c.spend(1 + len(m) // 64)")
        self.emit(f"{saved} = ({local}, m)")
        value = self.operand(statement.value)
        if statement.path:
            value = f"replaced({local}, {statement.path!r}, {value})"
        self.emit(f"{local} = {value}")
        self.emit("c.memo = m = [UNSET] * len(m)")
        self.emit(f"{reached} = False")
        self.block(statement.block, at_end=f"{reached} = True")
        self.emit(f"{local}, m = {saved}")
        self.emit("c.memo = m")
        self.require(reached, f"not {reached}")
