from __future__ import annotations

from extauthz.mesh.capture import Capture
from extauthz.mesh.rules_dns import append_dns_rules
from extauthz.mesh.ruleset import Ruleset


def rules_for(capture, servers):
    """The DNS rules alone."""
    rules = Ruleset(4)
    append_dns_rules(rules, capture, servers)
    return rules.render().splitlines()


def test_every_server_needs_no_list():
    """Queries to any address are redirected, TCP and UDP."""
    lines = rules_for(Capture(redirects_dns=True, every_dns_server=True), [])
    assert "-A ISTIO_OUTPUT_DNS -p tcp --dport 53 -j REDIRECT --to-ports 15053" in lines
    assert "-A ISTIO_OUTPUT_DNS -p udp --dport 53 -j REDIRECT --to-port 15053" in lines
    assert "-A ISTIO_INBOUND -p udp --sport 53 -j CT --zone 1" in lines


def test_a_family_without_servers_has_no_rules():
    """There is nothing to redirect, and no chain is made in vain."""
    assert rules_for(Capture(redirects_dns=True), []) == []
