"""What came of a replay, for people and programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from extauthz.authoring.accepted import Accepted
from extauthz.authoring.record import KeyHolder, Record, RecordedDecision, RefusedCredential, UnseenCredential, Vouched
from extauthz.authoring.replay import Change, Group
from extauthz.model.decision import Effect

TITLES: Final = {
    Change.WIDENED: "DENY -> ALLOW",
    Change.NARROWED: "ALLOW -> DENY",
    Change.REASON: "for another reason",
    Change.ROUTE: "on another route",
    Change.RULES: "by other rules",
    Change.UNKNOWN: "cannot be told: the set looks at a credential that nobody looked at when the request was recorded",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """A replay with what is accepted of it."""

    records: int
    groups: Sequence[Group]
    accepted: Sequence[Accepted]

    def is_accepted(self, group: Group) -> bool:
        """Whether the change is one that was written down."""
        return any(entry.fits(group) for entry in self.accepted)

    @property
    def may_widen(self) -> bool:
        """Whether something is allowed that was denied and that nobody accepted, or that cannot be excluded."""
        return any(
            not self.is_accepted(group)
            for group in self.groups
            if group.change is Change.WIDENED or (group.change is Change.UNKNOWN and group.was.effect is Effect.DENY)
        )

    @property
    def unused(self) -> Sequence[Accepted]:
        """The entries that nothing fits."""
        widened = [group for group in self.groups if group.change is Change.WIDENED]
        return [entry for entry in self.accepted if not any(entry.fits(group) for group in widened)]


def lines(outcome: Outcome, path: str) -> Iterator[tuple[Change | None, str]]:
    """The report by lines, each with the change that it is the title of."""
    for change, groups in groupby(outcome.groups, key=lambda group: group.change):
        yield change, TITLES[change]
        for group in groups:
            note = " (accepted)" if change is Change.WIDENED and outcome.is_accepted(group) else ""
            yield None, f"  {_times(group.count)}{note}, first at {path}:{group.line}"
            yield None, f"      request: {request_of(group.first)}"
            yield None, f"      who:     {caller_of(group.first)}"
            yield None, f"      was:     {said(group.was)}"
            if group.now is not None:
                yield None, f"      now:     {said(group.now)}"
            if group.redacted:
                yield None, f"      replaced in the records: {', '.join(sorted(group.redacted))}"


def summary(outcome: Outcome) -> str:
    """In one line."""
    counts = {change: sum(g.count for g in outcome.groups if g.change is change) for change in Change}
    words = {Change.UNKNOWN: "unknown"}
    parts = [f"{count} {words.get(change, TITLES[change])}" for change, count in counts.items() if count]
    changed = sum(counts.values())
    return f"{outcome.records} {'record' if outcome.records == 1 else 'records'}: " + (
        ", ".join(parts) if changed else "every one is decided as it was"
    )


def request_of(record: Record) -> str:
    """`GET http://shop.example/orders/7`."""
    request = record.request
    return f"{request.method} {request.scheme or 'http'}://{request.host}{request.target}"


def caller_of(record: Record) -> str:
    """Who sent it, as far as it is known."""
    match record.caller:
        case None:
            return "nobody authenticated"
        case Vouched(provider, claims):
            return f"{claims.get('sub', 'somebody')} (provider {provider})"
        case KeyHolder(provider, subject):
            return f"{subject} (provider {provider})"
        case RefusedCredential(reason):
            return f"a credential that was refused: {reason}"
        case UnseenCredential():
            return "a credential that nobody looked at"


def said(decision: RecordedDecision) -> str:
    """`deny no_matching_allow on route order`."""
    text = f"{decision.effect} {decision.reason}"
    if decision.route is not None:
        text += f" on route {decision.route}"
    if decision.policies:
        text += f" by {', '.join(decision.policies)}"
    return text + (f"; failed: {', '.join(decision.errors)}" if decision.errors else "")


def as_json(outcome: Outcome, path: str) -> dict[str, object]:
    """For programs."""
    return {
        "file": path,
        "records": outcome.records,
        "ok": not outcome.may_widen,
        "changes": [
            {
                "change": str(group.change),
                "accepted": group.change is Change.WIDENED and outcome.is_accepted(group),
                "count": group.count,
                "line": group.line,
                "decision_id": group.first.decision_id,
                "request": request_of(group.first),
                "caller": caller_of(group.first),
                "was": _decision(group.was),
                "now": None if group.now is None else _decision(group.now),
                "redacted": sorted(group.redacted),
            }
            for group in outcome.groups
        ],
        "unused": [{"file": e.span.file, "line": e.span.line, "route": e.route} for e in outcome.unused],
    }


def _decision(decision: RecordedDecision) -> dict[str, object]:
    return {
        "effect": str(decision.effect),
        "reason": str(decision.reason),
        "route": decision.route,
        "policies": list(decision.policies),
        "errors": list(decision.errors),
    }


def _times(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"
