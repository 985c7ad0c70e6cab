"""What a condition would want of a request: which of its atoms would have to come out otherwise for it to hold, or not.

A condition is put together from atoms by `&&`, `||`, `!` and `?:`. An atom that has to change is said as it is written,
or negated, with what its reads come to instead.
"""

from __future__ import annotations

import re

from extauthz.authoring.fact import IMPOSSIBLE, NOTHING_NEEDED, Alternatives, Fact, all_of, any_of, only
from extauthz.languages.cel_facts import CelPath
from extauthz.languages.cel_guard import value_text
from extauthz.languages.cel_parts import Kind, Part
from extauthz.model.access import Facts
from extauthz.model.decision import Outcome

_NEGATED_SIGNS = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_COMPARISON = re.compile(r"([^'\"&|!?=<>]+) (==|!=|<=|>=|<|>) ([^&|!?=<>]+)")

_KINDS = {
    "claims": "claim",
    "request.headers": "header",
    "request.header_values": "header",
    "request.query": "query",
    "request.query_values": "query",
    "request.time": "time",
    "path": "path",
    "request.path": "path",
    "request.url_path": "path",
    "body": "body",
    "principal.roles": "role",
    "principal.groups": "group",
    "principal.scopes": "scope",
    "principal.subject": "subject",
    "principal.provider": "provider",
    "connection.uri_san_peer_certificate": "workload",
}


def wish(part: Part, facts: Facts, *, holds: bool) -> Alternatives:
    """The sets of atoms that would have to come out otherwise for the part to be true, or false."""
    if part.evaluate(facts).outcome is (Outcome.SATISFIED if holds else Outcome.UNSATISFIED):
        return NOTHING_NEEDED
    operands = part.operands
    if not operands:
        return _atom(part, facts, holds=holds)
    if part.kind is Kind.NOT:
        return wish(operands[0], facts, holds=not holds)
    if part.kind is Kind.CHOICE:
        condition, then, otherwise = operands
        return any_of(
            all_of([wish(condition, facts, holds=first), wish(result, facts, holds=holds)])
            for first, result in ((True, then), (False, otherwise))
        )
    together = all_of if (part.kind is Kind.AND) is holds else any_of
    return together(wish(operand, facts, holds=holds) for operand in operands)


def _atom(part: Part, facts: Facts, *, holds: bool) -> Alternatives:
    if not part.reads or any(_is_unbound(path, facts) for path in part.reads):
        return IMPOSSIBLE  # a constant is what it is, and the route's path binds what it binds
    if part.presence is not None:
        name = value_text(part.presence)
        return only(
            Fact(_kind(part), f"{name} is {'there' if holds else 'absent'}", presence=part.presence if holds else None)
        )
    text = part.text if holds else _negated(part.text)
    return only(Fact(_kind(part), text, _now(part, facts), implies=part.reads if holds else frozenset()))


def _is_unbound(path: CelPath, facts: Facts) -> bool:
    return path[0] == "path" and len(path) > 1 and path[1] not in facts.path_variables


def _negated(text: str) -> str:
    comparison = _COMPARISON.fullmatch(text)
    return f"{comparison[1]} {_NEGATED_SIGNS[comparison[2]]} {comparison[3]}" if comparison else f"!({text})"


def _now(part: Part, facts: Facts) -> str:
    """What its reads come to, each once."""
    values = {}
    for read in part.trace(facts).reads():
        values[read.part.text] = read.result
    return ", ".join(
        result.text if result.outcome is Outcome.ERRORED else f"{text} is {result.text}"
        for text, result in values.items()
    )


def _kind(part: Part) -> str:
    """By the first thing that it reads of the caller, else of the request."""
    kinds = [_KINDS.get(path[0], "request") for path in sorted(part.reads)]
    return next((kind for kind in kinds if kind not in {"request", "path", "time"}), kinds[0])
