"""CEL conditions as instructions: the operators that `runtime/values.py` has, over what a module can read.

A part that is not exact is *left*: what it comes to is not known here. The rest of the condition may still decide it,
as `false && x` does whatever `x` is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr
from google.api.expr.v1alpha1.syntax_pb2 import Constant, Expr
from google.protobuf.struct_pb2 import ListValue

from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_ast import Read, constant_text, read_of
from extauthz.languages.cel_text import Loop, loop_of
from extauthz.lowering.callers import Caller
from extauthz.lowering.formula import NotExactError
from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.emitter import FAILURE, OPERAND, UNKNOWN, Code, Emitter, constant, truth
from extauthz.lowering.wasm.runtime.layout import FALSE, LEFT, NULL, TRUE, Cell, Word
from extauthz.model.policy import Condition, RestSegment, Route

_LARGEST_EXACT = 2**53
"""Up to here each whole number is a double of its own."""
_NOT_ON_THE_WAY = frozenset({"x-envoy-auth-partial-body"})
"""Headers that Envoy adds to what the authorizer reads."""

_OF_PRINCIPAL = {("principal.groups",), ("principal.roles",), ("principal.scopes",)}
"""Lists of which `in` asks for one element."""

Note = Callable[[str], None]
"""Told why a part is left."""
Membership = Callable[[str, str], Code]
"""Whether a list of the caller's (`principal.groups`) holds a text."""


