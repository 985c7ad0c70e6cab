from ipaddress import ip_network

import pytest

from extauthz.authoring import circumstances
from extauthz.authoring.circumstances import Circumstances, circumstances_of, representatives
from extauthz.authoring.credentials import Side
from extauthz.authoring.truth import BoundHitError
from tests.policies import HEAD, policy_set


def side(route: str, more: str = "") -> Side:
    parsed = policy_set(f"{HEAD}trust_domains: [td]\n{more}routes: [{{path: /, {route}}}]\n")
    return Side(parsed, parsed.routes[0])


def test_nothing_asked_nothing_varied():
    """One kind, with no peer."""
    assert circumstances_of([side("allow: [{authenticated: true}]")]) == [Circumstances()]


def test_workloads_of_rules_and_bindings():
    """None, each that is named, and one below each prefix that no other pattern is about."""
    rules = 'authentication: none, allow: [{workload: ["spiffe://td/a", "spiffe://td/**", "spiffe://td/any"]}]'
    names = [c.workload for c in circumstances_of([side(rules)])]
    assert names == ["", "spiffe://td/a", "spiffe://td/any", "spiffe://td/any1"]
    bound = 'roles: {r: {}}\nbindings: [{role: r, subjects: [{workload: "spiffe://td/b"}]}]\n'
    names = [c.workload for c in circumstances_of([side("authentication: none, allow: [{role: r}]", bound)])]
    assert names == ["", "spiffe://td/b"]


def test_addresses_within_and_without():
    """One in each network and in no smaller one, one in none of them; and no address at all."""
    found = circumstances_of([side("allow: [{remote_ip: [192.0.2.0/24, 192.0.2.128/25]}]")])
    assert [c.source for c in found] == ["", "198.51.100.7", "192.0.2.1", "192.0.2.129"]


def test_proxies_matter_where_sets_differ_or_the_peer_is_asked_for():
    """What a trusted peer forwards is then another address."""
    proxies = "trusted_proxies: [10.0.0.0/8]\n"
    rule = "allow: [{remote_ip: 192.0.2.0/24}]"
    assert not any(c.forwarded_for for c in circumstances_of([side(rule, proxies), side(rule, proxies)]))
    found = circumstances_of([side(rule, proxies), side(rule)])
    assert Circumstances("", "10.0.0.1", "192.0.2.1") in found
    assert Circumstances("", "10.0.0.1", "192.0.2.1, 10.0.0.1") in found
    found = circumstances_of([side("allow: [{remote_ip: 192.0.2.0/24, direct_remote_ip: 10.0.0.0/8}]", proxies)])
    assert Circumstances("", "10.0.0.1", "192.0.2.1") in found


def test_representatives_tell_networks_apart():
    """Both versions; a network that smaller ones cover has no address of its own."""
    networks = [ip_network(n) for n in ("0.0.0.0/1", "128.0.0.0/1", "2001:db8::/32")]
    assert representatives(networks) == ["198.51.100.7", "2001:db8::7", "0.0.0.1", "8000::1"]
    halves = [ip_network(n) for n in ("192.0.2.0/24", "192.0.2.0/25", "192.0.2.128/25")]
    assert representatives(halves) == ["198.51.100.7", "192.0.2.1", "192.0.2.129"]


def test_kinds_are_bounded(monkeypatch):
    """As everything is."""
    monkeypatch.setattr(circumstances, "MAX_KINDS", 2)
    with pytest.raises(BoundHitError):
        circumstances_of([side("allow: [{remote_ip: [192.0.2.0/24, 192.0.2.128/25]}]")])
