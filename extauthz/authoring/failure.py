"""A failed test in words: what was expected, what was decided, by which rule at which place, and what was missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from extauthz.authoring.explain import shortfall
from extauthz.authoring.run import CaseResult, Question
from extauthz.authorizer import Snapshot
from extauthz.model.decision import Decision, PolicyId, Reason
from extauthz.model.policy import PolicySet
from extauthz.model.source import Span

_MOST_SAID = 3
"""Of near misses and routes: `policy explain` says more."""


@dataclass(frozen=True, slots=True)
class Line:
    """A label and what it says."""

    label: str
    text: str


def rule_places(policy_set: PolicySet) -> Mapping[PolicyId, Span]:
    """Where each rule stands; a preflight is passed by its route."""
    places = {PolicyId(f"{route.name}.cors"): route.span for route in policy_set.routes}
    for route in policy_set.routes:
        places |= {rule.id: rule.span for rule in (*route.deny, *route.require, *route.allow)}
    return places


class FailureWriter:
    """Describes failures under one set."""

    def __init__(self, snapshot: Snapshot, statuses: Mapping[Reason, int]) -> None:
        self._snapshot = snapshot
        self._statuses = statuses
        self._places = rule_places(snapshot.policy_set)
        self._routes = {route.name: route.span for route in snapshot.policy_set.routes}

    def lines(self, result: CaseResult) -> tuple[Line, ...]:
        """What an author needs to find the mistake, in the test or in the policy."""
        if result.decision is None:
            return (Line("problem", result.problem),)
        return (
            *(Line(each.what, f"expected {each.expected}, decided {each.decided}") for each in result.differences),
            *self._why(result.decision),
            *self._nearest(result.question, result.decision),
        )

    def _why(self, decision: Decision) -> Iterator[Line]:
        status = decision.given_status or self._statuses[decision.reason]
        yield Line("decision", f"{decision.effect} {status} {decision.reason}")
        if decision.route is not None:
            yield Line("route", f"{decision.route}  {self._routes[decision.route]}")
        for rule in decision.policies:
            yield Line("decided by", f"{rule}  {self._places[rule]}")
        for rule in decision.errors:
            yield Line("not evaluated", f"{rule}  {self._places[rule]}")

    def _nearest(self, question: Question, decision: Decision) -> Iterator[Line]:
        lacks = shortfall(question.request, decision, self._snapshot, question.now, question.principal)
        if lacks.refusal:
            yield Line("refused", lacks.refusal)
        for other in lacks.passed_over[:_MOST_SAID]:
            yield Line("not route", f"{other.route.name}: {other.why}  {other.route.span}")
        for miss in lacks.misses[:_MOST_SAID]:
            yield Line("nearest miss", str(miss))
