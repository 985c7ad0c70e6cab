"""What this machine is: capabilities, addresses, name servers, users. Read from /proc and /etc, never changed."""

from __future__ import annotations

import pwd
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from typing import Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.capture import PROXY_ID

# capabilities(7), as bits of CapEff.
NET_ADMIN: Final = 12
NET_RAW: Final = 13
_CAPABILITIES: Final = {NET_ADMIN: "NET_ADMIN", NET_RAW: "NET_RAW"}

_PROXY_USER: Final = "istio-proxy"
_SCOPE_GLOBAL: Final = 0x00  # the scopes of RFC 4291, as the kernel encodes them: 0x10 is the host's, 0x20 the link's
_SCOPE_SITE: Final = 0x40
INBOUND_SOURCE_V6: Final = IPv6Address("::6")


def require_capabilities(*needed: int, status: Path = Path("/proc/self/status")) -> None:
    """Raise EnvironmentUnfitError unless this process has them in effect."""
    effective = _effective_capabilities(status)
    missing = [_CAPABILITIES[each] for each in needed if not effective >> each & 1]
    if missing:
        raise EnvironmentUnfitError(
            f"missing capability {' and '.join(missing)}: run this as root in a container with "
            "securityContext.capabilities.add: [NET_ADMIN, NET_RAW]; nothing was changed"
        )


def _effective_capabilities(status: Path) -> int:
    for line in status.read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    raise EnvironmentUnfitError(f"{status} does not say which capabilities this process has")


def has_ipv6_address(interfaces: Path = Path("/proc/net/if_inet6")) -> bool:
    """Whether this network namespace has an IPv6 address that others may reach: traffic over it must be captured."""
    try:
        lines = interfaces.read_text(encoding="ascii").splitlines()
    except FileNotFoundError:  # the kernel has no IPv6
        return False
    for line in lines:
        digits, _index, _prefix_length, scope, *_ = line.split()
        address = IPv6Address(int(digits, 16))
        if address != INBOUND_SOURCE_V6 and int(scope, 16) in {_SCOPE_GLOBAL, _SCOPE_SITE}:
            return True
    return False


def read_name_servers(file: Path = Path("/etc/resolv.conf")) -> tuple[IPv4Address | IPv6Address, ...]:
    """The servers that the resolver of this machine asks (resolv.conf(5)).

    Raises:
        EnvironmentUnfitError: the file cannot be read, or names something that is no address.
    """
    servers = []
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise EnvironmentUnfitError(f"{file} cannot be read: {error.strerror}: which name servers are there?") from None
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            try:
                servers.append(ip_address(words[1].partition("%")[0]))
            except ValueError:
                raise EnvironmentUnfitError(f"{file}: nameserver '{words[1]}' is no IP address") from None
    return tuple(servers)


def proxy_user() -> int:
    """The id of the user istio-proxy; 1337 where there is none."""
    try:
        return pwd.getpwnam(_PROXY_USER).pw_uid
    except KeyError:
        return PROXY_ID
