"""Which reads turn a whole condition into an error when what they read is absent, and how to guard them.

A deny that errors denies, so an unguarded `claims.suspended == true` denies everybody without that claim. Found by
evaluating the expression over sets of outcomes: once with everything present, and once for every path that may be
absent, of which then nothing but an error or a `has()` that is false can come.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final, TypeAlias

from google.api.expr.v1alpha1.syntax_pb2 import Expr

from extauthz.languages.cel_ast import Bound, chain, children, membership
from extauthz.languages.cel_facts import CelPath

Outcomes: TypeAlias = int
"""A set of what an expression may come to: bits of TRUE, FALSE and ERROR. What is no BOOL counts as TRUE or FALSE."""

TRUE: Final = 1
FALSE: Final = 2
ERROR: Final = 4
EITHER: Final = TRUE | FALSE

GUARDABLE: Final = frozenset(
    {
        "claims",
        "context_extensions",
        "request.headers",
        "request.header_values",
        "request.query",
        "request.query_values",
    }
)
"""Maps of which a request may lack a key, and can be asked whether it does. `path` is not one: its route binds it."""

CALLER: Final = frozenset({"principal.subject", "principal.provider"})
"""Absent when nobody is authenticated; `principal.authenticated` tells."""


@dataclass(frozen=True, slots=True)
class Possible:
    """What an expression may come to, with everything present and with one path absent."""

    present: Outcomes
    absent: Mapping[CelPath, Outcomes] = field(default_factory=dict)

    def without(self, path: CelPath) -> Outcomes:
        return self.absent.get(path, self.present)

    def errors(self) -> frozenset[CelPath]:
        """The paths whose absence may make it an error."""
        return frozenset(path for path, outcomes in self.absent.items() if outcomes & ERROR)


def possible(expr: Expr, bound: Bound = frozenset()) -> Possible:
    """What a checked expression, its variables inlined, may come to."""
    looked_for = membership(expr, bound)
    if looked_for is not None:
        return Possible(EITHER, _absences(looked_for, FALSE))
    read = chain(expr, bound)
    if read is not None:
        return _possible_read(read)
    parts = [possible(child, inner) for child, inner in children(expr, bound)]
    match expr.WhichOneof("expr_kind"):
        case "const_expr" if expr.const_expr.WhichOneof("constant_kind") == "bool_value":
            return Possible(TRUE if expr.const_expr.bool_value else FALSE)
        case "call_expr" if expr.call_expr.function in _OPERATORS:
            return _combine(parts, _OPERATORS[expr.call_expr.function])
        case "comprehension_expr":
            return _combine(parts, _loop)
        case _:
            return _combine(parts, _strict)


def _possible_read(path: CelPath) -> Possible:
    if path == ("principal.authenticated",):
        return Possible(EITHER, {(name,): FALSE for name in CALLER})
    if path[0] in CALLER:
        return Possible(EITHER, {path: ERROR})
    return Possible(EITHER, _absences(path, ERROR))


def _absences(path: CelPath, last: Outcomes) -> dict[CelPath, Outcomes]:
    """`last` when the path's last key is absent, an error when one above it is."""
    if path[0] not in GUARDABLE:
        return {}
    return {path[:end]: last if end == len(path) else ERROR for end in range(2, len(path) + 1)}


def _combine(parts: Sequence[Possible], law: Callable[[Sequence[Outcomes]], Outcomes]) -> Possible:
    paths = {path for part in parts for path in part.absent}
    return Possible(
        law([part.present for part in parts]),
        {path: law([part.without(path) for part in parts]) for path in paths},
    )


def _strict(parts: Sequence[Outcomes]) -> Outcomes:
    """Every operator and function but the four below: an error in, an error out."""
    if ERROR in parts:
        return ERROR
    return EITHER | (reduce(int.__or__, parts, 0) & ERROR)


def _loop(parts: Sequence[Outcomes]) -> Outcomes:
    """A comprehension, the range first: its body may run never or many times."""
    if parts[0] == ERROR:
        return ERROR
    return EITHER | (reduce(int.__or__, parts) & ERROR)


def _and(parts: Sequence[Outcomes]) -> Outcomes:
    left, right = parts
    outcomes = (left | right) & FALSE
    if left & TRUE and right & TRUE:
        outcomes |= TRUE
    if (left & ERROR and right & (TRUE | ERROR)) or (right & ERROR and left & (TRUE | ERROR)):
        outcomes |= ERROR
    return outcomes


