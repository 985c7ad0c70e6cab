"""TPROXY: inbound connections reach the proxy as they are, and the application sees the client's address.

The proxy calls the application from the client's address, with a packet mark of its own (Envoy's `original_src`
listener filter). The mark is saved with the connection, so that the answers to a spoofed address are routed back to
the proxy: marked packets have a routing table of their own, in which everything is local.
"""

from __future__ import annotations

from typing import Final

from extauthz.mesh.capture import Capture
from extauthz.mesh.ruleset import OUTPUT, PREROUTING, Ruleset

INBOUND_MARK: Final = 1337
"""On packets that are routed to the proxy, and on those that it sends from a client's address."""
OUTBOUND_MARK: Final = 1338
"""On packets from the proxy to its own pod: of what comes in over lo, only they are captured."""
ROUTE_TABLE: Final = 133


def append_tproxy_inbound(rules: Ruleset, capture: Capture, *, loopback: str) -> None:
    """Capture inbound ports in the mangle table."""
    rules.append("mangle", "ISTIO_DIVERT", f"-j MARK --set-mark {INBOUND_MARK}")
    rules.append("mangle", "ISTIO_DIVERT", "-j ACCEPT")
    rules.append(
        "mangle",
        "ISTIO_TPROXY",
        f"! -d {loopback} -p tcp -j TPROXY --tproxy-mark {INBOUND_MARK}/0xffffffff --on-port {capture.inbound_port}",
    )
    rules.append("mangle", PREROUTING, "-p tcp -j ISTIO_INBOUND")
    matches = [f"-p tcp --dport {port}" for port in capture.inbound_ports.numbers]
    if capture.inbound_ports.everything:
        for port in capture.inbound_ports_except.numbers:
            rules.append("mangle", "ISTIO_INBOUND", f"-p tcp --dport {port} -j RETURN")
        matches = ["-p tcp"]
    for match in matches:
        rules.append("mangle", "ISTIO_INBOUND", f"{match} -m conntrack --ctstate RELATED,ESTABLISHED -j ISTIO_DIVERT")
        rules.append("mangle", "ISTIO_INBOUND", f"{match} -j ISTIO_TPROXY")


def append_tproxy_marks(rules: Ruleset, capture: Capture, *, loopback: str, inbound_source: str) -> None:
    """Keep marks with connections, and what must not be captured again out of it."""
    rules.append("mangle", PREROUTING, f"-p tcp -m mark --mark {INBOUND_MARK} -j CONNMARK --save-mark")
    rules.append("mangle", OUTPUT, f"-p tcp -o lo -m mark --mark {INBOUND_MARK} -j RETURN")
    owners = [f"--uid-owner {uid}" for uid in capture.uids] + [f"--gid-owner {gid}" for gid in capture.gids]
    for owner in owners:
        rules.append(
            "mangle", OUTPUT, f"! -d {loopback} -p tcp -o lo -m owner {owner} -j MARK --set-mark {OUTBOUND_MARK}"
        )
    rules.append("mangle", OUTPUT, f"-p tcp -m connmark --mark {INBOUND_MARK} -j CONNMARK --restore-mark")
    rules.insert("mangle", "ISTIO_INBOUND", 1, f"-p tcp -m mark --mark {INBOUND_MARK} -j RETURN")
    rules.insert("mangle", "ISTIO_INBOUND", 2, f"-p tcp -s {inbound_source} -i lo -j RETURN")
    rules.insert("mangle", "ISTIO_INBOUND", 3, f"-p tcp -i lo -m mark ! --mark {OUTBOUND_MARK} -j RETURN")
