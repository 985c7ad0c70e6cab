"""The small part of Python in which `runtime` is written, compiled to WebAssembly.

Integers of 32 bits and nothing else; functions, assignments, `if`, `return`, and `for ... in range(...)`, whose end is
fixed when it begins. There is no `while`, and a function can only call those that stand before it: every module ends,
whatever a request holds. Names that are no locals are read from the Python module: integers, functions, members of
enumerations.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.assembler import Module
from extauthz.lowering.wasm.intrinsics import DOUBLE_COMPARISONS, INSTRUCTIONS, VOID

_BINARY: Mapping[type[ast.operator], bytes] = {
    ast.Add: wasm.ADD,
    ast.Sub: wasm.SUBTRACT,
    ast.Mult: wasm.MULTIPLY,
    ast.FloorDiv: wasm.DIVIDE,  # of numbers that are not negative: there it rounds towards zero
    ast.Mod: wasm.REMAINDER,
    ast.BitAnd: wasm.AND,
    ast.BitOr: wasm.OR,
    ast.BitXor: wasm.XOR,
    ast.LShift: wasm.SHIFT_LEFT,
    ast.RShift: wasm.SHIFT_RIGHT,
}
_COMPARISONS: Mapping[type[ast.cmpop], bytes] = {
    ast.Eq: wasm.EQUAL,
    ast.NotEq: wasm.NOT_EQUAL,
    ast.Lt: wasm.LESS,
    ast.LtE: wasm.LESS_OR_EQUAL,
    ast.Gt: wasm.GREATER,
    ast.GtE: wasm.GREATER_OR_EQUAL,
}


class LanguageError(Exception):
    """A function is not written in our part of Python: a mistake of ours, which no policy can bring about."""


@dataclass(frozen=True, slots=True)
class Function:
    """A compiled function, to be called by its index."""

    index: int
    parameters: int
    result: bool


@dataclass(slots=True)
class Functions:
    """The functions of a module, by name."""

    module: Module
    by_name: dict[str, Function] = field(default_factory=dict)

    def import_host(self, host: Mapping[str, int]) -> None:
        """Make the host's functions known."""
        for name, parameters in host.items():
            self.by_name[name] = Function(self.module.import_function(name, parameters), parameters, result=True)

    def compile(self, sources: Iterable[ModuleType]) -> None:
        """Compile every function of these Python modules, in their order."""
        for source in sources:
            for node in ast.parse(inspect.getsource(source)).body:
                if isinstance(node, ast.FunctionDef):
                    self._compile(node, source)

    def call(self, name: str, *arguments: bytes) -> bytes:
        """Call a function by name."""
        function = self.by_name[name]
        if len(arguments) != function.parameters:
            raise LanguageError(f"{name} takes {function.parameters} arguments, not {len(arguments)}")
        return wasm.call(function.index, *arguments)

    def _compile(self, node: ast.FunctionDef, source: ModuleType) -> None:
        if node.name in self.by_name:
            raise LanguageError(f"there are two functions {node.name}")
        has_result = not (isinstance(node.returns, ast.Constant) and node.returns.value is None)
        parameters = [argument.arg for argument in node.args.args]
        compiler = _FunctionCompiler(self, source, parameters, has_result=has_result)
        body = compiler.statements(node.body)
        index = self.module.declare(len(parameters), result=has_result)
        locals_ = len(compiler.locals) - len(parameters)
        # A function that can come to its end without a value has none: the machine stops there.
        self.module.define(index, locals_, body + (wasm.UNREACHABLE if has_result else b""))
        self.by_name[node.name] = Function(index, len(parameters), has_result)


