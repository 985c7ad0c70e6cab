"""Accepted changes: which requests may be allowed from now on, as an author wrote it down for `replay --accept`."""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.authoring.replay import Group
from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import NAME, TEXT
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.records import Key, Record, RecordOf
from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.policy_yaml.shapes import Choice, ListOf, OneOrMany, Reading, texts
from extauthz.model.decision import ALLOWING, Reason
from extauthz.model.source import Span

_DENIALS = tuple(reason for reason in Reason if reason not in ALLOWING)


class AcceptedText(Record):
    """Denials that become allows; all that is written must fit."""

    route = Key(NAME, "The route that allows.", required=True)
    was = Key(
        OneOrMany(Choice(_DENIALS, called="the reason of a denial")), "The reasons of the denials.", required=True
    )
    rules = Key(OneOrMany(TEXT), "Exactly the rules that allow; by default any of the route.")


ACCEPTED = ListOf(RecordOf(lambda: AcceptedText))


@dataclass(frozen=True, slots=True)
class Accepted:
    """One entry."""

    span: Span
    route: str
    was: frozenset[str]
    rules: frozenset[str] | None

    def fits(self, group: Group) -> bool:
        """Whether the change is meant."""
        now = group.now
        if now is None or now.route != self.route or group.was.reason not in self.was:
            return False
        return self.rules is None or self.rules == frozenset(now.policies)


def read_accepted(path: str, content: bytes) -> tuple[Accepted, ...]:
    """The entries of a file.

    Raises:
        PolicyError: with everything that is wrong with it.
    """
    report = Report()
    root = read_document(path, content, report)
    entries = ACCEPTED.read(root, Reading(report, {})) if root is not None else None
    if report.has_errors or entries is None:
        raise PolicyError(report.diagnostics([] if root is None else [root]))
    known: dict[str, Accepted] = {}
    for entry in entries:
        assert entry.route is not None  # noqa: S101 - required
        rules = frozenset(texts(entry.rules)) if entry.rules is not None else None
        accepted = Accepted(entry.node.span, entry.route.text, frozenset(texts(entry.was)), rules)
        other = known.setdefault(repr((accepted.route, sorted(accepted.was), rules)), accepted)
        if other is not accepted:
            report.error(Code.DUPLICATE_NAME, entry.node, f"the same is accepted in line {other.span.line}")
    if report.has_errors:
        raise PolicyError(report.diagnostics([] if root is None else [root]))
    return tuple(known.values())
