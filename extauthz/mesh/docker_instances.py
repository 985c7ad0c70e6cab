"""Instances of services that run as containers: each says by its labels which service it is one of.

    extauthz.service=orders      the service, which the registry knows; who may call it is not a container's to say
    extauthz.port=8080           where it listens
    extauthz.network=shop        in which network its address is; needed if it is in several

Docker Engine API, `GET /containers/json`, over its Unix socket. Only containers that run are there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.mesh.local_http import get
from extauthz.mesh.services import Registry

SERVICE_LABEL: Final = "extauthz.service"
PORT_LABEL: Final = "extauthz.port"
NETWORK_LABEL: Final = "extauthz.network"


@dataclass(frozen=True, slots=True)
class Instances:
    """What was found."""

    endpoints: Mapping[str, Sequence[TcpAddress]]
    """By service, in order of their addresses."""
    problems: Sequence[str]
    """Containers whose labels cannot be meant, a line each."""


def find_instances(docker: UnixAddress) -> Instances:
    """Ask Docker.

    Raises:
        EnvironmentUnfitError: it does not answer.
    """
    filters = quote(json.dumps({"label": [SERVICE_LABEL]}))
    answer = get(docker, f"/containers/json?filters={filters}", timeout_seconds=10.0)
    if answer.status != 200:
        raise EnvironmentUnfitError(f"{docker}: Docker answers with status {answer.status}")
    try:
        return read_containers(json.loads(answer.body))
    except (ValueError, AttributeError, TypeError, KeyError):
        raise EnvironmentUnfitError(f"{docker}: that is no answer of Docker's") from None


def read_containers(containers: Sequence[Mapping[str, Any]]) -> Instances:
    """What containers say of themselves."""
    endpoints: dict[str, set[tuple[str, int]]] = {}
    problems = []
    for container in containers:
        labels = container["Labels"]
        where = _address(labels, container["NetworkSettings"]["Networks"])
        if isinstance(where, str):
            problems.append(f"container {container['Id'][:12]}: {where}")
        else:
            endpoints.setdefault(labels[SERVICE_LABEL], set()).add((where.host, where.port))
    found = {name: [TcpAddress(*each) for each in sorted(addresses)] for name, addresses in sorted(endpoints.items())}
    return Instances(found, problems)


def with_instances(registry: Registry, instances: Instances) -> tuple[Registry, Sequence[str]]:
    """The registry with these instances beside its own, and what belongs to no service."""
    services = dict(registry.services)
    problems = list(instances.problems)
    for name, endpoints in instances.endpoints.items():
        service = services.get(name)
        if service is None:
            problems.append(f"{SERVICE_LABEL}={name}: the registry knows no such service")
        else:
            merged = tuple(dict.fromkeys([*service.endpoints, *endpoints]))
            services[name] = service.model_copy(update={"endpoints": merged})
    return Registry(services=services), problems


def _address(labels: Mapping[str, str], networks: Mapping[str, Mapping[str, Any]]) -> TcpAddress | str:
    """Where a container listens, or what is wrong with its labels."""
    port = labels.get(PORT_LABEL, "")
    if not (port.isascii() and port.isdigit() and 0 < int(port) <= 65535):
        return f"{PORT_LABEL}: '{port}' is no port"
    wanted = labels.get(NETWORK_LABEL)
    if wanted is None and len(networks) != 1:
        return f"it is in {len(networks)} networks: say in which one by {NETWORK_LABEL}"
    network = networks.get(wanted) if wanted is not None else next(iter(networks.values()))
    address = (network or {}).get("IPAddress")
    if not address:
        return f"it has no address in the network {wanted or next(iter(networks))}"
    return TcpAddress(str(address), int(port))