class _FunctionCompiler:
    """One function."""

    def __init__(self, functions: Functions, source: ModuleType, parameters: list[str], *, has_result: bool) -> None:
        self._functions = functions
        self._source = source
        self._has_result = has_result
        self.locals = {name: index for index, name in enumerate(parameters)}
        self._depth = 0
        """How many blocks there are around."""
        self._loops: list[tuple[int, int]] = []
        """Of each loop around, the depths of the blocks whose ends `break` and `continue` go to."""

    # --- Statements ---

    def statements(self, nodes: Iterable[ast.stmt]) -> bytes:
        return b"".join(self._statement(node) for node in nodes)

    def _statement(self, node: ast.stmt) -> bytes:
        match node:
            case ast.Expr(value=ast.Constant(value=str())) | ast.Pass():
                return b""
            case ast.Expr(value=ast.Call() as value):
                code, has_value = self._call(value)
                return code + (wasm.DROP if has_value else b"")
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                return self._value(value) + wasm.set_local(self._local(name))
            case ast.AugAssign(target=ast.Name(id=name), op=operator, value=value):
                changed = ast.BinOp(ast.Name(name), operator, value)
                return self._value(changed) + wasm.set_local(self._local(name))
            case ast.If(test=test, body=body, orelse=otherwise):
                return wasm.if_(self._value(test), self._nested(body), self._nested(otherwise))
            case ast.For():
                return self._for(node)
            case ast.Break():
                return wasm.branch(self._depth - self._loops[-1][0])
            case ast.Continue():
                return wasm.branch(self._depth - self._loops[-1][1])
            case ast.Return(value=None) if not self._has_result:
                return wasm.RETURN
            case ast.Return(value=ast.expr() as value) if self._has_result:
                return self._value(value) + wasm.RETURN
            case _:
                raise self._refused(node)

    def _nested(self, nodes: Iterable[ast.stmt]) -> bytes:
        self._depth += 1
        code = self.statements(nodes)
        self._depth -= 1
        return code

    def _for(self, node: ast.For) -> bytes:
        match node:
            case ast.For(
                target=ast.Name(id=name), iter=ast.Call(func=ast.Name(id="range"), args=[*limits]), orelse=[]
            ) if len(limits) in {1, 2}:
                pass
            case _:
                raise self._refused(node)
        begin = self._value(limits[0]) if len(limits) == 2 else wasm.constant(0)
        # Neither is the variable that the body sees: what it does to that changes nothing about the loop.
        counter, end = self._hidden(), self._hidden()
        setup = begin + wasm.set_local(counter) + self._value(limits[-1]) + wasm.set_local(end)
        done = wasm.get_local(counter) + wasm.get_local(end) + wasm.GREATER_OR_EQUAL + wasm.branch_if(1)
        visible = wasm.get_local(counter) + wasm.set_local(self._local(name))
        self._loops.append((self._depth + 1, self._depth + 3))
        self._depth += 3
        body = self.statements(node.body)
        self._depth -= 3
        self._loops.pop()
        step = wasm.get_local(counter) + wasm.constant(1) + wasm.ADD + wasm.set_local(counter) + wasm.branch(0)
        return setup + wasm.block(wasm.loop(done + visible + wasm.block(body) + step))

    # --- Expressions ---

    def _value(self, node: ast.expr) -> bytes:
        match node:
            case ast.Constant(value=bool() | int() as value):
                return wasm.constant(int(value))
            case ast.Name(id=name) if name in self.locals:
                return wasm.get_local(self.locals[name])
            case ast.Name() | ast.Attribute():
                return wasm.constant(self._global(node))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return self._value(operand) + wasm.EQZ
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)):
                return wasm.constant(-value)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in _BINARY:
                return self._value(left) + self._value(right) + _BINARY[type(operator)]
            case ast.Compare(left=left, ops=operators, comparators=rights):
                return self._comparison(left, operators, rights)
            case ast.BoolOp(op=operator, values=values):
                return self._truth(values, all_of=isinstance(operator, ast.And))
            case ast.IfExp(test=test, body=then, orelse=otherwise):
                return wasm.choose(self._value(test), self._value(then), self._value(otherwise))
            case ast.Call():
                code, has_value = self._call(node)
                if has_value:
                    return code
                raise self._refused(node)
            case _:
                raise self._refused(node)

    def _comparison(self, left: ast.expr, operators: list[ast.cmpop], rights: list[ast.expr]) -> bytes:
        match left, operators, rights:
            case ast.Name(), [ast.In() | ast.NotIn() as operator], [ast.Set(elts=members)]:
                is_in = self._truth([ast.Compare(left, [ast.Eq()], [member]) for member in members], all_of=False)
                return is_in if isinstance(operator, ast.In) else is_in + wasm.EQZ
            case _, [operator], [right] if type(operator) in _COMPARISONS:
                return self._value(left) + self._value(right) + _COMPARISONS[type(operator)]
            case _, [_, _], [ast.Name(), _]:  # anything else in the middle would be evaluated twice
                first = self._comparison(left, operators[:1], rights[:1])
                return wasm.choose(first, self._comparison(rights[0], operators[1:], rights[1:]), wasm.constant(0))
            case _:
                raise self._refused(left)

    def _truth(self, values: Sequence[ast.expr], *, all_of: bool) -> bytes:
        """1 or 0; what decides is evaluated first, and alone."""
        code = self._value(values[-1]) + wasm.EQZ + wasm.EQZ
        for value in reversed(values[:-1]):
            then, otherwise = (code, wasm.constant(0)) if all_of else (wasm.constant(1), code)
            code = wasm.choose(self._value(value), then, otherwise)
        return code

    def _call(self, node: ast.Call) -> tuple[bytes, bool]:
        """The instructions, and whether they leave a value."""
        if not isinstance(node.func, ast.Name) or node.keywords:
            raise self._refused(node)
        name = node.func.id
        if name == "ord":
            return wasm.constant(self._character(node)), True
        arguments = [self._value(argument) for argument in node.args]
        if name == "min":
            return self._least(node), True
        if name in INSTRUCTIONS:
            return b"".join(arguments) + INSTRUCTIONS[name], name not in VOID
        if name in DOUBLE_COMPARISONS:
            return b"".join(a + wasm.LOAD_DOUBLE for a in arguments) + DOUBLE_COMPARISONS[name], True
        if name == "invoke":
            return self._functions.module.call_indirect(b"", arguments[0], 0), True
        function = self._functions.by_name.get(name)
        if function is None:
            raise self._refused(node)
        return self._functions.call(name, *arguments), function.result

    def _least(self, node: ast.Call) -> bytes:
        match node.args:
            case [ast.Name() as left, ast.Name() as right]:  # anything else would be evaluated twice
                is_less = self._comparison(left, [ast.Lt()], [right])
                return wasm.choose(is_less, self._value(left), self._value(right))
            case _:
                raise self._refused(node)

    def _character(self, node: ast.Call) -> int:
        match node.args:
            case [ast.Constant(value=str() as character)]:
                return ord(character)
            case _:
                raise self._refused(node)

    # --- Names ---

    def _local(self, name: str) -> int:
        return self.locals.setdefault(name, len(self.locals))

    def _hidden(self) -> int:
        return self._local(f" {len(self.locals)}")

    def _global(self, node: ast.Name | ast.Attribute) -> int:
        match node:
            case ast.Name(id=name):
                value = getattr(self._source, name, None)
            case ast.Attribute(value=ast.Name(id=name), attr=member):
                value = getattr(getattr(self._source, name, None), member, None)
            case _:
                raise self._refused(node)
        if not isinstance(value, int):
            raise self._refused(node)
        return int(value)

    def _refused(self, node: ast.AST) -> LanguageError:
        return LanguageError(f"{self._source.__name__}: not in our part of Python: {ast.unparse(node)}")
