"""A comparison for people and programs: text by lines, Markdown, and what JSON is made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Final, NamedTuple

from extauthz.authoring.describe import on_one_line
from extauthz.authoring.diff import Answer, Assumption, Comparison, Difference
from extauthz.authoring.matrix_report import markdown_text
from extauthz.authoring.truth import OTHER_METHOD
from extauthz.model.decision import Outcome

MAX_OF_ONE_PLACE: Final = 3
"""Differences of one path, methods and direction that people are shown; programs get all."""

_OUTCOMES: Final = {Outcome.SATISFIED: "{}", Outcome.UNSATISFIED: "not {}", Outcome.ERRORED: "{} cannot be evaluated"}
OPAQUE: Final = (
    "only one of the sets has these conditions: each was taken to hold or not, whatever the others do, so a difference "
    "that rests on one may be one that no request shows"
)


class Tone(StrEnum):
    """What a line is about."""

    WIDER = "wider"
    NARROWER = "narrower"
    NOTE = "note"
    PLAIN = "plain"


class Line(NamedTuple):
    """A line of the report."""

    tone: Tone
    text: str


def heading(comparison: Comparison) -> str:
    """Which sets are compared."""
    old, new = comparison.old, comparison.new
    return f"{old.name} {old.revision} -> {new.name} {new.revision}"


def extent(comparison: Comparison) -> str:
    """What was done."""
    return (
        f"compared: {comparison.paths} kinds of paths, {comparison.situations} pairs of routes that are not written "
        f"alike, {comparison.decisions} decisions"
    )


def summary(comparison: Comparison) -> str:
    """In one line."""
    if comparison.is_same:
        return "no difference: both sets decide every request alike"
    if comparison.differences:
        wider = sum(difference.is_widening for difference in comparison.differences)
        narrower = len(comparison.differences) - wider
        return f"{wider} of DENY -> ALLOW, {narrower} of ALLOW -> DENY"
    return "no difference was found, but not everything could be compared"


def lines(comparison: Comparison) -> Iterator[Line]:
    """The report, by lines."""
    for tone, title, widening in (
        (Tone.WIDER, "DENY -> ALLOW", True),
        (Tone.NARROWER, "ALLOW -> DENY", False),
    ):
        found = [difference for difference in comparison.differences if difference.is_widening is widening]
        if found:
            yield Line(tone, title)
            for difference, left_out in shortened(found):
                yield Line(tone, f"  {place(difference)}")
                for label, text in details(difference):
                    yield Line(Tone.PLAIN, f"      {label + ':':<7}{text}")
                if left_out:
                    yield Line(Tone.NOTE, f"      and {left_out} more kinds of requests there (--format json)")
    for title, items in notes(comparison):
        yield Line(Tone.NOTE, title)
        yield from (Line(Tone.PLAIN, f"  {item}") for item in items)


def shortened(differences: Sequence[Difference]) -> Iterator[tuple[Difference, int]]:
    """The first ones of each place, the last of them with how many are left out."""
    for _, group in groupby(differences, key=place):
        found = list(group)
        for number, difference in enumerate(found[:MAX_OF_ONE_PLACE], start=1):
            yield difference, max(0, len(found) - number) if number == MAX_OF_ONE_PLACE else 0


def place(difference: Difference) -> str:
    """`GET, HEAD shop.example/orders/id`, and on how many kinds of paths besides."""
    methods = ", ".join("any other method" if method == OTHER_METHOD else method for method in difference.methods)
    others = difference.places - 1
    more = f" (and {others} more {'kind' if others == 1 else 'kinds'} of paths)" if others else ""
    return f"{methods} {difference.request.host}{difference.request.target}{more}"


def details(difference: Difference) -> Iterator[tuple[str, str]]:
    """Label and text: who asks, with what, where conditions come to what, and what each set says."""
    yield "who", who(difference)
    around = list(_around(difference))
    if around:
        yield "with", "; ".join(around)
    if difference.assumptions:
        yield "where", "; ".join(assumption(each) for each in difference.assumptions)
    yield "old", answer(difference.old)
    yield "new", answer(difference.new)


def who(difference: Difference) -> str:
    """The caller, with no more than it takes."""
    credential = difference.credential
    if credential is None:
        return "anyone, without a credential"
    held = [
        f"{noun if len(values) == 1 else noun + 's'} {', '.join(values)}"
        for noun, values in (("role", credential.roles), ("group", credential.groups), ("scope", credential.scopes))
        if values
    ]
    kind = "an API key" if credential.api_key is not None else "a token"
    return f"{credential.subject} with {kind} of {credential.provider}" + (f": {'; '.join(held)}" if held else "")


def _around(difference: Difference) -> Iterator[str]:
    request = difference.request
    if request.source_address:
        yield f"the connection from {request.source_address}"
    if request.peer_identity:
        yield f"the workload {request.peer_identity}"
    yield from (f"{name}: {value}" for name, value in request.headers)


def assumption(assumed: Assumption) -> str:
    """`not has(claims.suspended)`."""
    text = on_one_line(assumed.text)
    if assumed.outcome is Outcome.UNSATISFIED and any(sign in text for sign in (" ", "?")):
        text = f"({text})"
    return _OUTCOMES[assumed.outcome].format(text)


def answer(said: Answer) -> str:
    """`deny: no_matching_allow, on order`."""
    return f"{said.effect}: {said.why}" + (f", on {said.route}" if said.route is not None else "")


def notes(comparison: Comparison) -> Iterator[tuple[str, list[str]]]:
    """Titles with items: what else differs, which conditions are opaque, what was left out."""
    if comparison.settings:
        items = [s.text + (" (may let more through)" if s.may_widen else "") for s in comparison.settings]
        yield "also different, and not compared request by request", items
    if comparison.unshared:
        sides = {True: "new", False: "old"}
        yield OPAQUE, [f"{sides[each.is_new]}: {on_one_line(each.text)}  {each.span}" for each in comparison.unshared]
    if comparison.limits:
        yield "not complete", list(comparison.limits)


def markdown(comparison: Comparison) -> str:
    """For a comment on a change."""
    text = [f"# Policy difference: {markdown_text(heading(comparison))}", "", f"**{summary(comparison)}**", ""]
    for title, widening in (("DENY -> ALLOW", True), ("ALLOW -> DENY", False)):
        found = [difference for difference in comparison.differences if difference.is_widening is widening]
        text += [f"## {title}", ""] if found else []
        for difference, left_out in shortened(found):
            text.append(f"- **{markdown_text(place(difference))}**")
            text += [f"  - {label}: {markdown_text(value)}" for label, value in details(difference)]
            text += [f"  - and {left_out} more kinds of requests there"] if left_out else []
        text += [""] if found else []
    for title, items in notes(comparison):
        text += [f"{title[0].upper()}{title[1:]}:", "", *(f"- {markdown_text(item)}" for item in items), ""]
    return "\n".join([*text, f"{extent(comparison)}."]) + "\n"


def as_json(comparison: Comparison) -> dict[str, object]:
    """For programs. `request` and `principal` are written as in test files."""
    return {
        "same": comparison.is_same,
        "may_widen": comparison.may_widen,
        "old": {"name": comparison.old.name, "revision": comparison.old.revision},
        "new": {"name": comparison.new.name, "revision": comparison.new.revision},
        "differences": [_difference_json(difference) for difference in comparison.differences],
        "settings": [{"text": setting.text, "may_widen": setting.may_widen} for setting in comparison.settings],
        "opaque": [
            {"text": each.text, "in": "new" if each.is_new else "old", "file": each.span.file, "line": each.span.line}
            for each in comparison.unshared
        ],
        "limits": list(comparison.limits),
        "compared": {
            "paths": comparison.paths,
            "routes": comparison.situations,
            "decisions": comparison.decisions,
        },
    }


def _difference_json(difference: Difference) -> dict[str, object]:
    request, credential = difference.request, difference.credential
    written = {
        "method": request.method,
        "path": request.target,
        "host": request.host,
        "headers": dict(request.headers),
        "source": request.source_address,
        "workload": request.peer_identity,
    }
    caller = (
        None
        if credential is None
        else {
            "provider": credential.provider,
            "subject": credential.subject,
            "roles": list(credential.roles),
            "groups": list(credential.groups),
            "scopes": list(credential.scopes),
        }
    )
    return {
        "from": difference.old.effect,
        "to": difference.new.effect,
        "request": {key: value for key, value in written.items() if value},
        "principal": None if caller is None else {key: value for key, value in caller.items() if value},
        "methods": [None if method == OTHER_METHOD else method for method in difference.methods],
        "paths": difference.places,
        "assuming": [
            {"text": a.text, "outcome": a.outcome, "file": a.span.file, "line": a.span.line}
            for a in difference.assumptions
        ],
        "old": {"why": difference.old.why, "route": difference.old.route},
        "new": {"why": difference.new.why, "route": difference.new.route},
        "alike": difference.alike,
    }
