import pytest

from extauthz.authoring.describe import describe_condition, describe_having, on_one_line
from extauthz.model.access import ANONYMOUS, Principal, RoleHolding
from extauthz.model.policy import RoleIs
from tests.policies import HEAD, ROLES, policy_set
from tests.strategies import Request, make_facts

RULES = """\
trust_domains: [cluster.local]
routes:
  - name: a
    path: /a
    allow:
      - {name: anyone, authenticated: true, role: [reader, admin], permission: "orders:read", scope: [a, b], group: g,
         subject: s, provider: corp, workload: "spiffe://cluster.local/x", remote_ip: [192.0.2.0/24, "2001:db8::/32"],
         direct_remote_ip: 192.0.2.1, when: "request.method == 'GET'\\n  && true"}
  - {name: b, path: /b, authentication: optional, allow: [{anyone: true}]}
"""
TESTED = policy_set(HEAD + ROLES + RULES)
CONDITIONS = [*TESTED.routes[0].allow[0].conditions, *TESTED.routes[1].allow[0].conditions]


def test_conditions_read_as_written():
    """Each is its key and values; any of several would do; text over several lines is one."""
    assert [describe_condition(condition) for condition in CONDITIONS] == [
        "authenticated: true",
        "role: admin | reader",
        "permission: orders:read (of role: admin | reader)",
        "scope: a | b",
        "group: g",
        "subject: s",
        "provider: corp",
        "workload: spiffe://cluster.local/x",
        "remote_ip: 192.0.2.0/24 | 2001:db8::/32",
        "direct_remote_ip: 192.0.2.1/32",
        "when: request.method == 'GET' && true",
        "anyone: true",
    ]
    assert describe_condition(RoleIs(frozenset(), ("none:has",))) == "permission: none:has (of role: none)"


def test_rego_reads_as_written():
    """By the key that it stands under."""
    routes = """\
routes:
  - {name: a, path: /a, allow: [{rego: data.t.allow}]}
  - {name: b, path: /b, decision: {rego: data.t.allow}}
"""
    rego = policy_set(HEAD + routes, {"t.rego": "package t\n\nallow := true\n"})
    conditions = [condition for route in rego.routes for rule in route.allow for condition in rule.conditions]
    assert [describe_condition(condition) for condition in conditions] == [
        "rego: data.t.allow",
        "decision: data.t.allow",
    ]


def test_what_the_request_has_is_said_beside():
    """Where a condition asks, one sees what is there instead."""
    caller = Principal(True, "alice", "corp", scopes=("c",), groups=("h", "i"))
    peer = "spiffe://cluster.local/y"
    request = Request(source_address="198.51.100.7", peer_identity=peer)
    facts = make_facts(request, caller, RoleHolding(frozenset({"reader"}), frozenset({"admin"})))
    assert [describe_having(condition, facts, TESTED) for condition in CONDITIONS] == [
        "the caller is authenticated",
        "the caller holds reader, in doubt are admin",
        "the caller holds reader, in doubt are admin",
        "the token has c",
        "the caller is in h, i",
        "the caller is alice",
        "corp vouches for the caller",
        "the peer is spiffe://cluster.local/y",
        "the address is 198.51.100.7",
        "the address is 198.51.100.7",
        "",
        "",
    ]


@pytest.mark.parametrize("text", ["nobody is authenticated", "the caller is nobody", "nobody vouches for the caller"])
def test_nobody_has_nothing(text):
    """Neither is there an address where the proxy tells none."""
    facts = make_facts(Request(source_address=""), ANONYMOUS)
    said = [describe_having(condition, facts, TESTED) for condition in CONDITIONS]
    assert text in said
    assert said.count("the address is unknown") == 2
    assert "the peer is no workload of a trusted domain" in said


def test_lines_become_one():
    """A block of text is shown as one line."""
    assert on_one_line("a\n   && b\n") == "a && b"
