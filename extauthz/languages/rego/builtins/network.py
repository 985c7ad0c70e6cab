"""IP networks (net.cidr_*), without asking the network anything."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from extauthz.languages.rego.builtins.registry import Registry, members, text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import RegoSet, Value, object_items

NETWORK = Registry()

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_EXPANDED = 1 << 16
"""Addresses that net.cidr_expand makes."""


def _address(value: str) -> _Address | None:
    """An address; one of IPv4 written as IPv6 is one of IPv4, as in Go."""
    if "%" in value:
        return None
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _network(value: str) -> _Network:
    """The network of an address with a prefix length; bits of the host are ignored.

    Raises:
        BuiltinError: it is none.
    """
    host, slash, prefix = value.partition("/")
    if not slash or "%" in value or not (prefix.isascii() and prefix.isdigit()) or len(prefix) > 3:
        raise BuiltinError("not a CIDR")
    try:
        network = ipaddress.ip_network(f"{host}/{int(prefix)}", strict=False)
    except ValueError:
        raise BuiltinError("not a CIDR") from None
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network


def _within(inner: _Network, outer: _Network) -> bool:
    return inner.version == outer.version and inner.subnet_of(outer)  # type: ignore[arg-type]


@NETWORK.add("net.cidr_overlap", 2)
@NETWORK.add("net.cidr_contains", 2)
def cidr_contains(cidr: Value, other: Value) -> bool:
    """Whether an address or a network lies in a network."""
    network, given = _network(text(cidr, 1)), text(other, 2)
    address = _address(given)
    if address is not None:
        return address in network
    return _within(_network(given), network)


@NETWORK.add("net.cidr_intersects", 2)
def cidr_intersects(left: Value, right: Value) -> bool:
    one, other = _network(text(left, 1)), _network(text(right, 2))
    return one.overlaps(other)


@NETWORK.add("net.cidr_is_valid", 1, total=True)
def cidr_is_valid(value: Value) -> bool:
    try:
        _network(text(value, 1))
    except BuiltinError:
        return False
    return True


@NETWORK.add("net.cidr_contains_matches", 2, stateful=True)
def cidr_contains_matches(evaluation: Evaluation, cidrs: Value, others: Value) -> RegoSet:
    """All pairs of which the first contains the second, by their keys, positions, or themselves."""
    outer, inner = list(_indexed(cidrs, 1)), list(_indexed(others, 2))
    evaluation.spend(4 * len(outer) * len(inner))
    return RegoSet([name, other] for cidr, name in outer for given, other in inner if cidr_contains(cidr, given))


def _indexed(operand: Value, position: int) -> Iterator[tuple[str, Value]]:
    if type(operand) is str:
        pairs: list[tuple[Value, Value]] = [(operand, operand)]
    elif type(operand) is dict:
        pairs = [(value, key) for key, value in object_items(operand)]
    elif type(operand) is list:
        pairs = [(value, index) for index, value in enumerate(operand)]
    else:
        pairs = [(value, value) for value in members(operand, position)]
    for value, name in pairs:
        first = value[0] if type(value) is list and value else value
        if type(first) is not str:
            raise BuiltinError(f"operand {position}: element must be string or non-empty array")
        yield first, name


@NETWORK.add("net.cidr_expand", 1, stateful=True)
def cidr_expand(evaluation: Evaluation, cidr: Value) -> RegoSet:
    """All addresses of a network."""
    network = _network(text(cidr, 1))
    if network.num_addresses > MAX_EXPANDED:
        raise BuiltinError(f"a network of more than {MAX_EXPANDED} addresses")
    evaluation.spend(4 * network.num_addresses)
    return RegoSet(map(str, network))


@NETWORK.add("net.cidr_merge", 1, stateful=True)
def cidr_merge(evaluation: Evaluation, cidrs: Value) -> RegoSet:
    """The smallest set of networks with the same addresses."""
    given = [_mergeable(value) for value in members(cidrs, 1)]
    evaluation.spend(16 * len(given))
    ranges: list[tuple[int, int, int, str | None]] = []
    for version, first, last, written in sorted(given, key=lambda r: (r[0], r[1], r[2])):
        if ranges and ranges[-1][0] == version and first <= ranges[-1][2] + 1:
            before = ranges[-1]
            ranges[-1] = (version, before[1], max(before[2], last), None)
        else:
            ranges.append((version, first, last, written))
    return RegoSet(text_ for one in ranges for text_ in _networks(*one))


def _mergeable(value: Value) -> tuple[int, int, int, str]:
    """IP version, first and last address, and how the network is written when it stays alone."""
    if type(value) is not str:
        raise BuiltinError("element must be string")
    address = _address(value)
    if address is None:
        network = _network(value)
        return network.version, int(network[0]), int(network[-1]), str(network)
    if address.version == 6:
        raise BuiltinError("IPv6 invalid: needs prefix length")
    first = int(address) >> 24
    prefix = 8 if first < 128 else 16 if first < 192 else 24  # the classes of RFC 791, as Go's DefaultMask
    if first >= 224:
        raise BuiltinError("an address without a default mask")
    network = _network(f"{address}/{prefix}")
    return 4, int(network[0]), int(network[-1]), f"{address}/{prefix}"


def _networks(version: int, first: int, last: int, written: str | None) -> list[str]:
    if written is not None:
        return [written]
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return list(map(str, ipaddress.summarize_address_range(kind(first), kind(last))))
