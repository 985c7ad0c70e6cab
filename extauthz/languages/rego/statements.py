"""The statements of a plan as Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from extauthz.languages.rego import ir
from extauthz.languages.rego.blocks import BlockWriter
from extauthz.languages.rego.builtins.table import BUILTINS
from extauthz.languages.rego.constants import known_values, read_number
from extauthz.languages.rego.flow import Flow
from extauthz.languages.rego.ir import Block, Constant, Local, Operand, Place, PlanError, Statement
from extauthz.languages.rego.marks import LineMarks
from extauthz.languages.rego.paths import Path, Paths, find_paths
from extauthz.languages.rego.shape import depends_on_order, parts_of_data
from extauthz.languages.rego.value import Value, equal


@dataclass(slots=True)
class Names:
    """What generated code calls by name."""

    functions: Mapping[str, int]
    """A function's number; it is `f<number>` in the code."""
    parameters: Mapping[str, int]
    """How many parameters it has."""
    constants: dict[str, object] = field(default_factory=dict)
    """Values that are made once, by their name in the code."""
    marks: LineMarks | None = None
    """Where evaluated lines are counted, under the name MARKS; None: nowhere."""

    def constant(self, value: object) -> str:
        """A name for a value."""
        name = f"k{len(self.constants)}"
        self.constants[name] = value
        return name


