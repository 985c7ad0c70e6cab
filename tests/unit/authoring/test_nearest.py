import pytest

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.explain import explain
from extauthz.authoring.suite import WrittenRequest
from extauthz.authorizer import Snapshot, authorize, authorize_as, build_snapshot
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Decision, Effect
from tests.policies import HEAD, policy_set
from tests.suites import NOW, shop

SET = (
    HEAD
    + """\
    claims: {roles: roles}
trust_domains: [cluster.local]
roles:
  reader: {permissions: ["orders:read"]}
  clerk: {inherits: [reader], permissions: ["orders:write"]}
  auditor: {permissions: ["orders:read"]}
  blocked: {}
bindings:
  - {role: auditor, subjects: [{group: audit}, {subject: eve}, {workload: "spiffe://cluster.local/audit"}]}
  - {role: clerk, subjects: [{provider: corp}], when: "has(claims.store) && claims.store == path.store"}
deny:
  - {name: blocked, role: blocked}
  - {name: team, group: red}
routes:
  - {name: read, path: /read, allow: [{permission: "orders:read"}]}
  - {name: role, path: /role, allow: [{role: [clerk, reader]}]}
  - {name: stock, path: "/stores/{store}", allow: [{role: clerk}]}
  - {name: who, path: /who, allow: [{subject: [ann, bob]}, {name: one, group: [g, h], scope: [s, t]}]}
  - {name: net, path: /net, authentication: optional, allow: [{anyone: true}], require: [{remote_ip: [192.0.2.0/24]}]}
  - name: opt
    path: /opt
    authentication: optional
    allow: [{scope: s}, {name: hook, when: "'x-key' in request.headers"}]
  - name: batch
    path: /batch
    authentication: none
    allow: [{workload: "spiffe://cluster.local/a"}, {name: r, role: auditor}]
  - {name: same, path: /same, deny: [{name: s, scope: s}], allow: [{scope: s}]}
"""
)


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return build_snapshot(policy_set(SET), KeySets(), VerifiedTokens())


def misses(snapshot: Snapshot, path: str, caller: Principal = ANONYMOUS) -> list[str]:
    request = WrittenRequest("GET", path, "h", source_address="198.51.100.7")
    decision = authorize_as(request, snapshot, NOW, caller)
    assert decision.effect is Effect.DENY
    return [str(miss) for miss in explain(request, decision, snapshot, NOW, caller).misses]


def user(**fields) -> Principal:
    return (
        Principal(True, "max", "policy", **fields) if "provider" in fields else Principal(True, "max", "corp", **fields)
    )


def test_permission_names_the_least_roles(snapshot):
    """Of roles that inherit from each other the one that brings the least; and who is bound to one of them."""
    assert misses(snapshot, "/read", user()) == [
        "permission orders:read (role auditor or reader)  -> read.allow.0",
        "group audit  -> read.allow.0",
        "subject eve (it is max)  -> read.allow.0",
    ]


def test_role_may_come_with_the_credential_or_by_a_binding(snapshot):
    """A binding with a condition: what the condition wants."""
    assert misses(snapshot, "/role", user()) == ["role reader  -> role.allow.0"]
    assert misses(snapshot, "/stores/berlin", user(claims={"store": "paris"})) == [
        "role clerk  -> stock.allow.0",
        'claims.store == path.store (claims.store is "paris", path.store is "berlin")  -> stock.allow.0',
    ]


def test_smallest_sets_come_first(snapshot):
    """One fact before two, and each alternative of its own."""
    assert misses(snapshot, "/who", user(scopes=("s",))) == [
        "subject ann (it is max)  -> who.allow.0",
        "subject bob (it is max)  -> who.allow.0",
        "group g  -> who.allow.one",
        "group h  -> who.allow.one",
    ]
    assert misses(snapshot, "/who", user())[2:] == [
        "group g and scope s  -> who.allow.one",
        "group g and scope t  -> who.allow.one",
        "group h and scope s  -> who.allow.one",
    ]


def test_denies_have_to_go_and_requirements_to_be_met(snapshot):
    """Every deny that holds, and every requirement that does not, is part of each miss."""
    assert misses(snapshot, "/read", user(roles=("reader", "blocked"), groups=("red",))) == [
        "not group red and not role blocked  -> read.allow.0"
    ]
    assert misses(snapshot, "/net") == ["remote_ip 192.0.2.0/24  -> net.allow.0"]


def test_nobody_needs_a_credential_for_what_only_callers_have(snapshot):
    """On an optional route, some facts need no caller."""
    assert misses(snapshot, "/opt") == [
        "request.headers['x-key'] is there  -> opt.allow.hook",
        "a credential of corp (none is presented) and scope s  -> opt.allow.0",
    ]
    assert misses(snapshot, "/role") == ["a credential of corp (none is presented) and role reader  -> role.allow.0"]


def test_refused_credential_may_be_left_out(snapshot):
    """Where authentication is optional, none is better than a bad one."""
    headers = (("authorization", "Bearer x"),)
    request = WrittenRequest("GET", "/net", "h", headers, source_address="192.0.2.7")
    decision = authorize(request, snapshot, NOW)
    assert isinstance(decision, Decision)
    (miss,) = explain(request, decision, snapshot, NOW).misses
    assert str(miss) == ("no credential (the one presented is refused: not a JWS in compact form)  -> net.allow.0")


def test_workloads_where_no_credential_is_looked_at(snapshot):
    """A role comes only by a binding to a workload there."""
    assert misses(snapshot, "/batch") == [
        "workload spiffe://cluster.local/a  -> batch.allow.0",
        "workload spiffe://cluster.local/audit  -> batch.allow.r",
    ]


def test_what_does_not_help_is_not_said(snapshot):
    """A scope that allows and denies at once is tried, and dropped."""
    assert misses(snapshot, "/same", user()) == []


def test_misses_about_the_caller_are_tried():
    """Each of them, made so, is allowed by the authorizer."""
    tested = build_snapshot(shop(), KeySets(), VerifiedTokens())
    request = WrittenRequest("GET", "/orders", "shop.example")
    caller = Principal(True, "max", "corp")
    decision = authorize_as(request, tested, NOW, caller)
    (miss,) = explain(request, decision, tested, NOW, caller).misses
    assert miss.tried
    assert [(fact.kind, fact.text) for fact in miss.facts] == [("permission", "permission orders:read (role reader)")]
