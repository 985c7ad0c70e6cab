"""Faults that the CEL compiler accepts: expressions that would always fail, or never mean what they seem to.

They are errors at load, because at a decision each would be an error on every request, or silently false.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from typing import Final, TypeAlias

import re2
from google.api.expr.v1alpha1.checked_pb2 import CheckedExpr, Type
from google.api.expr.v1alpha1.syntax_pb2 import Constant, Expr, ParsedExpr

from extauthz.languages.cel_ast import Bound, chain, constant_text, line_and_column, read_of, walk
from extauthz.languages.cel_facts import HEADER_MAPS, NAMES
from extauthz.languages.cel_finding import CelFinding
from extauthz.languages.cel_guard import CALLER, quoted

Fault: TypeAlias = tuple[str, str]
"""A message and a hint."""

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")  # RFC 9110 section 5.6.2, in lower case
_NO_HEADERS: Final = {
    ":authority": "request.host",
    ":method": "request.method",
    ":path": "request.path",
    ":scheme": "request.scheme",
    "host": "request.host",
}
_CONVERSIONS: Final = frozenset({"bool", "double", "duration", "int", "timestamp", "uint"})
_ARITHMETIC: Final = frozenset({"_+_", "_-_", "_*_", "_/_", "_%_"})
_INTEGERS: Final = frozenset({Type.PrimitiveType.INT64, Type.PrimitiveType.UINT64})
_ROOTS: Final = frozenset({name.partition(".")[0] for name in NAMES} | {"variables"})


def lint(checked: CheckedExpr, fails: Callable[[str], bool]) -> list[CelFinding]:
    """What is wrong with a checked expression.

    Args:
        checked: as the compiler gives it, variables not yet inlined.
        fails: whether a constant expression, given as text, fails when it is evaluated.
    """
    return [
        CelFinding(*line_and_column(checked.source_info, node.id), *fault)
        for node, bound in walk(checked.expr)
        for fault in _faults(node, bound, checked, fails)
    ]


def lint_has(parsed: ParsedExpr, names: Collection[str]) -> list[CelFinding]:
    """`has()` of a whole name, which the compiler takes for the name: `has(principal.authenticated)` for its value."""
    findings = []
    for node, _ in walk(parsed.expr):
        if node.select_expr.test_only and _dotted(node) in names:
            hint = "write principal.authenticated" if _dotted(node) in CALLER else ""
            message = f"has() looks for a key of a map, as in has(claims.name); '{_dotted(node)}' is none"
            findings.append(CelFinding(*line_and_column(parsed.source_info, node.id), message, hint))
    return findings


def _dotted(expr: Expr) -> str:
    if expr.WhichOneof("expr_kind") == "select_expr":
        return f"{_dotted(expr.select_expr.operand)}.{expr.select_expr.field}"
    return str(expr.ident_expr.name)


def _faults(node: Expr, bound: Bound, checked: CheckedExpr, fails: Callable[[str], bool]) -> Iterator[Fault]:
    match node.WhichOneof("expr_kind"):
        case "comprehension_expr":
            yield from _hiding_loop(node)
        case "struct_expr":
            yield from _repeated_keys(node)
        case "call_expr":
            yield from _arithmetic(node, bound, checked)
            yield from _constant_argument(node, fails)
        case _:  # no other kind has faults of its own
            pass
    read = read_of(node, bound)
    if read is not None and read.path[0] in HEADER_MAPS and len(read.path) == 2:
        yield from _header_name(read.path[1])


def _hiding_loop(node: Expr) -> Iterator[Fault]:
    variable = node.comprehension_expr.iter_var
    if variable in _ROOTS:
        yield f"the loop variable '{variable}' hides the name '{variable}'", "call it something else"


def _repeated_keys(node: Expr) -> Iterator[Fault]:
    """Evaluating a map with a repeated key raises; numbers of different types are the same key."""
    seen: set[tuple[str, object]] = set()
    for entry in node.struct_expr.entries:
        if entry.HasField("map_key") and entry.map_key.WhichOneof("expr_kind") == "const_expr":
            key = _key(entry.map_key.const_expr)
            if key in seen:
                yield f"the map has the key {quoted(key[1]) if isinstance(key[1], str) else key[1]} twice", ""
            seen.add(key)


def _key(constant: Constant) -> tuple[str, object]:
    kind = str(constant.WhichOneof("constant_kind"))
    return ("number" if kind in {"int64_value", "uint64_value"} else kind), getattr(constant, kind)


def _arithmetic(node: Expr, bound: Bound, checked: CheckedExpr) -> Iterator[Fault]:
    """Numbers in claims and bodies are doubles, and CEL has no operator for a double and an integer."""
    if node.call_expr.function not in _ARITHMETIC:
        return
    arguments = node.call_expr.args
    paths = [chain(argument, bound) for argument in arguments]
    if any(path is not None and path[0] in {"claims", "body"} for path in paths) and any(
        checked.type_map[argument.id].primitive in _INTEGERS
        for argument in arguments
        if argument.id in checked.type_map
    ):
        operator = node.call_expr.function.strip("_")
        yield (
            f"'{operator}' always fails: numbers in claims and body are doubles, the other is an integer",
            "write 1.0 for 1, or int(claims.name)",
        )


def _constant_argument(node: Expr, fails: Callable[[str], bool]) -> Iterator[Fault]:
    function, arguments = node.call_expr.function, node.call_expr.args
    text = constant_text(arguments[-1]) if arguments else None
    if text is None:
        return
    if function == "matches":
        yield from _pattern(text)
    elif function in _CONVERSIONS and fails(f"{function}({quoted(text)})"):
        yield f"{quoted(text)} is no {function}", ""
    elif function.startswith("get") and fails(f"timestamp('1970-01-01T00:00:00Z').{function}({quoted(text)})"):
        yield f"unknown time zone {quoted(text)}", "write a name as in 'Europe/Berlin', or an offset as in '+01:00'"


def _pattern(pattern: str) -> Iterator[Fault]:
    options = re2.Options()
    options.log_errors = False
    try:
        re2.compile(pattern, options)
    except re2.error as error:
        reason = error.args[0]
        yield f"not an RE2 pattern: {reason.decode() if isinstance(reason, bytes) else reason}", ""


def _header_name(name: str) -> Iterator[Fault]:
    if name in _NO_HEADERS:
        yield f"the proxy keeps '{name}' apart from the headers", f"write {_NO_HEADERS[name]}"
    elif name != name.lower():
        yield f"header names are in lower case, '{name}' never matches", f"write '{name.lower()}'"
    elif not _HEADER_NAME.fullmatch(name):
        yield f"{quoted(name)} is no header name", ""
