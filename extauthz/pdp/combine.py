"""The law."""

from __future__ import annotations

from collections.abc import Iterable

from extauthz.model.decision import Decision, Effect, Outcome, PolicyId, Reason, Verdict


def combine(verdicts: Iterable[Verdict]) -> Decision:
    """Deny overrides; no allow is a deny; an error never widens access."""
    allows: list[PolicyId] = []
    denies: list[PolicyId] = []
    errored: list[PolicyId] = []
    for verdict in verdicts:
        if verdict.outcome is Outcome.UNSATISFIED:
            continue
        if verdict.outcome is Outcome.ERRORED:
            errored.append(verdict.policy)
        if verdict.effect is Effect.DENY:
            denies.append(verdict.policy)  # satisfied or errored
        elif verdict.outcome is Outcome.SATISFIED:
            allows.append(verdict.policy)
    if allows and not denies:
        return Decision(Effect.ALLOW, tuple(allows), tuple(errored), Reason.ALLOWED)
    reason = Reason.DENIED_BY_POLICY if denies else Reason.NO_MATCHING_ALLOW
    return Decision(Effect.DENY, tuple(denies), tuple(errored), reason)
