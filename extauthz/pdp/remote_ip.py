"""The client's address: the connection's peer, or the first untrusted hop of X-Forwarded-For from the right.

The proxy's `source.address` is the connection's peer, never derived from a header, so that walk starts there: while
the address is a trusted proxy's, the next one to the left was written by a proxy that we believe. An entry that is no
address ends the walk with none: the rule that asked is then ERRORED.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import TypeAlias

from extauthz.model.access import AccessRequest
from extauthz.model.policy import Network

Address: TypeAlias = IPv4Address | IPv6Address


@lru_cache(maxsize=1024)
def parse_address(text: str) -> Address | None:
    """An IP address, IPv4-mapped IPv6 as IPv4; None when the text is none."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def in_networks(address: Address, networks: Sequence[Network]) -> bool:
    """Whether one of the networks contains the address (different versions never do)."""
    return any(address in network for network in networks)


def direct_remote_ip(request: AccessRequest) -> Address | None:
    """The connection's peer."""
    return parse_address(request.source_address)


def remote_ip(request: AccessRequest, trusted_proxies: Sequence[Network]) -> Address | None:
    """The client as our trusted proxies saw it; all hops trusted: the leftmost."""
    address = direct_remote_ip(request)
    if address is None or not in_networks(address, trusted_proxies):
        return address
    forwarded = ",".join(request.header_values("x-forwarded-for"))
    if not forwarded.strip():
        return address
    for hop in reversed(forwarded.split(",")):
        address = parse_address(hop.strip())
        if address is None or not in_networks(address, trusted_proxies):
            return address
    return address
