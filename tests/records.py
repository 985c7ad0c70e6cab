"""Recorded decisions for tests: made of requests to the small set of `tests.suites`, by its own decisions."""

from __future__ import annotations

from dataclasses import replace

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.record import Record, RecordedCaller, RecordedDecision, Vouched
from extauthz.authoring.replay import Replay
from extauthz.authoring.suite import WrittenRequest
from extauthz.authorizer import build_snapshot
from extauthz.model.access import Claims
from extauthz.model.decision import Effect, Reason
from extauthz.model.policy import PolicySet
from tests.suites import NOW, shop

CLAIMS: Claims = {
    "iss": "https://issuer.example",
    "aud": "shop",
    "sub": "carol",
    "exp": NOW + 60,
    "roles": ["reader"],
    "orders": ["7"],
}
CAROL = Vouched("corp", CLAIMS)
DENIED = RecordedDecision(Effect.DENY, Reason.NO_MATCHING_ALLOW, "order", ())
"""What stands in for a decision until it is replaced."""


def replay(policy_set: PolicySet | None = None) -> Replay:
    """By a set; by default the small one."""
    return Replay(build_snapshot(policy_set or shop(), KeySets(), VerifiedTokens()))


def record(target: str = "/orders/7", caller: RecordedCaller = CAROL, *, method: str = "GET", **fields) -> Record:
    """A record that says what the small set decides; `fields` are the request's, or the record's own."""
    own = {name: fields.pop(name) for name in ("at", "decision", "redacted", "decision_id") if name in fields}
    request = WrittenRequest(method, target, fields.pop("host", "shop.example"), **fields)
    made = Record(NOW, "0123456789abcdef0123", "abc123", request, caller, DENIED)
    return replace(replace(made, decision=replay().decide(made)) if "decision" not in own else made, **own)
