from dataclasses import replace

import pytest

from extauthz.authoring.record import (
    KeyHolder,
    RecordedDecision,
    RefusedCredential,
    UnseenCredential,
    Vouched,
)
from extauthz.authoring.replay import Change, UnseenCredentialError
from extauthz.model.decision import Effect, Reason
from extauthz.model.engine import ENGINE_POLICY
from tests.policies import policy_set
from tests.records import CAROL, CLAIMS, record, replay
from tests.suites import NOW, SHOP

API_KEYS = SHOP.replace(
    "providers:\n",
    "providers:\n  machines: {api_keys: {file: keys.yaml}, may_assert: all}\n",
).replace("    claims: {roles: roles", "    may_assert: all\n    claims: {roles: roles")
API_KEYS = API_KEYS.replace('- {name: owner, when: "', '- {name: owner, provider: corp, when: "').replace(
    "{name: friends, group: friends}", "{name: friends, group: friends, provider: corp}"
)
KEYS = "- {sha256: " + "a" * 64 + ", subject: robot, roles: [clerk]}\n"


def changes(candidate: str, *records):
    """What changes under another set: how, from what reason to what."""
    again = replay(policy_set(candidate))
    for number, each in enumerate(records, start=1):
        again.add(number, each)
    return [(group.change, group.was.reason, group.now and group.now.reason, group.count) for group in again.groups]


def test_the_same_set_decides_as_before():
    """Nothing is said of what did not change."""
    assert changes(SHOP, record(), record("/orders/8"), record("/healthz", None), record("/nowhere")) == []


def test_changes_by_class_the_gravest_first():
    """Then the most frequent, each with its first record."""
    candidate = SHOP.replace("{name: staff, role: clerk}", "{name: staff, role: reader}")
    candidate = candidate.replace("path: /healthz, methods: [GET], public: true", "path: /health, public: true")
    candidate = candidate.replace("name: list,", "name: all,").replace("path: /office", "path: /bureau")
    found = changes(
        candidate,
        record("/healthz", None),
        record("/orders/8"),
        record("/orders/9"),
        record("/orders"),
        record("/orders/7"),
        record("/office", source_address="198.51.100.9"),
    )
    assert found == [
        (Change.WIDENED, Reason.NO_MATCHING_ALLOW, Reason.ALLOWED, 2),
        (Change.NARROWED, Reason.ALLOWED, Reason.CREDENTIAL_MISSING, 1),
        (Change.REASON, Reason.REQUIREMENT_FAILED, Reason.NO_ROUTE, 1),
        (Change.ROUTE, Reason.ALLOWED, Reason.ALLOWED, 1),
        (Change.RULES, Reason.ALLOWED, Reason.ALLOWED, 1),
    ]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"aud": "bakery"}, Reason.AUDIENCE_MISMATCH),
        ({"exp": NOW - 3600}, Reason.TOKEN_EXPIRED),
        ({"nbf": NOW + 3600}, Reason.TOKEN_NOT_YET_VALID),
        ({"iss": "https://elsewhere.example"}, Reason.ISSUER_UNKNOWN),
        ({"roles": 7}, Reason.CLAIM_INVALID),
        ({"sub": None}, Reason.CLAIM_INVALID),
    ],
)
def test_claims_are_checked_by_the_candidates_rules(change, reason):
    """At the time of the record, not today's."""
    caller = Vouched("corp", {**CLAIMS, **change})
    assert record(caller=caller).decision.reason is reason


def test_a_provider_that_the_route_does_not_accept():
    """Its callers are unknown there."""
    other = "  other: {issuer: 'https://o.example', audiences: [o], algorithms: [ES256], may_assert: none, "
    other += "jwks: {uri: 'https://o.example/k'}}\n"
    text = API_KEYS.replace("  machines: {api_keys: {file: keys.yaml}, may_assert: all}\n", other)
    text = text.replace(
        "path: /orders, methods: [GET], allow", "path: /orders, providers: [other], methods: [GET], allow"
    )
    assert changes(text, record("/orders")) == [(Change.NARROWED, Reason.ALLOWED, Reason.ISSUER_UNKNOWN, 1)]


def test_api_keys_are_their_holders():
    """As the candidate's file lists them; who is not there any more is unknown."""
    again = replay(policy_set(API_KEYS, {"keys.yaml": KEYS}))
    robot = record("/orders/8", None, decision=RecordedDecision(Effect.ALLOW, Reason.ALLOWED, "order", ()))
    assert again.decide(replace(robot, caller=KeyHolder("machines", "robot"))).effect is Effect.ALLOW
    assert again.decide(replace(robot, caller=KeyHolder("machines", "gone"))).reason is Reason.API_KEY_UNKNOWN
    assert again.decide(replace(robot, caller=KeyHolder("corp", "robot"))).reason is Reason.API_KEY_UNKNOWN


def test_a_refused_credential_is_refused_again():
    """Where credentials count."""
    refused = RefusedCredential(Reason.SIGNATURE_INVALID)
    assert record(caller=refused).decision.reason is Reason.SIGNATURE_INVALID
    assert record("/healthz", refused).decision.effect is Effect.ALLOW


def test_a_credential_that_nobody_looked_at_leaves_it_open():
    """It is not guessed; where the candidate does not look either, it does not matter."""
    unseen = record("/healthz", UnseenCredential())
    assert unseen.decision.effect is Effect.ALLOW
    private = SHOP.replace("public: true", "allow: [{role: reader}]")
    assert changes(private, unseen) == [(Change.UNKNOWN, Reason.ALLOWED, None, 1)]
    with pytest.raises(UnseenCredentialError):
        replay(policy_set(private)).decide(unseen)


def test_an_engines_say_is_left_out():
    """What it refused the set had allowed, so a set that allows it does not widen anything."""
    said_no = RecordedDecision(Effect.DENY, Reason.DENIED_BY_ENGINE, "order", (ENGINE_POLICY,))
    agreed = RecordedDecision(Effect.ALLOW, Reason.ALLOWED, "order", ("order.allow.owner", ENGINE_POLICY))
    broke = RecordedDecision(Effect.DENY, Reason.EVALUATION_ERROR, "order", (ENGINE_POLICY,), (ENGINE_POLICY,))
    for decision in (said_no, agreed, broke):
        assert changes(SHOP, record(decision=decision)) == []
    assert changes(SHOP, record("/orders/8", decision=said_no)) == [
        (Change.NARROWED, Reason.ALLOWED, Reason.NO_MATCHING_ALLOW, 1)
    ]


def test_what_was_replaced_is_told_but_for_credentials():
    """Those are known by whom they name."""
    again = replay(
        policy_set(SHOP.replace("role: clerk}\n      - {name: owner", "role: reader}\n      - {name: owner"))
    )
    again.add(1, record("/orders/8", CAROL, redacted=("header:authorization", "query")))
    again.add(2, record("/orders/9", CAROL, redacted=("header:cookie",)))
    (group,) = again.groups
    assert group.redacted == {"query", "header:cookie"}
    assert (group.line, group.first.request.target) == (1, "/orders/8")
