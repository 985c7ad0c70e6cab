import itertools

import pytest

from extauthz.model.decision import Effect, Outcome, PolicyId, Reason, Verdict
from extauthz.pdp.combine import combine

KINDS = list(itertools.product(Effect, Outcome))


def sets_up_to(size):
    for n in range(size + 1):
        for kinds in itertools.product(KINDS, repeat=n):
            yield [Verdict(PolicyId(str(i)), effect, outcome) for i, (effect, outcome) in enumerate(kinds)]


def test_an_error_never_turns_a_deny_into_an_allow():
    """Over every set of up to three rules, making any outcome an error never widens access."""
    changed = 0
    for verdicts in sets_up_to(3):
        before = combine(verdicts)
        for i, verdict in enumerate(verdicts):
            if verdict.outcome is Outcome.ERRORED:
                continue
            errored = [*verdicts[:i], Verdict(verdict.policy, verdict.effect, Outcome.ERRORED), *verdicts[i + 1 :]]
            changed += 1
            if before.effect is Effect.DENY:
                assert combine(errored).effect is Effect.DENY, verdicts
    assert changed > 400


def test_it_allows_exactly_if_some_rule_allows_and_none_denies():
    """The law against its plainest statement, over every set of up to three rules."""
    for verdicts in sets_up_to(3):
        allowed = any(v.effect is Effect.ALLOW and v.outcome is Outcome.SATISFIED for v in verdicts)
        denied = any(v.effect is Effect.DENY and v.outcome is not Outcome.UNSATISFIED for v in verdicts)
        assert (combine(verdicts).effect is Effect.ALLOW) == (allowed and not denied), verdicts


@pytest.mark.parametrize(
    ("verdicts", "policies", "errors", "reason"),
    [
        ([], [], [], Reason.NO_MATCHING_ALLOW),
        ([("a", Effect.ALLOW, Outcome.SATISFIED)], ["a"], [], Reason.ALLOWED),
        (
            [("a", Effect.ALLOW, Outcome.SATISFIED), ("b", Effect.ALLOW, Outcome.ERRORED)],
            ["a"],
            ["b"],
            Reason.ALLOWED,
        ),
        (
            [("a", Effect.ALLOW, Outcome.SATISFIED), ("d", Effect.DENY, Outcome.ERRORED)],
            ["d"],
            ["d"],
            Reason.DENIED_BY_POLICY,
        ),
        ([("a", Effect.ALLOW, Outcome.ERRORED)], [], ["a"], Reason.NO_MATCHING_ALLOW),
    ],
)
def test_it_names_what_determined_the_effect(verdicts, policies, errors, reason):
    """Allows of an allow, denies of a deny, and whatever could not be evaluated."""
    decision = combine(Verdict(PolicyId(name), effect, outcome) for name, effect, outcome in verdicts)
    assert (list(decision.policies), list(decision.errors), decision.reason) == (policies, errors, reason)
