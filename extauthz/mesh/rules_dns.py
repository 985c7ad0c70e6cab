"""Queries to name servers, redirected to the proxy's own.

A query of the application and the same query sent on by the proxy are one UDP tuple to the connection tracker. The
`raw` table keeps them apart: zone 1 holds what passes between the proxy and the name server, zone 2 what passes
between the application and the proxy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extauthz.mesh.capture import Capture
from extauthz.mesh.ruleset import OUTPUT, PREROUTING, Ruleset

DNS_PORT: Final = 15053
"""Where the proxy answers queries, on loopback."""

_CHAIN: Final = "ISTIO_OUTPUT_DNS"


def append_dns_rules(rules: Ruleset, capture: Capture, servers: Sequence[str]) -> None:
    """Redirect queries to these servers (as ranges of one address), or to any."""
    destinations = [""] if capture.every_dns_server else [f"-d {server} " for server in servers]
    if not destinations:
        return
    rules.append("nat", "ISTIO_OUTPUT", f"-j {_CHAIN}")
    for destination in destinations:
        rules.append("nat", _CHAIN, f"-p tcp --dport 53 {destination}-j REDIRECT --to-ports {DNS_PORT}")
    for destination in destinations:
        rules.append("nat", _CHAIN, f"-p udp --dport 53 {destination}-j REDIRECT --to-port {DNS_PORT}")
    _append_zones(rules, capture, destinations)


def _append_zones(rules: Ruleset, capture: Capture, destinations: Sequence[str]) -> None:
    rules.append("raw", OUTPUT, f"-j {_CHAIN}")
    owners = [f"--uid-owner {uid}" for uid in capture.uids] + [f"--gid-owner {gid}" for gid in capture.gids]
    for owner in owners:
        rules.append("raw", _CHAIN, f"-p udp --dport 53 -m owner {owner} -j CT --zone 1")
        rules.append("raw", _CHAIN, f"-p udp --sport {DNS_PORT} -m owner {owner} -j CT --zone 2")
    rules.append("raw", PREROUTING, "-j ISTIO_INBOUND")
    for destination in destinations:
        rules.append("raw", _CHAIN, f"-p udp --dport 53 {destination}-j CT --zone 2")
        rules.append("raw", "ISTIO_INBOUND", f"-p udp --sport 53 {destination.replace('-d', '-s')}-j CT --zone 1")