class StatementWriter(BlockWriter):
    """Writes the statements of one function."""

    def __init__(self, names: Names, flow: Flow, lines: list[str]) -> None:
        super().__init__(flow, lines)
        self.names = names
        self.memo_index: int | None = None
        """Where the result is kept; None when it is not."""
        self.stored: frozenset[int] = frozenset()
        """Locals that hold parts of the data document, reached step by step."""
        self.texts: dict[int, str] = {}
        """Locals that are written as something else: a constant, or what was looked up early."""
        self.constants: dict[int, Value] = {}
        self.paths = Paths()
        self.early: dict[Path, str] = {}
        self.place = Place("", 0, 0)
        """Where the function is, for statements that do not say where they are."""

    # --- Functions -------------------------------------------------------------------------------------------------

    def begin(self, name: str, parameters: Sequence[int], blocks: Sequence[Block], wanted: Iterable[Path] = ()) -> None:
        """The first lines of a function; `blocks` are all that will be written of it."""
        self.stored = parts_of_data(blocks)
        known = known_values(blocks, parameters)
        self.constants = known.values
        self.needless |= known.needless
        self.texts = {local: self._literal(value) for local, value in known.values.items()}
        self.paths = find_paths(blocks, parameters, wanted)
        self.emit(f"def {name}(c, {', '.join(f'l{p}' for p in parameters)}):")
        self.indent += 1
        self.emit("m = c.memo")
        uninitialised = sorted(self.flow.uninitialised - set(parameters))
        if uninitialised:
            self.emit(" = ".join(f"l{local}" for local in uninitialised) + " = UNDEFINED")
        for path in self.paths.early:
            self._look_up_early(path)
        self.texts |= {local: self.early[path] for local, path in self.paths.locals.items() if path in self.early}

    def _look_up_early(self, path: Path) -> None:
        root, keys = path
        owner = self.path((root, keys[:-1]))
        self.early[path] = self.name("h")
        key = keys[-1]
        found = f"lookup({owner}, {key!r})"
        if isinstance(key, str):
            found = f"{owner}.get({key!r}, UNDEFINED) if type({owner}) is dict else {found}"
        self.emit(f"{self.early[path]} = {found}")

    def path(self, path: Path) -> str:
        """What is under a path that was looked up early."""
        return self.early[path] if path[1] else f"l{path[0]}"

    def blocks_of(self, blocks: Sequence[Block]) -> None:
        """The blocks of a function, one after the other."""
        self.find_targets(blocks)
        for block in blocks:
            self.block(block)

    def end(self, result: str = "UNDEFINED") -> None:
        """The last line: what is returned where no statement returns."""
        self._return(result)
        self.indent -= 1

    def _return(self, value: str) -> None:
        if self.memo_index is not None:
            self.emit(f"m[{self.memo_index}] = {value}")
        self.emit(f"return {value}")

    def _literal(self, value: Value) -> str:
        if value is None or type(value) in {bool, int, float, str}:
            return repr(value)
        return self.names.constant(value)

    # --- Statements ------------------------------------------------------------------------------------------------

    def local(self, local: int) -> str:
        """A local where it is read."""
        return self.texts.get(local) or f"l{local}"

    def where(self, place: Place) -> str:
        """A place for a message."""
        return str(place if place.line else self.place)

    def operand(self, operand: Operand) -> str:
        """An operand as an expression."""
        return self.local(operand.index) if isinstance(operand, Local) else repr(operand.value)

    def mark(self, statement: Statement) -> None:
        if self.names.marks is not None and statement.place.line:
            self.emit(f"MARKS[{self.names.marks.number(statement.place)}] += 1")

    def statement(self, statement: Statement) -> None:  # noqa: C901, PLR0912 - one table
        """One statement."""
        match statement:
            case ir.Dot():
                self._dot(statement)
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
                self._return(self.local(source_local))
            case ir.Equal(a=a, b=b):
                self._equal(a, b, negate=False)
            case ir.NotEqual(a=a, b=b):
                self._equal(a, b, negate=True)
            case ir.IsDefined(source=local):
                self.require_defined(local)
            case ir.IsUndefined(source=local):
                self.require(f"{self.local(local)} is UNDEFINED", f"{self.local(local)} is not UNDEFINED")
            case ir.IsArray(source=source):
                self._is_type(source, "list")
            case ir.IsObject(source=source):
                self._is_type(source, "dict")
            case ir.IsSet(source=source):
                self._is_type(source, "RegoSet")
            case ir.AssignOnce(source=source, target=target, place=place):
                value = self.operand(source)
                # As OPA names it: where the rule is first defined, whichever definition yields the second value.
                defined = str(self.place if self.place.line else place)
                self.emit(f"if l{target} is UNDEFINED: l{target} = {value}")
                self.emit(f"elif not equal(l{target}, {value}): raise conflict({defined!r})")
            case _:
                line = self._simple(statement)
                if line:
                    self.emit(line)

    def _simple(self, statement: Statement) -> str:  # noqa: C901, PLR0911, PLR0912 - one table
        """A statement that always succeeds, as one line."""
        match statement:
            case ir.Assign(source=source, target=target):
                return "" if target in self.texts else f"l{target} = {self.operand(source)}"
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
                return f"insert_once(l{owner}, {self.operand(key)}, {self.operand(value)}, {self.where(place)!r})"
            case ir.ObjectMerge(a=a, b=b, target=target):
                return f"l{target} = merge({self.local(a)}, {self.local(b)})"
            case ir.Length(source=source, target=target):
                return f"l{target} = len({self.operand(source)})"
            case ir.ResultAdd(value=local):
                return f"c.results.append({self.local(local)})"
            case ir.Nothing():
                return "pass"
            case _:
                raise PlanError(f"an unknown statement, {type(statement).__name__}")

    def _number(self, text: str) -> str:
        return self._literal(read_number(text))

    def _key(self, key: Operand) -> str:
        if isinstance(key, Constant) and isinstance(key.value, str):
            return repr(key.value)
        return f"object_key({self.operand(key)})"

    def _dot(self, dot: ir.Dot) -> None:
        if self.paths.locals.get(dot.target) in self.early:
            if id(dot) not in self.paths.implied:
                self.require_defined(dot.target)
            return
        owner, member = self.operand(dot.source), self.operand(dot.key)
        general = f"lookup({owner}, {member})"
        if isinstance(dot.key, Constant) and isinstance(dot.key.value, str) and isinstance(dot.source, Local):
            general = f"{owner}.get({member}, UNDEFINED) if type({owner}) is dict else {general}"
        elif isinstance(dot.source, Local) and dot.source.index in self.stored:
            general = f"lookup_stored({owner}, {member})"
        self.emit(f"l{dot.target} = {general}")
        self.require_defined(dot.target)

    def _constant(self, operand: Operand) -> tuple[Value] | None:
        """What an operand is, when that is known."""
        if isinstance(operand, Constant):
            return (operand.value,)
        return (self.constants[operand.index],) if operand.index in self.constants else None

    def _equal(self, a: Operand, b: Operand, *, negate: bool) -> None:
        if self._constant(a) is not None:
            a, b = b, a
        one, other = self._constant(a), self._constant(b)
        if one is not None and other is not None and equal(one[0], other[0]) is not negate:
            return  # it always holds
        left, right = self.operand(a), self.operand(b)
        if other is not None and (other[0] is None or type(other[0]) is bool):
            same, differs = f"{left} is {right}", f"{left} is not {right}"
        elif other is not None and type(other[0]) is str:
            # A text equals nothing but the same text, in Python as in Rego.
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
        self.emit(
            f"except BuiltinError as e: l{call.result} = c.failed(e, {call.function!r}, {self.where(call.place)!r})"
        )

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
        source = self.local(scan.source)
        self.require(f"type({source}) in COLLECTIONS", f"type({source}) not in COLLECTIONS")
        method = "scan_ordered" if depends_on_order(scan.block) else "scan"
        self.emit(f"for l{scan.key}, l{scan.value} in c.{method}({source}):")
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
