"""Expectations: how they are read from a test file, and how a decision differs from one.

An expectation that no decision can meet is an error of the file, for a test that fails for ever teaches people to look
away from failures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from extauthz.authoring.language import ExpectText, ExpectWritten
from extauthz.authoring.suite import NO_CHALLENGE, Expectation
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.rego.decision import STATUSES
from extauthz.model.decision import ALLOWING, Decision, Effect, PolicyId, Reason
from extauthz.model.policy import PolicySet


class ExpectationReader:
    """Reads the expectations of one test file against the set under test."""

    def __init__(self, policy_set: PolicySet, statuses: Mapping[Reason, int], report: Report) -> None:
        self._statuses = statuses
        self._report = report
        self._routes = frozenset(route.name for route in policy_set.routes)
        rules = {rule.id for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow)}
        self._rules = frozenset(rules | {f"{route.name}.cors" for route in policy_set.routes if route.cors_origins})
        self._owned = frozenset(policy_set.owned_headers)
        self._has_decisions = any(route.decision is not None for route in policy_set.routes)

    def read(self, written: ExpectWritten) -> Expectation | None:
        """The expectation; None after reporting."""
        if isinstance(written, Scalar):
            return self._brief(written)
        if not written.node.entries:
            self._report.error(Code.EMPTY, written.owner, "nothing is expected", "write `effect: allow`, or `deny`")
            return None
        expect = Expectation(
            span=written.node.span,
            effect=Effect(written.effect.text) if written.effect is not None else None,
            status=int(written.status.text, 0) if written.status is not None else None,
            reason=Reason(written.reason.text) if written.reason is not None else None,
            route=self._known(written.route, self._routes, "route") if written.route is not None else None,
            rules=self._rule_ids(written.rules) if written.wrote("rules") else None,
            errors=self._rule_ids(written.errors) if written.wrote("errors") else None,
            upstream=tuple(
                (self._owned_header(entry.key), entry.value.text)
                for entry in written.upstream or ()
                if entry.value is not None
            ),
            absent=tuple(self._owned_header(name) for name in written.absent or ()),
            challenge=written.challenge.text if written.challenge is not None else None,
        )
        self._refuse_contradiction(expect, written)
        return expect

    def _brief(self, written: Scalar) -> Expectation:
        if isinstance(written.value, int):
            return Expectation(written.span, status=written.value)
        if written.text in set(Effect):
            return Expectation(written.span, effect=Effect(written.text))
        return Expectation(written.span, reason=Reason(written.text))

    def _rule_ids(self, written: Sequence[Scalar] | None) -> frozenset[PolicyId]:
        return frozenset(PolicyId(self._known(scalar, self._rules, "rule")) for scalar in written or ())

    def _known(self, scalar: Scalar, known: Iterable[str], what: str) -> str:
        if scalar.text not in known:
            hint = self._report.suggest(scalar.text, known)
            self._report.error(Code.UNKNOWN_IN_TEST, scalar, f"the set has no {what} {quoted(scalar.text)}", hint)
        return scalar.text

    def _owned_header(self, scalar: Scalar) -> str:
        name = scalar.text.lower()
        if name not in self._owned:
            hint = self._report.suggest(name, self._owned)
            self._report.error(Code.UNKNOWN_IN_TEST, scalar, f"the set puts no {quoted(name)} upstream", hint)
        return name

    def _refuse_contradiction(self, expect: Expectation, written: ExpectText) -> None:
        effects: dict[str, Effect] = {}
        if expect.effect is not None:
            effects["effect"] = expect.effect
        if expect.reason is not None:
            effects["reason"] = Effect.ALLOW if expect.reason in ALLOWING else Effect.DENY
        if expect.status is not None:
            effects["status"] = Effect.ALLOW if expect.status == self._statuses[Reason.ALLOWED] else Effect.DENY
        for key in ("upstream", "absent"):
            if written.wrote(key):
                effects[key] = Effect.ALLOW
        if written.wrote("challenge") and expect.challenge != NO_CHALLENGE:
            effects["challenge"] = Effect.DENY
        for key, effect in effects.items():
            first = next(iter(effects))
            if effect is not effects[first]:
                message = f"{quoted(key)} is about a request that is {_PAST[effect]}, {quoted(first)} says otherwise"
                self._report.error(Code.CONTRADICTION, written.place(key), message)
                return
        if self._has_decisions and expect.reason in {None, Reason.DENIED_BY_POLICY} and expect.status in STATUSES:
            return  # a route's own decision may answer so
        if expect.reason is not None and expect.status not in {None, self._statuses[expect.reason]}:
            message = f"the status of {expect.reason} is {self._statuses[expect.reason]}"
            self._report.error(Code.CONTRADICTION, written.place("status"), message)
        elif expect.status is not None and expect.status not in self._statuses.values():
            known = ", ".join(map(str, sorted(set(self._statuses.values()))))
            message = f"no decision has the status {expect.status}"
            self._report.error(Code.CONTRADICTION, written.place("status"), message, f"known here: {known}")


_PAST = {Effect.ALLOW: "allowed", Effect.DENY: "denied"}


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a decision is not as expected."""

    what: str
    expected: str
    decided: str


def differences(expect: Expectation, decision: Decision, status: int) -> tuple[Difference, ...]:
    """All of them; none when the test passes."""
    found: list[Difference] = []

    def compare(what: str, expected: object, decided: object) -> None:
        if expected is not None and expected != decided:
            found.append(Difference(what, _shown(expected), _shown(decided)))

    compare("effect", expect.effect, decision.effect)
    compare("status", expect.status, status)
    compare("reason", expect.reason, decision.reason)
    compare("route", expect.route, decision.route)
    compare("rules", expect.rules, frozenset(decision.policies))
    compare("errors", expect.errors, frozenset(decision.errors))
    sent = dict(decision.upstream.set)
    for name, value in expect.upstream:
        compare(f"upstream {name}", value, sent.get(name))
    found += [Difference(f"upstream {name}", "absent", sent[name]) for name in expect.absent if name in sent]
    if expect.challenge is not None:
        compare("challenge", expect.challenge, decision.challenge or NO_CHALLENGE)
    return tuple(found)


def _shown(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "none"
    return str(value)