class ConditionEmitter:
    """The conditions on one route, for one kind of caller."""

    def __init__(self, emitter: Emitter, route: Route, caller: Caller, membership: Membership) -> None:
        self._emitter = emitter
        self._route = route
        self._caller = caller
        self._membership = membership
        self._variables: list[str] = []
        """Of the loops around, from the outermost on."""
        self._operators: Mapping[str, Callable[[Sequence[Expr], Note], Code]] = {
            "_&&_": lambda parts, note: emitter.both(self._value(parts[0], note), self._value(parts[1], note)),
            "_||_": lambda parts, note: emitter.either(self._value(parts[0], note), self._value(parts[1], note)),
            "!_": lambda parts, note: emitter.call("negated", *self._values(parts, note)),
            "_?_:_": self._choice,
            "_==_": lambda parts, note: emitter.call("equal", *self._values(parts, note)),
            "_!=_": lambda parts, note: emitter.call("negated", emitter.call("equal", *self._values(parts, note))),
            "_<_": lambda parts, note: emitter.call("less", *self._values(parts, note), 0),
            "_<=_": lambda parts, note: emitter.call("less", *self._values(parts, note), 1),
            "_>_": lambda parts, note: emitter.call("less", *self._reversed(parts, note), 0),
            "_>=_": lambda parts, note: emitter.call("less", *self._reversed(parts, note), 1),
            "@in": self._contained,
            "contains": lambda parts, note: emitter.call("contains", *self._values(parts, note)),
            "startsWith": lambda parts, note: emitter.call("starts_with", *self._values(parts, note)),
            "endsWith": lambda parts, note: emitter.call("ends_with", *self._values(parts, note)),
            "size": lambda parts, note: emitter.call("size", *self._values(parts, note)),
        }

        data, provider = emitter.data, caller.provider
        self._names: Mapping[str, Callable[[], Code]] = {
            "principal.authenticated": lambda: truth(provider is not None),
            "principal.provider": lambda: FAILURE if provider is None else constant(data.text(provider.name)),
            "principal.subject": self._subject,
            "request.host": lambda: constant(Cell.HOST) + wasm.LOAD_32,
            "request.method": lambda: emitter.call("header_value", Word.METHOD),
            "request.scheme": lambda: emitter.call("header_value", data.text(":scheme")),
            "request.url_path": lambda: constant(Cell.PATH) + wasm.LOAD_32,
            "source.address": lambda: emitter.call("peer_text"),
        }
        self._keyed: Mapping[str, Callable[[Sequence[str], bool], Code]] = {
            "claims": self._claim,
            "path": self._path_variable,
            "request.headers": self._header,
        }

    def condition(self, condition: Condition, note: Note) -> Code:
        """The condition: true, false, an error or left.

        Args:
            condition: of any language.
            note: told why parts are left.
        """
        if not isinstance(condition, CelCondition):
            note("it is not written in CEL")
            return UNKNOWN
        return self._emitter.both(self._value(CheckedExpr.FromString(condition.checked).expr, note), constant(TRUE))

    def _values(self, parts: Sequence[Expr], note: Note) -> list[Code]:
        return [self._value(part, note) for part in parts]

    def _reversed(self, parts: Sequence[Expr], note: Note) -> list[Code]:
        return self._values(parts, note)[::-1]

    def _value(self, expr: Expr, note: Note) -> Code:
        try:
            return self._exact_value(expr, note)
        except NotExactError as error:
            note(str(error))
            return UNKNOWN

    def _exact_value(self, expr: Expr, note: Note) -> Code:
        read = read_of(expr)
        if read is not None:
            return self._read(read)
        match expr.WhichOneof("expr_kind"):
            case "const_expr":
                return self._constant(expr.const_expr)
            case "list_expr":
                return constant(self._emitter.data.list(_list(expr).SerializeToString(deterministic=True)))
            case "call_expr" if expr.call_expr.function in self._operators:
                called = expr.call_expr
                operands = [*([called.target] if called.HasField("target") else []), *called.args]
                return self._operators[called.function](operands, note)
            case "call_expr" if expr.call_expr.function != "_[_]":
                raise NotExactError(f"it calls {expr.call_expr.function.strip('_@')}")
            case "comprehension_expr":
                return self._loop(loop_of(expr), note)
            case _:
                return self._of_item(expr)

    def _choice(self, parts: Sequence[Expr], note: Note) -> Code:
        condition, then, otherwise = self._values(parts, note)
        operand = wasm.get_local(OPERAND)
        failed = wasm.choose(operand + constant(LEFT) + wasm.EQUAL, UNKNOWN, FAILURE)
        second = wasm.choose(operand + constant(FALSE) + wasm.EQUAL, otherwise, failed)
        return wasm.choose(condition + wasm.tee_local(OPERAND) + constant(TRUE) + wasm.EQUAL, then, second)

    def _contained(self, parts: Sequence[Expr], note: Note) -> Code:
        element, container = parts
        read, text = read_of(container), constant_text(element)
        if read is not None and text is not None and read.path in _OF_PRINCIPAL:
            return self._membership(read.path[0], text)
        return self._emitter.call("contained", *self._values(parts, note))

    # --- Loops ---

    def _loop(self, loop: Loop | None, note: Note) -> Code:
        """`exists` or `all` over a list of claims, or of literals; what is asked of an item is a function."""
        if loop is None or loop.macro not in {"exists", "all"}:
            raise NotExactError("it makes a list, or counts (filter, map, exists_one)")
        items = self._items(loop.range)
        self._variables.append(loop.variable)
        question = self._emitter.function(self._value(loop.body, note))
        self._variables.pop()
        return self._emitter.call(
            "ask_items", items, self._emitter.module.table_index(question), int(loop.macro == "all")
        )

    def _items(self, expr: Expr) -> Code:
        read = read_of(expr)
        if read is not None and read.path[0] == "claims" and len(read.path) > 1:
            if self._caller.provider is None:
                return FAILURE
            return self._emitter.call("claimed_items", self._emitter.data.texts(read.path[1:]))
        if expr.WhichOneof("expr_kind") == "list_expr":
            return constant(self._emitter.data.list(_list(expr).SerializeToString(deterministic=True)))
        raise NotExactError("it loops over something else than a list of claims or of literals")

    def _of_item(self, expr: Expr) -> Code:
        """The item that the innermost loop asks, or a field of it."""
        if self._is_item(expr):
            return constant(Cell.ITEM) + wasm.LOAD_32
        select, called = expr.select_expr, expr.call_expr
        if self._is_item(select.operand):
            key = constant(self._emitter.data.text(select.field))
            return self._emitter.call("has_item_field" if select.test_only else "item_field", key)
        if called.function == "_[_]" and self._is_item(called.args[0]):
            text = constant_text(called.args[1])
            if text is not None:
                return self._emitter.call("item_field", self._emitter.data.text(text))
        raise NotExactError("it reads a part of what it has computed")

    def _is_item(self, expr: Expr) -> bool:
        name = expr.ident_expr.name
        return bool(self._variables) and bool(name) and name == self._variables[-1]

    # --- Constants ---

    def _constant(self, literal: Constant) -> Code:
        match literal.WhichOneof("constant_kind"):
            case "bool_value":
                return truth(literal.bool_value)
            case "null_value":
                return constant(NULL)
            case "string_value":
                return constant(self._emitter.data.text(literal.string_value))
            case _:
                return constant(self._emitter.data.number(_number(literal)))

    # --- Reads ---

    def _read(self, read: Read) -> Code:
        name, *keys = read.path
        if name in self._names:
            return self._names[name]()
        if name in self._keyed and keys:
            return self._keyed[name](keys, read.presence)
        raise NotExactError(f"it reads {name}{' as a whole' if name in self._keyed else ''}")

    def _header(self, keys: Sequence[str], presence: bool) -> Code:  # noqa: FBT001 - by its type
        (name,) = keys
        if name.startswith(":") or name in _NOT_ON_THE_WAY:
            raise NotExactError(f"it reads {name}, which is no header of the client's")
        return self._emitter.call("has_header" if presence else "header_value", self._emitter.data.text(name))

    def _claim(self, keys: Sequence[str], presence: bool) -> Code:  # noqa: FBT001 - by its type
        if self._caller.provider is None:
            return truth(holds=False) if presence and len(keys) == 1 else FAILURE
        return self._emitter.call("has_claim" if presence else "claim_value", self._emitter.data.texts(keys))

    def _path_variable(self, keys: Sequence[str], presence: bool) -> Code:  # noqa: FBT001 - by its type
        (name,) = keys
        variables = self._route.path.variables
        if presence:
            return truth(name in variables)
        return captured(self._emitter, self._route, name) if name in variables else FAILURE

    def _subject(self) -> Code:
        provider = self._caller.provider
        if provider is None:
            return FAILURE
        return self._emitter.call("subject", self._emitter.data.texts(provider.claims.subject.keys))


