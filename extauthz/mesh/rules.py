"""The rule set of a capture, rule for rule that of istio-iptables.

What the rules need to know of each other, in the order of ISTIO_OUTPUT:

- Ports left out by `-o` return first: the rules on calls to oneself would catch them.
- From 127.0.0.6 (::6), on lo: the proxy's inbound side calls the application, the last hop. Captured, it would loop.
- The proxy, on lo, to an address other than loopback: its outbound side chose this very pod (an application that calls
  its own service). It passes through the inbound side, so that policy applies.
- Anybody else on lo: the application calls itself, and is left alone, unless a captured range holds loopback.
- Everything else of the proxy's leaves uncaptured. Without this rule its connections would come back to it, endlessly.

ISTIO_REDIRECT and ISTIO_IN_REDIRECT match TCP alone: UDP that falls into them is untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from typing import Final, TypeAlias

from extauthz.mesh.capture import Capture, Mode
from extauthz.mesh.rules_dns import append_dns_rules
from extauthz.mesh.rules_tproxy import append_tproxy_inbound, append_tproxy_marks
from extauthz.mesh.ruleset import OUTPUT, PREROUTING, Ruleset

Address: TypeAlias = IPv4Address | IPv6Address

HBONE_PORT: Final = 15008
"""Tunnels between proxies: they carry identities of their own, and are never redirected."""
LOOPBACK: Final = {4: "127.0.0.1/32", 6: "::1/128"}
INBOUND_SOURCE: Final = {4: "127.0.0.6/32", 6: "::6/128"}
"""What the proxy's inbound side binds when it calls the application."""


def build_rules(capture: Capture, version: int, name_servers: Sequence[Address] = ()) -> Ruleset:
    """The rules for one address family.

    Args:
        capture: what to capture.
        version: 4 or 6.
        name_servers: of both families; used if queries to them are redirected.
    """
    rules = Ruleset(version)
    servers = [f"{each}/{each.max_prefixlen}" for each in name_servers if each.version == version]
    _exclude_interfaces(rules, capture)
    for interface in capture.virtual_interfaces:
        rules.insert("nat", PREROUTING, 1, f"-i {interface} -j RETURN")
    rules.append("nat", "ISTIO_INBOUND", f"-p tcp --dport {HBONE_PORT} -j RETURN")
    rules.append("nat", "ISTIO_REDIRECT", f"-p tcp -j REDIRECT --to-ports {capture.outbound_port}")
    rules.append("nat", "ISTIO_IN_REDIRECT", f"-p tcp -j REDIRECT --to-ports {capture.inbound_port}")
    _append_inbound(rules, capture)
    _append_outbound(rules, capture, servers)
    if capture.mode is Mode.TPROXY:
        append_tproxy_marks(rules, capture, loopback=LOOPBACK[version], inbound_source=INBOUND_SOURCE[version])
    return rules


def _exclude_interfaces(rules: Ruleset, capture: Capture) -> None:
    for table in ("nat", "mangle") if capture.mode is Mode.TPROXY else ("nat",):
        for interface in capture.excluded_interfaces:
            rules.append(table, PREROUTING, f"-i {interface} -j RETURN")
            rules.append(table, OUTPUT, f"-o {interface} -j RETURN")


def _append_inbound(rules: Ruleset, capture: Capture) -> None:
    if not capture.inbound_ports:
        return
    if capture.mode is Mode.TPROXY:
        append_tproxy_inbound(rules, capture, loopback=LOOPBACK[rules.version])
        return
    rules.append("nat", PREROUTING, "-p tcp -j ISTIO_INBOUND")
    if capture.inbound_ports.everything:
        for port in capture.inbound_ports_except.numbers:
            rules.append("nat", "ISTIO_INBOUND", f"-p tcp --dport {port} -j RETURN")
        rules.append("nat", "ISTIO_INBOUND", "-p tcp -j ISTIO_IN_REDIRECT")
    for port in capture.inbound_ports.numbers:
        rules.append("nat", "ISTIO_INBOUND", f"-p tcp --dport {port} -j ISTIO_IN_REDIRECT")


def _append_outbound(rules: Ruleset, capture: Capture, servers: Sequence[str]) -> None:
    # No protocol: DNS over UDP passes here, too.
    rules.append("nat", OUTPUT, "-j ISTIO_OUTPUT")
    for port in capture.outbound_ports_except.numbers:
        rules.append("nat", "ISTIO_OUTPUT", f"-p tcp --dport {port} -j RETURN")
        rules.append("nat", "ISTIO_OUTPUT", f"-p udp --dport {port} -j RETURN")
    rules.append("nat", "ISTIO_OUTPUT", f"-o lo -s {INBOUND_SOURCE[rules.version]} -j RETURN")
    # A proxy that asks a name server on this machine over TCP does not go through its own inbound side.
    not_tunnel = f"! --dport {HBONE_PORT}"
    not_tunnel_or_dns = f"-m multiport ! --dports 53,{HBONE_PORT}" if capture.redirects_dns else not_tunnel
    for uid in capture.uids:
        _append_owner(rules, capture, f"--uid-owner {uid}", not_tunnel_or_dns)
    for gid in capture.gids:
        _append_owner(rules, capture, f"--gid-owner {gid}", not_tunnel)
    if capture.redirects_dns:
        append_dns_rules(rules, capture, servers)
    rules.append("nat", "ISTIO_OUTPUT", f"-d {LOOPBACK[rules.version]} -j RETURN")
    for network in capture.outbound_except.of(rules.version):
        rules.append("nat", "ISTIO_OUTPUT", f"-d {network} -j RETURN")
    for port in capture.outbound_ports.numbers:
        rules.append("nat", "ISTIO_OUTPUT", f"-p tcp --dport {port} -j ISTIO_REDIRECT")
    _append_destinations(rules, capture)


def _append_owner(rules: Ruleset, capture: Capture, owner: str, ports: str) -> None:
    rules.append(
        "nat",
        "ISTIO_OUTPUT",
        f"-o lo ! -d {LOOPBACK[rules.version]} -p tcp {ports} -m owner {owner} -j ISTIO_IN_REDIRECT",
    )
    if not capture.outbound.has_loopback:
        # With DNS, queries to a name server on loopback must get as far as the rules on it; UDP ones, too.
        others = "-o lo -p tcp ! --dport 53" if capture.redirects_dns else "-o lo"
        rules.append("nat", "ISTIO_OUTPUT", f"{others} -m owner ! {owner} -j RETURN")
    rules.append("nat", "ISTIO_OUTPUT", f"-m owner {owner} -j RETURN")


def _append_destinations(rules: Ruleset, capture: Capture) -> None:
    if capture.outbound.everything:
        destinations = [""]
    else:
        destinations = [f"-d {network} " for network in capture.outbound.of(rules.version)]
    for destination in destinations:
        for interface in capture.virtual_interfaces:
            rules.insert("nat", PREROUTING, 1, f"-i {interface} {destination}-j ISTIO_REDIRECT")
        rules.append("nat", "ISTIO_OUTPUT", f"{destination}-j ISTIO_REDIRECT")