def _not(parts: Sequence[Outcomes]) -> Outcomes:
    (of,) = parts
    return (of & ERROR) | (TRUE if of & FALSE else 0) | (FALSE if of & TRUE else 0)


def _or(parts: Sequence[Outcomes]) -> Outcomes:
    return _not([_and([_not([part]) for part in parts])])


def _choice(parts: Sequence[Outcomes]) -> Outcomes:
    condition, then, otherwise = parts
    return (condition & ERROR) | (then if condition & TRUE else 0) | (otherwise if condition & FALSE else 0)


_OPERATORS: Final[Mapping[str, Callable[[Sequence[Outcomes]], Outcomes]]] = {
    "_&&_": _and,
    "_||_": _or,
    "!_": _not,
    "_?_:_": _choice,
}


# --- The guarded form ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Guards:
    """Which absences make a condition an error, altogether and by the alternatives of its outermost `||`."""

    whole: frozenset[CelPath]
    alternatives: tuple[frozenset[CelPath], ...]

    @property
    def unguarded(self) -> tuple[CelPath, ...]:
        """The paths to guard, sorted; a path above another is left out, for its guard is part of the other's."""
        above = {path[:end] for path in self.whole for end in range(1, len(path))}
        return tuple(sorted(self.whole - above))

    def guarded_form(self, text: str, path: CelPath) -> str:
        """The text with a guard for the path in front of what would fail without it."""
        pieces = split_alternatives(text)
        if len(pieces) == len(self.alternatives):
            guarded = [
                _guard(piece.strip(), self._needed(path, errors))
                for piece, errors in zip(pieces, self.alternatives, strict=True)
            ]
            return " || ".join(guarded)
        inner = f"(\n{text}\n)" if "//" in text else f"({text})"
        return _guard(inner, self._needed(path, self.whole))

    @staticmethod
    def _needed(path: CelPath, errors: frozenset[CelPath]) -> list[CelPath]:
        return [path[:end] for end in range(1, len(path) + 1) if path[:end] in errors]


def guards_of(expr: Expr) -> Guards:
    """The guards that a checked expression lacks."""
    whole = possible(expr).errors()
    if not whole:
        return Guards(whole, ())
    return Guards(whole, tuple(possible(alternative).errors() for alternative in _alternatives(expr)))


def _alternatives(expr: Expr) -> list[Expr]:
    if expr.call_expr.function != "_||_":
        return [expr]
    return [alternative for argument in expr.call_expr.args for alternative in _alternatives(argument)]


_TOKEN = re.compile(
    r"""(?P<comment>//)"""
    r"""|(?P<raw>[bB]?[rR][bB]?(?:'{3}.*?'{3}|"{3}.*?"{3}|'[^']*'|"[^"]*"))"""
    r"""|(?P<text>'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`[^`]*`)"""
    r"""|(?P<open>[(\[{])|(?P<close>[)\]}])|(?P<or>\|\|)|(?P<choice>\?)""",
    re.DOTALL,
)


def split_alternatives(text: str) -> list[str]:
    """The text at its outermost `||`; empty when it has a comment or a `?` there, and cannot be cut so simply."""
    pieces: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(text):
        depth += (token.lastgroup == "open") - (token.lastgroup == "close")
        if token.lastgroup == "comment" or (token.lastgroup == "choice" and depth == 0):
            return []
        if token.lastgroup == "or" and depth == 0:
            pieces.append(text[start : token.start()])
            start = token.end()
    return [*pieces, text[start:]]


def _guard(text: str, paths: Iterable[CelPath]) -> str:
    return " && ".join([*(presence_text(path) for path in paths), text])


def presence_text(path: CelPath) -> str:
    """The condition that holds when the path is there."""
    if path[0] in CALLER:
        return "principal.authenticated"
    above, key = value_text(path[:-1]), path[-1]
    if path[0] == "claims" and is_field(key):
        return f"has({above}.{key})"
    return f"{quoted(key)} in {above}"


def value_text(path: CelPath) -> str:
    """The path as an author writes it."""
    return path[0] + "".join(
        f".{key}" if path[0] == "claims" and is_field(key) else f"[{quoted(key)}]" for key in path[1:]
    )


def quoted(text: str) -> str:
    """The text as a CEL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return "'" + "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in escaped) + "'"


def is_field(key: str) -> bool:
    """Whether the key can be written after a dot."""
    return re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) is not None and key not in {"in", "true", "false", "null"}
