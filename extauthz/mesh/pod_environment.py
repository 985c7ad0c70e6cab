"""What the sidecar is told by its environment: the variables that the injector writes, and Kubernetes fills in."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any, Final

from extauthz.errors import ConfigurationError
from extauthz.mesh.identity import check_trust_domain, workload_identity
from extauthz.mesh.probes import ORIGINALS
from extauthz.mesh.wishes import DEFAULT_STATUS_PORT

SCRAPED: Final = "ISTIO_PROMETHEUS_ANNOTATIONS"
"""The variable: how the application was to be scraped, as JSON."""
_MODES: Final = {"REDIRECT": False, "TPROXY": True, "NONE": False}


@dataclass(frozen=True, slots=True)
class Scrape:
    """Where the application has metrics of its own."""

    port: int
    path: str = "/metrics"


@dataclass(frozen=True, slots=True)
class PodEnvironment:
    """One pod."""

    name: str
    namespace: str
    address: str
    """Of the pod; the loopback address where none is named."""
    service_account: str
    trust_domain: str
    workload: str
    is_transparent: bool
    """Whether connections arrive as they are (TPROXY)."""
    redirects_dns: bool
    policy: tuple[str, ...]
    """The policy's files and folders; none: there is no policy."""
    status_port: int = DEFAULT_STATUS_PORT
    probes: Mapping[str, Any] = field(default_factory=dict)
    """The application's own probes and hooks, by the path that the kubelet asks for."""
    scrape: Scrape | None = None

    @property
    def identity(self) -> str:
        """The workload's SPIFFE ID."""
        return workload_identity(self.trust_domain, self.namespace, self.service_account)

    @property
    def wildcard(self) -> str:
        """All addresses of the pod's family."""
        return "::" if ":" in self.address else "0.0.0.0"  # noqa: S104 - the capture leads there

    @property
    def loopback(self) -> str:
        """The loopback address of the pod's family."""
        return "::1" if ":" in self.address else "127.0.0.1"


def read_environment(variables: Mapping[str, str]) -> PodEnvironment:
    """Read the variables.

    Raises:
        ConfigurationError: one of them cannot be meant; the message names it.
    """
    name = variables.get("POD_NAME") or socket.gethostname()
    return PodEnvironment(
        name=name,
        namespace=variables.get("POD_NAMESPACE") or "default",
        address=_read_address(variables.get("INSTANCE_IP") or "127.0.0.1"),
        service_account=variables.get("SERVICE_ACCOUNT") or "default",
        trust_domain=_read_trust_domain(variables.get("TRUST_DOMAIN") or "cluster.local"),
        workload=variables.get("ISTIO_META_WORKLOAD_NAME") or name,
        is_transparent=_read_mode(variables.get("ISTIO_META_INTERCEPTION_MODE") or "REDIRECT"),
        redirects_dns=variables.get("ISTIO_META_DNS_CAPTURE") == "true",
        policy=tuple(each.strip() for each in variables.get("EXTAUTHZ_PATHS", "").split(",") if each.strip()),
        probes=_read_probes(variables.get(ORIGINALS)),
        scrape=_read_scrape(variables.get(SCRAPED)),
    )


def _read_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ConfigurationError(f"INSTANCE_IP: '{text}' is no address of a pod") from None


def _read_trust_domain(text: str) -> str:
    try:
        return check_trust_domain(text)
    except ValueError as error:
        raise ConfigurationError(f"TRUST_DOMAIN: {error}") from None


def _read_mode(text: str) -> bool:
    if text not in _MODES:
        raise ConfigurationError(f"ISTIO_META_INTERCEPTION_MODE: unknown mode '{text}': give {', '.join(_MODES)}")
    return _MODES[text]


def _read_map(text: str, name: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{name}: expected a map, as JSON")
    return found


def _read_probes(text: str | None) -> Mapping[str, Any]:
    found = {} if text is None else _read_map(text, ORIGINALS)
    for path, probe in found.items():
        if not isinstance(probe, dict):
            raise ConfigurationError(f"{ORIGINALS}: {path}: expected a probe, as Kubernetes writes it")
    return found


def _read_scrape(text: str | None) -> Scrape | None:
    """As the application's own annotations said; Prometheus itself would take port 80 without a port."""
    if text is None:
        return None
    found = _read_map(text, SCRAPED)
    port = str(found.get("port", "80"))
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        raise ConfigurationError(f"{SCRAPED}: '{port}' is no port")
    return Scrape(int(port), str(found.get("path", "/metrics")))
