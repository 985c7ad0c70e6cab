"""CEL expressions as data (google.api.expr.v1alpha1.Expr): built here, evaluated by Envoy's RBAC filter.

What Envoy reads is `request`, `metadata` and their like as maps; an error is no match. So an expression that is to
allow something may err where it must not allow, and never the other way round.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce
from typing import Any, TypeAlias

from google.api.expr.v1alpha1 import syntax_pb2
from google.protobuf import json_format

from extauthz.languages.cel_ast import walk
from extauthz.lowering.document import JsonObject

Expr: TypeAlias = Any
"""google.api.expr.v1alpha1.Expr, which is published without types. Never changed once built."""

CEL_CONFIG: JsonObject = {
    # Without these Envoy loads such an expression, and it never matches (envoy.config.core.v3.CelExpressionConfig).
    "enable_string_concat": True,
    "enable_string_conversion": True,
    "enable_string_functions": True,
}


def text(value: str) -> Expr:
    """A string literal."""
    return syntax_pb2.Expr(const_expr=syntax_pb2.Constant(string_value=value))


def integer(value: int) -> Expr:
    """An int literal."""
    return syntax_pb2.Expr(const_expr=syntax_pb2.Constant(int64_value=value))


def literal(*, true: bool) -> Expr:
    """`true` or `false`."""
    return syntax_pb2.Expr(const_expr=syntax_pb2.Constant(bool_value=true))


def texts(values: Iterable[str]) -> Expr:
    """A list of string literals."""
    return syntax_pb2.Expr(list_expr=syntax_pb2.Expr.CreateList(elements=[text(value) for value in values]))


def name(identifier: str) -> Expr:
    """A name of Envoy's: `request`, `metadata`, or a type's."""
    return syntax_pb2.Expr(ident_expr=syntax_pb2.Expr.Ident(name=identifier))


def call(function: str, *arguments: Expr) -> Expr:
    """A call of a function or an operator, as `_==_`."""
    return syntax_pb2.Expr(call_expr=syntax_pb2.Expr.Call(function=function, args=arguments))


def method(target: Expr, function: str, *arguments: Expr) -> Expr:
    """A call with a receiver, as `x.startsWith('a')`."""
    return syntax_pb2.Expr(call_expr=syntax_pb2.Expr.Call(target=target, function=function, args=arguments))


def field(operand: Expr, key: str) -> Expr:
    """`operand.key`; the key is any text."""
    return syntax_pb2.Expr(select_expr=syntax_pb2.Expr.Select(operand=operand, field=key))


def has(operand: Expr, key: str) -> Expr:
    """`has(operand.key)`; an error where the operand is no map."""
    return syntax_pb2.Expr(select_expr=syntax_pb2.Expr.Select(operand=operand, field=key, test_only=True))


def fields(operand: Expr, keys: Iterable[str]) -> Expr:
    """`operand.a.b`."""
    return reduce(field, keys, operand)


def equal(left: Expr, right: Expr) -> Expr:
    """`left == right`."""
    return call("_==_", left, right)


def is_of_type(operand: Expr, type_name: str) -> Expr:
    """`type(operand) == type_name`."""
    return equal(call("type", operand), name(type_name))


def contained(element: Expr, container: Expr) -> Expr:
    """`element in container`."""
    return call("@in", element, container)


def negated(operand: Expr) -> Expr:
    """`!operand`: an error stays an error."""
    return call("!_", operand)


def all_of(operands: Iterable[Expr]) -> Expr:
    """`a && b && ...`: one false decides, errors or not; true when there are none."""
    operands = list(operands)
    return reduce(lambda left, right: call("_&&_", left, right), operands) if operands else literal(true=True)


def any_of(operands: Iterable[Expr]) -> Expr:
    """`a || b || ...`: one true decides, errors or not; false when there are none."""
    operands = list(operands)
    return reduce(lambda left, right: call("_||_", left, right), operands) if operands else literal(true=False)


def failure() -> Expr:
    """What is an error whenever it is evaluated: a division by zero."""
    return call("_/_", integer(1), integer(0))


def header(header_name: str) -> Expr:
    """A request header's value, repeated ones joined by commas; an error when it is absent."""
    return call("_[_]", request("headers"), text(header_name))


def has_header(header_name: str) -> Expr:
    """Whether the request has the header."""
    return contained(text(header_name), request("headers"))


def request(attribute: str) -> Expr:
    """`request.<attribute>` (envoy, "Attributes")."""
    return field(name("request"), attribute)


def matches(operand: Expr, regex: str) -> Expr:
    """`operand.matches('regex')`: RE2, unanchored; an error where the operand is no text.

    Envoy compiles a written regular expression ahead, and then gives the whole evaluation up where the operand is an
    error, which no `||` absorbs. So the type is asked for first.
    """
    matched = method(operand, "matches", text(regex))
    return call("_?_:_", is_of_type(operand, "string"), matched, failure())


def to_envoy(expr: Expr) -> JsonObject:
    """The expression as JSON, its nodes numbered from 1 in the order in which they stand.

    Equal expressions, of which a set's routes have many, may share one document: it is not to be changed.
    """
    return _document(expr.SerializeToString(deterministic=True))


@lru_cache(maxsize=256)
def _document(serialized: bytes) -> JsonObject:
    numbered = syntax_pb2.Expr.FromString(serialized)
    for number, (node, _) in enumerate(walk(numbered), start=1):
        node.id = number
    document: JsonObject = json_format.MessageToDict(numbered)
    return document
