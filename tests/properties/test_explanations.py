"""An explanation never says anything else than the decision: on every decision case, step by step."""

from __future__ import annotations

import time

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.explain import Explanation, Shortfall, explain, shortfall
from extauthz.authorizer import Snapshot, authorize, build_snapshot
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.model.decision import Decision, Effect, Outcome, Reason
from extauthz.model.policy import RuleKind

NOW = time.time()  # noqa: TID251 - the corpus' tokens are minted now
AFTER_RULES = {
    *(Reason.ALLOWED, Reason.DENIED_BY_POLICY, Reason.REQUIREMENT_FAILED, Reason.EVALUATION_ERROR),
    *(Reason.NO_MATCHING_ALLOW, Reason.INSUFFICIENT_SCOPE, Reason.UPSTREAM_HEADER_INVALID, Reason.DEADLINE_EXCEEDED),
}


def test_explanations_agree_with_decisions(corpus):
    """Route, caller, rules, errors and effect follow from what is explained, for every case of every set."""
    explained = 0
    for asked in corpus:
        snapshot = build_snapshot(asked.policy_set, KeySets(), VerifiedTokens())
        for message in asked.messages:
            request = read_check_request(message.SerializeToString())
            decision = authorize(request, snapshot, NOW)
            assert isinstance(decision, Decision)
            explanation = explain(request, decision, snapshot, NOW)
            _check(explanation, decision)
            _check_misses(explanation, request, snapshot)
            lacks = shortfall(request, decision, snapshot, NOW)
            nobody_owns = () if explanation.route is not None else explanation.passed_over
            assert lacks == Shortfall(explanation.refusal, nobody_owns, explanation.misses)
            explained += 1
    assert explained > 300


def _check(explanation: Explanation, decision: Decision) -> None:
    assert explanation.decision is decision
    assert (explanation.path is None) is (decision.reason is Reason.PATH_AMBIGUOUS)
    assert (explanation.route.name if explanation.route else None) == decision.route
    if decision.reason in AFTER_RULES:
        assert explanation.rules
        _check_rules(explanation, decision)
    elif decision.reason is not Reason.CREDENTIAL_MISSING:
        assert not explanation.rules
    if explanation.caller is not None:
        assert (explanation.caller.provider, explanation.caller.subject) == (decision.provider, decision.subject)
    assert explanation.law
    assert not (explanation.misses and decision.effect is Effect.ALLOW)


def _check_rules(explanation: Explanation, decision: Decision) -> None:
    allowing, denying, errors = [], [], []
    for finding in explanation.rules:
        rule, outcome = finding.rule, finding.outcome
        errors += [rule.id] if outcome is Outcome.ERRORED else []
        harmless = Outcome.SATISFIED if rule.kind is RuleKind.REQUIRE else Outcome.UNSATISFIED
        if rule.kind is RuleKind.ALLOW:
            allowing += [rule.id] if outcome is Outcome.SATISFIED else []
        else:
            denying += [] if outcome is harmless else [rule.id]
        _check_conditions(finding)
    if decision.reason is not Reason.UPSTREAM_HEADER_INVALID:
        assert (decision.effect is Effect.ALLOW) is (bool(allowing) and not denying)
        if decision.reason is Reason.DENIED_BY_POLICY and not denying:  # then the route's own decision said no
            assert explanation.route is not None
            assert explanation.route.decision is not None
            denying = [explanation.route.allow[0].id]
        assert list(decision.policies) == (allowing if decision.effect is Effect.ALLOW else denying)
        assert list(decision.errors) == errors


def _check_conditions(finding) -> None:
    """The rule's outcome follows from its conditions', and a condition's from its parts."""
    outcomes = [condition.outcome for condition in finding.conditions]
    order = (Outcome.UNSATISFIED, Outcome.ERRORED, Outcome.SATISFIED)
    assert finding.outcome is next(outcome for outcome in order if outcome in outcomes)
    for condition in finding.conditions:
        if condition.parts is not None:
            assert condition.parts.result.outcome is condition.outcome, condition.text


def _check_misses(explanation: Explanation, request: CheckedRequest, snapshot: Snapshot) -> None:
    """Every denial by rules or for want of a credential says what would have allowed, unless nothing could."""
    for miss in explanation.misses:
        assert miss.facts, "something is needed, or the request would have been allowed"
        assert explanation.route is not None
        assert miss.rule in {rule.id for rule in explanation.route.allow}
