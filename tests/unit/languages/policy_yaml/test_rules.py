from ipaddress import ip_network

import pytest

from extauthz.model.policy import (
    Anyone,
    Authenticated,
    GroupIs,
    ProviderIs,
    RemoteIpIs,
    RoleIs,
    RuleKind,
    ScopeIs,
    SubjectIs,
    WorkloadIs,
)
from tests.policies import HEAD, ROLES, codes, only_route, warnings


def text(rule: str, more: str = "authentication: optional") -> str:
    return f"{HEAD}trust_domains: [d.example]\n{ROLES}routes:\n  - {{name: a, path: /a, {more}, allow: [{rule}]}}\n"


@pytest.mark.parametrize(
    ("rule", "conditions"),
    [
        ("{anyone: true}", (Anyone(),)),
        ("{authenticated: true}", (Authenticated(),)),
        ("{role: reader}", (RoleIs(frozenset({"reader"})),)),
        ("{role: [reader, admin]}", (RoleIs(frozenset({"reader", "admin"})),)),
        ("{permission: 'orders:read'}", (RoleIs(frozenset({"reader", "admin"}), ("orders:read",)),)),
        ("{permission: [x, y]}", (RoleIs(frozenset({"admin"}), ("x", "y")),)),
        ("{scope: a}", (ScopeIs(("a",)),)),
        ("{group: [a, b]}", (GroupIs(("a", "b")),)),
        ("{subject: a}", (SubjectIs(("a",)),)),
        ("{provider: corp}", (ProviderIs(("corp",)),)),
        ("{workload: 'spiffe://d.example/**'}", (WorkloadIs(("spiffe://d.example/**",)),)),
        ("{remote_ip: 10.0.0.0/8}", (RemoteIpIs((ip_network("10.0.0.0/8"),), direct=False),)),
        ("{direct_remote_ip: ['::1']}", (RemoteIpIs((ip_network("::1"),), direct=True),)),
        ("{scope: a, role: reader}", (ScopeIs(("a",)), RoleIs(frozenset({"reader"})))),
    ],
)
def test_keys_become_conditions(rule, conditions):
    """One for each key, in the order written."""
    (read,) = only_route(text(rule)).allow
    assert read.conditions == conditions
    assert (read.id, read.kind) == ("a.allow.0", RuleKind.ALLOW)


def test_rules_are_called_by_scope_kind_and_name():
    """Or by position, where they have no name."""
    more = "deny: [{name: x, scope: s}], require: [{scope: s}, {name: y, scope: s}], authentication: required"
    route = only_route(text("{scope: s}", more))
    rules = (*route.deny, *route.require, *route.allow)
    assert [rule.id for rule in rules] == ["a.deny.x", "a.require.0", "a.require.y", "a.allow.0"]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        ("{}", "EAZ601"),
        ("{name: x}", "EAZ601"),
        ("{role: ghost}", "EAZ301"),
        ("{role: [reader, ghost]}", "EAZ301"),
        ("{provider: ghost}", "EAZ302"),
        ("{permission: 'orders:*'}", "EAZ408"),
        ("{permission: '*'}", "EAZ408"),
        ("{anyone: false}", "EAZ205"),
        ("{scope: []}", "EAZ204"),
        ("{scope: ''}", "EAZ204"),
        ("{rego: data.a.b}", "EAZ860"),
        ("{when: 'true', rego: data.a.b}", "EAZ860"),
        ("{rego: a.b}", "EAZ206"),
        ("{remote_ip: 10.0.0.1/8}", "EAZ411"),
        ("{workload: 'spiffe://other/a'}", "EAZ410"),
        ("{when: claims.x}", "EAZ801"),
    ],
)
def test_rules_that_say_nothing_or_name_nothing_are_refused(rule, code):
    """None of them is ignored."""
    assert codes(text(rule)) == [code]


def test_a_permission_that_no_role_grants_is_worth_a_look():
    """It may be granted tomorrow; today the rule is never satisfied."""
    narrow = text("{permission: 'orders:write'}").replace('["*"]', '["items:*"]')
    assert warnings(narrow) == ["EAZ903"]
    assert only_route(narrow).allow[0].conditions == (RoleIs(frozenset(), ("orders:write",)),)
