"""Rules as instructions."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.machine import metadata, peer
from tests.harness.module import SET, ask, plan_of, said

PARTNER = {
    **SET["providers"]["corp"],
    "issuer": "https://partner.example",
    "may_assert": {"roles": ["reader"]},
}
PARTNER["tokens"] = [{"header": "x-partner"}]
CORP = {**SET["providers"]["corp"], "may_assert": "all"}


def reason(plan: Any, **asked: Any) -> str | None:
    decided = said(ask(plan, **asked))
    return None if decided is None else decided.split(" ")[1]


def one(allow: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    return [{"name": "r", "path": "/", "allow": [allow], **fields}]


@pytest.mark.parametrize(
    ("allow", "claims", "expected"),
    [
        ({"authenticated": True}, {}, "allowed"),
        ({"role": "reader"}, {"roles": ["x", "editor"]}, "allowed"),
        ({"role": "editor"}, {"roles": ["reader"]}, "no_matching_allow"),
        ({"permission": "orders:read"}, {"roles": "editor"}, "allowed"),
        ({"permission": "orders:write"}, {"roles": "editor"}, "no_matching_allow"),
        ({"group": ["a", "b"]}, {"groups": ["b"]}, "allowed"),
        ({"group": "a"}, {"groups": "a b"}, "no_matching_allow"),
        ({"scope": "a.b"}, {"scope": "x a.b"}, "allowed"),
        ({"scope": "a.b"}, {"scope": ["x a.b"]}, "insufficient_scope"),
        ({"scope": "a.b", "group": "a"}, {"groups": "a"}, "insufficient_scope"),
        ({"scope": "a.b", "group": "a"}, {}, "no_matching_allow"),
        ({"subject": ["alice", "bob"]}, {}, "allowed"),
        ({"subject": "Alice"}, {}, "no_matching_allow"),
        ({"provider": "corp"}, {}, "allowed"),
        ({"role": "reader", "when": "claims.x == 1"}, {"roles": "reader"}, "evaluation_error"),
        ({"role": "reader", "when": "claims.x == 1"}, {}, "no_matching_allow"),
    ],
    ids=str,
)
def test_a_rule_holds_when_all_its_keys_do(allow, claims, expected):
    """Of the values of a key one is enough; UNSATISFIED beats an error."""
    assert reason(plan_of(one(allow)), claims=claims) == expected


def test_what_a_provider_may_not_assert_does_not_count():
    """Its other claims do."""
    fields: dict[str, Any] = {
        "providers": {"corp": CORP, "partner": PARTNER},
        "defaults": {"providers": ["corp", "partner"]},
    }
    plan = plan_of([*one({"role": "editor"}), {"name": "s", "path": "/s", "allow": [{"role": "reader"}]}], **fields)
    told = metadata("provider_partner", "partner", sub="p", roles=["editor", "reader"])
    assert reason(plan, path="/", properties=told) == "no_matching_allow"
    assert reason(plan, path="/s", properties=told) == "allowed"


BINDINGS = [
    {"role": "editor", "subjects": [{"group": "staff", "subject": "alice"}, {"subject": "bob"}]},
    {"role": "reader", "provider": "corp", "when": "claims.ok == true"},
]


@pytest.mark.parametrize(
    ("role", "claims", "expected"),
    [
        ("editor", {"groups": ["staff"]}, "allowed"),
        ("editor", {}, "no_matching_allow"),
        ("editor", {"sub": "bob"}, "allowed"),
        ("editor", {"sub": "carol", "groups": ["staff"]}, "no_matching_allow"),
        ("reader", {"ok": True}, "allowed"),
        ("reader", {"ok": False}, "no_matching_allow"),
        ("reader", {}, "evaluation_error"),
        ("reader", {"sub": "bob"}, "allowed"),
    ],
    ids=str,
)
def test_a_role_is_held_by_claim_or_by_binding(role, claims, expected):
    """A binding whose condition errs makes its role an error, unless it is held otherwise."""
    assert reason(plan_of(one({"role": role}), bindings=BINDINGS), claims=claims) == expected


WORKLOAD = "spiffe://cluster.local/ns/batch/sa/runner"


@pytest.mark.parametrize(
    ("allow", "peer", "expected"),
    [
        ({"workload": WORKLOAD}, WORKLOAD, "allowed"),
        ({"workload": "spiffe://cluster.local/ns/batch/**"}, WORKLOAD, "allowed"),
        ({"workload": "spiffe://cluster.local/ns/batch/**"}, "spiffe://cluster.local/ns/batch", "no_matching_allow"),
        ({"role": "reader"}, WORKLOAD, "allowed"),
        ({"role": "reader"}, None, "no_matching_allow"),
    ],
    ids=str,
)
def test_a_workload_counts_where_nobody_is_authenticated(allow, peer, expected):
    """By itself, and for the roles that it is bound to."""
    bindings = [{"role": "reader", "subjects": [{"workload": "spiffe://cluster.local/ns/batch/**"}]}]
    plan = plan_of(one(allow, authentication="none"), bindings=bindings, trust_domains=["cluster.local"])
    properties = {} if peer is None else {"connection.uri_san_peer_certificate": peer.encode()}
    assert reason(plan, properties=properties) == expected


@pytest.mark.parametrize(
    ("source", "proxies", "expected"),
    [
        ("203.0.113.9:1", [], "allowed"),
        ("203.0.114.9:1", [], "no_matching_allow"),
        ("[::1]:1", [], "no_matching_allow"),
        ("10.0.0.1:1", ["10.0.0.0/8"], None),
        ("203.0.113.9:1", ["10.0.0.0/8"], "allowed"),
    ],
)
def test_an_address_is_left_when_it_is_not_known_here(source, proxies, expected):
    """Behind trusted proxies."""
    plan = plan_of(
        one({"remote_ip": ["203.0.113.0/24"]}, authentication="none"),
        **({"trusted_proxies": proxies} if proxies else {}),
    )
    assert reason(plan, properties=peer(source)) == expected


def test_a_role_may_be_asked_for_in_a_condition():
    """Unless a binding's condition may leave a role in doubt: then the whole list errs."""
    rule = {"authenticated": True, "when": "'reader' in principal.roles"}
    assert reason(plan_of(one(rule)), claims={"roles": ["editor"]}) == "allowed"
    assert reason(plan_of(one(rule)), claims={}) == "no_matching_allow"
    assert reason(plan_of(one(rule), bindings=BINDINGS[:1]), claims={"sub": "bob"}) == "allowed"
    assert reason(plan_of(one(rule), bindings=BINDINGS), claims={"roles": ["editor"]}) is None


def test_a_binding_that_is_not_exact_is_named_with_the_rule():
    """Both stay with the authorizer, and say why."""
    bindings = [{"role": "reader", "provider": "corp", "when": "claims.x.matches('a')"}]
    items = {item.kind: item for item in plan_of(one({"role": "reader"}), bindings=bindings).residual}
    assert items.keys() == {"allow", "binding"}
    assert list(items["binding"].reasons) == ["it calls matches"]
    assert all("the binding of reader" in text for text in items["allow"].reasons)
