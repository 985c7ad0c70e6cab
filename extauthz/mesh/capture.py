"""What traffic of a pod is captured: the flags of istio-iptables, checked.

Nothing is skipped that could not be read: a range, port or interface that is no such thing is an error, since leaving
it out would let traffic past the proxy, or into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Final, TypeAlias, TypeVar

from extauthz.errors import ConfigurationError

ALL: Final = "*"
Network: TypeAlias = IPv4Network | IPv6Network
_Value = TypeVar("_Value")

PROXY_ID: Final = 1337
"""The proxy's user and group when nobody says otherwise."""

_MAX_ID: Final = 2**32 - 2  # 2**32 - 1 means "unchanged" to setresuid(2)
_INTERFACE: Final = re.compile(r"[^\s/:!+-][^\s/:!+]{0,14}", re.ASCII)  # IFNAMSIZ is 16 with the NUL; `+` is a wildcard


class Mode(StrEnum):
    """How inbound connections reach the proxy; outbound ones are always redirected."""

    REDIRECT = "REDIRECT"
    """By changing the destination (nat)."""
    TPROXY = "TPROXY"
    """By routing to the proxy as they are (mangle), so that the application sees the client's address."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """A list of networks, of both families."""

    networks: tuple[Network, ...] = ()
    everything: bool = False

    def of(self, version: int) -> tuple[Network, ...]:
        """Those of one address family, 4 or 6."""
        return tuple(each for each in self.networks if each.version == version)

    @property
    def has_loopback(self) -> bool:
        """Whether one of them lies within 127.0.0.0/8 or is ::1."""
        return any(each.network_address.is_loopback for each in self.networks)


@dataclass(frozen=True, slots=True)
class Ports:
    """A list of ports."""

    numbers: tuple[int, ...] = ()
    everything: bool = False

    def __bool__(self) -> bool:
        return self.everything or bool(self.numbers)


@dataclass(frozen=True, slots=True)
class Capture:
    """What is captured, and what is left alone."""

    outbound_port: int = 15001
    """Where the proxy takes outbound connections."""
    inbound_port: int = 15006
    """Where it takes inbound ones."""
    uids: tuple[int, ...] = (PROXY_ID,)
    """Users whose own connections are left alone: the proxy's."""
    gids: tuple[int, ...] = (PROXY_ID,)
    mode: Mode = Mode.REDIRECT
    outbound: Ranges = Ranges(everything=True)
    """Destinations that are captured; none: no outbound connection is."""
    outbound_except: Ranges = Ranges()
    outbound_ports: Ports = Ports()
    """Destination ports that are captured whatever the address."""
    outbound_ports_except: Ports = Ports()
    inbound_ports: Ports = Ports(everything=True)
    """Local ports that are captured; none: no inbound connection is."""
    inbound_ports_except: Ports = Ports((15090, 15021, 15020))
    """Only for `inbound_ports` that are everything: Prometheus, health, probes."""
    virtual_interfaces: tuple[str, ...] = ()
    """Whose inbound traffic counts as outbound: virtual machines in the pod."""
    excluded_interfaces: tuple[str, ...] = ()
    """Never captured, in either direction."""
    redirects_dns: bool = False
    """Whether queries to the configured name servers go to the proxy's own."""
    every_dns_server: bool = False
    """Whether those to any other server do, too."""


def parse_port(text: str, flag: str) -> int:
    """A port of the proxy's. Raises ConfigurationError."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) <= 65535):
        raise ConfigurationError(f"{flag}: '{text}' is no port: give a number from 1 to 65535")
    return int(text)


def parse_ports(text: str, flag: str, *, takes_all: bool = False) -> Ports:
    """A list with commas; `*` where `takes_all`. Raises ConfigurationError."""
    if text.strip() == ALL:
        if takes_all:
            return Ports(everything=True)
        raise ConfigurationError(f"{flag}: '*' has no meaning here: list the ports, separated by commas")
    return Ports(tuple(parse_port(each, flag) for each in _split(text)))


def parse_ranges(text: str, flag: str, *, takes_all: bool = False) -> Ranges:
    """A list of CIDR ranges, of both families, with commas; `*` where `takes_all`. Raises ConfigurationError."""
    if text.strip() == ALL:
        if takes_all:
            return Ranges(everything=True)
        raise ConfigurationError(f"{flag}: '*' would leave everything uncaptured: list the ranges that it is meant for")
    return Ranges(tuple(_parse_range(each, flag) for each in _split(text)))


def parse_ids(text: str, flag: str) -> tuple[int, ...]:
    """User or group ids, with commas; at least one. Raises ConfigurationError."""
    ids = []
    for each in _split(text):
        if not (each.isascii() and each.isdigit() and len(each) <= 10 and int(each) <= _MAX_ID):
            raise ConfigurationError(f"{flag}: '{each}' is no numeric id")
        ids.append(int(each))
    if not ids:
        raise ConfigurationError(f"{flag}: no id: without one the proxy's own connections would be captured, endlessly")
    return _distinct(ids)


def parse_interfaces(text: str, flag: str) -> tuple[str, ...]:
    """Names of network interfaces, with commas. Raises ConfigurationError."""
    names = _split(text)
    for each in names:
        if not _INTERFACE.fullmatch(each):
            raise ConfigurationError(f"{flag}: '{each}' is no name of a network interface")
    return _distinct(names)


def parse_mode(text: str, flag: str) -> Mode:
    """REDIRECT or TPROXY. Raises ConfigurationError."""
    try:
        return Mode(text)
    except ValueError:
        raise ConfigurationError(f"{flag}: unknown mode '{text}': give REDIRECT or TPROXY") from None


def _parse_range(text: str, flag: str) -> Network:
    try:
        network = ip_network(text, strict=False) if "/" in text else None
    except ValueError:
        network = None
    if network is None:
        raise ConfigurationError(f"{flag}: '{text}' is no range: write it as 10.0.0.0/8 or 2001:db8::/32")
    return network


def _split(text: str) -> list[str]:
    """The elements; none for an empty text. A stray comma makes an empty element, which is never valid."""
    return [each.strip() for each in text.split(",")] if text.strip() else []


def _distinct(values: Iterable[_Value]) -> tuple[_Value, ...]:
    return tuple(dict.fromkeys(values))
