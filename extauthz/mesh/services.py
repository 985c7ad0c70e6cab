"""The services of a mesh, as a document: by which names they are called, where their instances are, how to call them.

One YAML map, read by a sidecar or by the control plane:

    services:
      orders:
        hosts: [orders, orders.shop.svc.cluster.local]    # by the Host header; [the service's name] if left out
        identities: [spiffe://cluster.local/ns/shop/sa/orders]    # whose certificates instances may show
        endpoints: [10.77.0.2:8080]
        balancing: {ring_hash: {header: x-user}}          # round_robin, least_request

A host belongs to one service. Without `identities` a service is called in clear text, which `tls: none` must say.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, parse_address
from extauthz.mesh.identity import check_identity
from extauthz.mesh.yaml_text import load_documents

_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_HEADER: Final = re.compile(r"[a-z0-9-]{1,64}")
_DURATION: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(ms|s|m)")
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def parse_seconds(value: object) -> float:
    """A duration as it is written: 250ms, 1.5s, 2m. Raises ValueError."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if seconds <= 0:
        raise ValueError(f"'{value}' is no duration: write 250ms, 1.5s or 2m")
    return seconds


def check_host(text: str) -> str:
    """A host name in lower case, without a port. Raises ValueError."""
    if not _NAME.fullmatch(text):
        raise ValueError(f"'{text}' is no host name: write it in lower case, without a port")
    return text


def _check_header(text: str) -> str:
    if not _HEADER.fullmatch(text):
        raise ValueError(f"'{text}' is no name of a header: write it in lower case")
    return text


def _parse_endpoint(value: object) -> TcpAddress:
    try:
        address = parse_address(value) if isinstance(value, str) else None
    except ConfigurationError as error:
        raise ValueError(str(error)) from None
    if not isinstance(address, TcpAddress) or not address.is_literal or not address.port:
        raise ValueError(f"'{value}' is no instance: write IP:port")
    return address


Seconds = Annotated[float, BeforeValidator(parse_seconds)]
Host = Annotated[str, AfterValidator(check_host)]
Endpoint = Annotated[TcpAddress, BeforeValidator(_parse_endpoint)]
Identity = Annotated[str, AfterValidator(check_identity)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Tls(StrEnum):
    """How a service is called."""

    MUTUAL = "mutual"
    NONE = "none"


class RingHash(_Part):
    """Requests with the same value of this header go to the same instance."""

    header: Annotated[str, AfterValidator(_check_header)]


class Hashed(_Part):
    ring_hash: RingHash


Balancing = Literal["round_robin", "least_request"] | Hashed


class Limits(_Part):
    """The circuit breakers: what exceeds one is answered with 503 at once."""

    connections: int = Field(default=1024, ge=1)
    pending: int = Field(default=1024, ge=1)
    """Requests that wait for a connection."""
    requests: int = Field(default=1024, ge=1)
    retries: int = Field(default=3, ge=0)


class Ejection(_Part):
    """Outlier detection: an instance that fails so often in a row is left out for a while."""

    after: int = Field(default=5, ge=1)
    """Failures: statuses 500 to 599, and connections that do not come about."""
    for_: Seconds = Field(default=30.0, alias="for")
    at_most: int = Field(default=50, ge=1, le=100)
    """Percent of the instances that may be left out."""


RetryReason = Literal[
    "connect-failure", "refused-stream", "reset-before-request", "gateway-error", "5xx", "unavailable", "cancelled"
]


class Retries(_Part):
    """The default reasons are those after which a request cannot have reached the application."""

    attempts: int = Field(default=2, ge=0, le=10)
    reasons: tuple[RetryReason, ...] = ("connect-failure", "refused-stream", "reset-before-request")
    per_try: Seconds | None = None


class RateLimit(_Part):
    """Local to each sidecar: what comes above it is answered with 429."""

    requests: int = Field(ge=1)
    per: Annotated[Seconds, Field(ge=0.05)] = 1.0  # Envoy fills its bucket no oftener


class Service(_Part):
    """How one service is called."""

    hosts: tuple[Host, ...] = ()
    tls: Tls = Tls.MUTUAL
    identities: tuple[Identity, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    balancing: Balancing = "round_robin"
    limits: Limits = Limits()
    ejection: Ejection | None = Ejection()
    retries: Retries = Retries()
    timeout: Seconds = 15.0
    """Of a whole request, retries included; gRPC calls bring their own."""
    rate_limit: RateLimit | None = None

    @model_validator(mode="after")
    def _says_whom_to_believe(self) -> Self:
        if (self.tls is Tls.MUTUAL) != bool(self.identities):
            raise ValueError("identities says whose certificate to believe: name one, or write `tls: none`")
        return self


class Registry(_Part):
    """All services, by name."""

    services: Mapping[Host, Service] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _hosts_are_unique(self) -> Self:
        owners: dict[str, str] = {}
        for name in self.services:
            for host in self.hosts_of(name):
                if owners.setdefault(host, name) != name:
                    raise ValueError(f"the host {host} belongs to both {owners[host]} and {name}")
        return self

    def hosts_of(self, name: str) -> tuple[str, ...]:
        """The names by which a service is called."""
        return self.services[name].hosts or (name,)


EMPTY: Final = Registry()


def parse_registry(document: object, where: str) -> Registry:
    """Check a document. Raises ConfigurationError with everything that is wrong, where it is."""
    if not isinstance(document, dict):
        raise ConfigurationError(f"{where}: expected a map with the key services")
    try:
        return Registry.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(_describe(each) for each in error.errors(include_url=False, include_input=False))
        raise ConfigurationError(f"{where}: {problems}") from None


def load_registry(file: Path) -> Registry:
    """Read and check a file.

    Raises:
        ConfigurationError: it cannot be read, or something in it is wrong: one line.
    """
    try:
        documents = load_documents(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    if len(documents) > 1:
        raise ConfigurationError(f"{file}: expected one document")
    return parse_registry(documents[0] if documents else {}, str(file))


def _describe(problem: Mapping[str, Any]) -> str:
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg'].removeprefix('Value error, ')}".removeprefix(": ")
