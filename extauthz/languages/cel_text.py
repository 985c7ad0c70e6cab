"""Checked CEL expressions back to text, one line each, with macros as they were written.

A condition's parts have no end in the source, only a beginning, and variables are inlined: so what is said about a part
is written anew. Parentheses stand where precedence needs them (CEL language definition, "Syntax").
"""

from __future__ import annotations

from typing import Final, NamedTuple

from google.api.expr.v1alpha1.syntax_pb2 import Constant, Expr

from extauthz.languages.cel_guard import is_field, quoted

_CHOICE, _OR, _AND, _RELATION, _SUM, _PRODUCT, _UNARY, _MEMBER = range(8)

_BINARY: Final = {
    "_||_": ("||", _OR),
    "_&&_": ("&&", _AND),
    **{f"_{sign}_": (sign, _RELATION) for sign in ("==", "!=", "<", "<=", ">", ">=")},
    "@in": ("in", _RELATION),
    "_+_": ("+", _SUM),
    "_-_": ("-", _SUM),
    "_*_": ("*", _PRODUCT),
    "_/_": ("/", _PRODUCT),
    "_%_": ("%", _PRODUCT),
}
_UNARY_SIGNS: Final = {"!_": "!", "-_": "-"}


class Loop(NamedTuple):
    """A macro over a list or the keys of a map: what is asked, or made, of each item."""

    macro: str
    variable: str
    range: Expr
    body: Expr


def loop_of(expr: Expr) -> Loop | None:
    """The macro that a comprehension was expanded from; None for what no macro expands to."""
    if expr.WhichOneof("expr_kind") != "comprehension_expr":
        return None
    loop = expr.comprehension_expr
    step = loop.loop_step.call_expr
    match step.function:
        case "_||_":
            macro, body = "exists", step.args[1]
        case "_&&_":
            macro, body = "all", step.args[1]
        case "_?_:_":
            is_filter = loop.accu_init.WhichOneof("expr_kind") == "list_expr"
            macro, body = ("filter" if is_filter else "exists_one"), step.args[0]
        case "_+_":
            macro, body = "map", step.args[1].list_expr.elements[0]
        case _:
            return None
    if macro == "filter" and step.args[1].call_expr.args[1].list_expr.elements[0].ident_expr.name != loop.iter_var:
        return None  # map(x, condition, expression) has two bodies
    return Loop(macro, loop.iter_var, loop.iter_range, body)


def text_of(expr: Expr) -> str:
    """The expression as an author would write it."""
    return _text(expr)[0]


def _text(expr: Expr) -> tuple[str, int]:
    """The text, and how tightly its outermost operator binds."""
    match expr.WhichOneof("expr_kind"):
        case "const_expr":
            return _constant(expr.const_expr), _MEMBER
        case "ident_expr":
            return expr.ident_expr.name, _MEMBER
        case "select_expr":
            select = expr.select_expr
            operand = _within(select.operand, _MEMBER)
            field = f"{operand}.{select.field}" if is_field(select.field) else f"{operand}[{quoted(select.field)}]"
            return (f"has({field})" if select.test_only else field), _MEMBER
        case "call_expr":
            return _call(expr.call_expr)
        case "list_expr":
            return f"[{', '.join(map(text_of, expr.list_expr.elements))}]", _MEMBER
        case "struct_expr":
            entries = (f"{text_of(e.map_key)}: {text_of(e.value)}" for e in expr.struct_expr.entries)
            return f"{{{', '.join(entries)}}}", _MEMBER
        case _:
            loop = loop_of(expr)
            if loop is None:
                return _conditional_map(expr.comprehension_expr), _MEMBER
            return f"{_within(loop.range, _MEMBER)}.{loop.macro}({loop.variable}, {text_of(loop.body)})", _MEMBER


def _conditional_map(loop: Expr.Comprehension) -> str:
    condition, added, _ = loop.loop_step.call_expr.args
    element = added.call_expr.args[1].list_expr.elements[0]
    inner = f"{loop.iter_var}, {text_of(condition)}, {text_of(element)}"
    return f"{_within(loop.iter_range, _MEMBER)}.map({inner})"


def _call(call: Expr.Call) -> tuple[str, int]:
    arguments = list(call.args)
    if call.function in _BINARY:
        sign, level = _BINARY[call.function]
        left, right = arguments
        # `a - (b - c)`; && and || mean the same however they are grouped.
        inner = level if level in {_OR, _AND} else level + 1
        return f"{_within(left, level)} {sign} {_within(right, inner)}", level
    if call.function in _UNARY_SIGNS:
        return f"{_UNARY_SIGNS[call.function]}{_within(arguments[0], _UNARY)}", _UNARY
    if call.function == "_?_:_":
        condition, then, otherwise = arguments
        return f"{_within(condition, _OR)} ? {_within(then, _OR)} : {_within(otherwise, _CHOICE)}", _CHOICE
    if call.function == "_[_]":
        return f"{_within(arguments[0], _MEMBER)}[{text_of(arguments[1])}]", _MEMBER
    receiver = f"{_within(call.target, _MEMBER)}." if call.HasField("target") else ""
    return f"{receiver}{call.function}({', '.join(map(text_of, arguments))})", _MEMBER


def _within(expr: Expr, level: int) -> str:
    """The text, in parentheses when it binds less tightly than its place needs."""
    text, own = _text(expr)
    return text if own >= level else f"({text})"


def _constant(constant: Constant) -> str:
    kind = constant.WhichOneof("constant_kind")
    match kind:
        case "string_value":
            return quoted(constant.string_value)
        case "bytes_value":
            return "b'" + "".join(f"\\x{octet:02x}" for octet in constant.bytes_value) + "'"
        case "bool_value":
            return "true" if constant.bool_value else "false"
        case "uint64_value":
            return f"{constant.uint64_value}u"
        case "null_value" | None:
            return "null"
        case _:
            return str(getattr(constant, kind))