def captured(emitter: Emitter, route: Route, variable: str) -> Code:
    """What a variable of the route's pattern binds."""
    last = route.path.segments[-1]
    is_rest = isinstance(last, RestSegment) and last.name == variable
    number = route.path.variables.index(variable)
    return emitter.call("captured_rest" if is_rest else "captured_segment", number)


def _number(literal: Constant) -> float:
    match literal.WhichOneof("constant_kind"):
        case "double_value":
            return float(literal.double_value)
        case "int64_value" if abs(literal.int64_value) <= _LARGEST_EXACT:
            return float(literal.int64_value)
        case "uint64_value" if literal.uint64_value <= _LARGEST_EXACT:
            return float(literal.uint64_value)
        case "int64_value" | "uint64_value":
            raise NotExactError("it holds a number beyond 2^53")
        case kind:
            raise NotExactError(f"it holds a literal of another kind ({kind})")


def _list(expr: Expr) -> ListValue:
    """A list of literals."""
    values = ListValue()
    for element in expr.list_expr.elements:
        literal = element.const_expr
        value = values.values.add()
        match literal.WhichOneof("constant_kind"):
            case None:
                raise NotExactError("it makes a list of other than literals")
            case "bool_value":
                value.bool_value = literal.bool_value
            case "null_value":
                value.null_value = 0
            case "string_value":
                value.string_value = literal.string_value
            case _:
                value.number_value = _number(literal)
    return values
