"""Peers and addresses that stand for all: one of each kind that a rule or binding of either set tells from others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from itertools import count, product
from typing import Final

from extauthz.authoring.credentials import Side
from extauthz.authoring.truth import BoundHitError
from extauthz.model.policy import Authentication, Network, RemoteIpIs, WorkloadIs
from extauthz.pdp.remote_ip import in_networks, parse_address

MAX_KINDS: Final = 1024

_FIRST_CHOICES: Final = ("198.51.100.7", "2001:db8::7")  # for documentation (RFC 5737, RFC 3849)
_EVERYTHING: Final = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a request has beside who asks for what."""

    workload: str = ""
    source: str = ""
    """The connection's peer; empty when it has no address."""
    forwarded_for: str = ""
    """`x-forwarded-for`; empty when there is none."""


def circumstances_of(sides: Sequence[Side]) -> list[Circumstances]:
    """Each kind that the routes of `sides` tell apart.

    Raises:
        BoundHitError: there are more than `MAX_KINDS`.
    """
    workloads = _workloads(sides)
    addresses = list(_addresses(sides))
    if len(workloads) * len(addresses) > MAX_KINDS:
        raise BoundHitError
    return [Circumstances(workload, *address) for workload, address in product(workloads, addresses)]


def _workloads(sides: Sequence[Side]) -> list[str]:
    patterns: set[str] = set()
    for side in sides:
        for condition in side.conditions(WorkloadIs):
            patterns.update(condition.workloads if isinstance(condition, WorkloadIs) else ())
        if side.route is not None and side.route.authentication is Authentication.NONE:
            bound = side.bindings()
            patterns.update(s.workload for binding in bound for s in binding.subjects if s.workload is not None)
    exact = {pattern for pattern in patterns if not pattern.endswith("/**")}
    prefixes = {pattern.removesuffix("**") for pattern in patterns - exact}

    def below(prefix: str) -> str:
        longer = tuple(p for p in prefixes if len(p) > len(prefix))
        candidates = (f"{prefix}any{n or ''}" for n in count())
        return next(name for name in candidates if name not in exact and not name.startswith(longer))

    return ["", *sorted(exact), *(below(prefix) for prefix in sorted(prefixes))]


def _addresses(sides: Sequence[Side]) -> Iterator[tuple[str, str]]:
    """The peer, and what is forwarded for: three hops are enough to make any two sets find any two addresses."""
    asked = [c for side in sides for c in side.conditions(RemoteIpIs) if isinstance(c, RemoteIpIs)]
    if not asked:
        yield "", ""
        return
    proxies = [side.policy_set.trusted_proxies for side in sides]
    networks = {network for listed in (*(c.networks for c in asked), *proxies) for network in listed}
    addresses = representatives(networks)
    yield from ((address, "") for address in ("", *addresses))
    if len(set(proxies)) == 1 and not any(condition.direct for condition in asked):
        return  # whatever is found past proxies, a peer can be as well
    for peer in addresses:
        if not any(_trusts(trusted, peer) for trusted in proxies):
            continue
        for client in ("unknown", *addresses):
            yield peer, client
            if len({_trusts(trusted, client) for trusted in proxies}) > 1:
                yield from ((peer, f"{farther}, {client}") for farther in ("unknown", *addresses))


def _trusts(proxies: Sequence[Network], text: str) -> bool:
    address = parse_address(text)
    return address is not None and in_networks(address, proxies)


def representatives(networks: Iterable[Network]) -> list[str]:
    """An address for each set of the networks that some address is in."""
    known = sorted(set(networks), key=str)
    candidates = [*_FIRST_CHOICES, *(str(a) for network in (*known, *_EVERYTHING) for a in _only_in(network, known))]
    found: dict[tuple[bool, ...], str] = {}
    for candidate in candidates:
        address = parse_address(candidate)
        if address is not None:
            found.setdefault(tuple(address in network for network in known), candidate)
    return list(found.values())


def _only_in(network: Network, others: Iterable[Network]) -> Iterator[IPv4Address | IPv6Address]:
    """An address of the network that is in none of the smaller ones, if there is one."""
    left: list[Network] = [network]
    for other in others:
        if other.prefixlen > network.prefixlen:
            left = [piece for part in left for piece in _without(part, other)]
    for piece in left[:1]:
        yield piece[1] if piece.num_addresses > 2 else piece[0]


def _without(network: Network, other: Network) -> Iterable[Network]:
    match network, other:
        case (IPv4Network(), IPv4Network()) | (IPv6Network(), IPv6Network()) if network.overlaps(other):
            if network.subnet_of(other):  # type: ignore[arg-type]
                return ()
            return network.address_exclude(other)  # type: ignore[arg-type]
        case _:
            return (network,)
