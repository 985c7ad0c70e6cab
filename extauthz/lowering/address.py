"""Where something listens: `host:port`, `[v6]:port` or `unix:/path`, and how Envoy writes that."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TypeAlias

from extauthz.errors import ConfigurationError
from extauthz.lowering.document import JsonObject


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host, IPv6 without brackets, and a port; port 0 lets the system choose one."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def is_literal(self) -> bool:
        """Whether the host is an IP address, not a name to be resolved."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True

    def to_envoy(self) -> JsonObject:
        """The address as `envoy.config.core.v3.Address`."""
        return {"socket_address": {"address": self.host, "port_value": self.port}}


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A Unix domain socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def is_literal(self) -> bool:
        """A path needs no resolution."""
        return True

    def to_envoy(self) -> JsonObject:
        """The address as `envoy.config.core.v3.Address`."""
        return {"pipe": {"path": self.path}}


Address: TypeAlias = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Read `host:port`, `[v6]:port` or `unix:/path`.

    Raises:
        ConfigurationError: It is none of them.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        # sun_path holds 108 bytes, the final NUL included (unix(7)).
        if not path.startswith("/") or "\0" in path or len(path.encode()) > 107:
            raise ConfigurationError(f"'{text}' is no address: unix: takes an absolute path of at most 107 bytes")
        return UnixAddress(path)
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        is_host = ":" in host
    else:
        is_host = bool(host) and ":" not in host
    is_host = is_host and not any(c.isspace() or c in "[]/@," for c in host)
    if not colon or not is_host or not _is_port(port):
        raise ConfigurationError(f"'{text}' is no address: write host:port, [IPv6]:port or unix:/path")
    return TcpAddress(host, int(port))


def _is_port(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535
