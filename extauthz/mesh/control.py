"""The control plane as a process: it watches the services, renews certificates, and tells every node at once.

A registry that cannot be read, or a Docker that does not answer, changes nothing: the last good services stay.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress, UnixAddress
from extauthz.mesh.authority import Authority, open_authority
from extauthz.mesh.catalogue import MeshCatalogue
from extauthz.mesh.docker_instances import find_instances, with_instances
from extauthz.mesh.identity import control_identity
from extauthz.mesh.nodes import load_nodes
from extauthz.mesh.services import Registry, load_registry
from extauthz.server.sockets import bound_by_others
from extauthz.telemetry.logging import Logger
from extauthz.xds.server import DiscoveryServer

_WATCH_SECONDS: Final = 0.5
_RENEWAL_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Control:
    """What a control plane is to be."""

    registry: Path
    nodes: Path
    authority: Path
    """The folder of the authority's certificate and key."""
    trust_domain: str
    listen: Address
    docker: UnixAddress | None
    """Where instances run as containers; None: all of them stand in the registry."""
    certificate_seconds: float
    """How long a workload's certificate lives."""


class ServiceSource:
    """The services as they are now; the last good ones while something cannot be read."""

    def __init__(self, control: Control, logger: Logger) -> None:
        """Raises ConfigurationError or EnvironmentUnfitError: there are none yet."""
        self._control = control
        self._logger = logger
        self._told: object = None
        self.current, problems = self._read()
        self._tell(problems)

    def refresh(self) -> bool:
        """Look again; whether anything changed."""
        try:
            found, problems = self._read()
        except (ConfigurationError, EnvironmentUnfitError) as error:
            self._tell((f"the last good services stay: {error}",))
            return False
        self._tell(problems)
        changed = found != self.current
        self.current = found
        return changed

    def _read(self) -> tuple[Registry, tuple[str, ...]]:
        registry = load_registry(self._control.registry)
        if self._control.docker is None:
            return registry, ()
        merged, problems = with_instances(registry, find_instances(self._control.docker))
        return merged, tuple(problems)

    def _tell(self, problems: tuple[str, ...]) -> None:
        """Once, as long as they are the same."""
        if problems != self._told:
            for each in problems:
                self._logger.error("services_incomplete", problem=each)
        self._told = problems


def run_control(control: Control, logger: Logger, clock: Callable[[], float]) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: a file must be corrected.
        EnvironmentUnfitError: the address cannot be listened at, a folder not be used, Docker does not answer.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    asyncio.run(_serve(control, logger, clock))


async def _serve(control: Control, logger: Logger, clock: Callable[[], float]) -> None:
    authority = open_authority(
        control.authority, control.trust_domain, lifetime_seconds=control.certificate_seconds, now=clock()
    )
    source = ServiceSource(control, logger)
    catalogue = MeshCatalogue(source.current, load_nodes(control.nodes), authority, logger, clock)
    is_tcp = isinstance(control.listen, TcpAddress)
    credentials = own_credentials(authority, control_identity(control.trust_domain), clock) if is_tcp else None
    server = DiscoveryServer(catalogue, bound_by_others, credentials=credentials)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with server.serving(control.listen) as address, asyncio.TaskGroup() as tasks:
        watching = [
            tasks.create_task(_follow_services(source, catalogue, server, logger)),
            tasks.create_task(_renew(authority, server, clock)),
        ]
        print(f"extauthz mesh control at {address}", file=sys.stderr, flush=True)  # noqa: T201 - to whoever started it
        await stopped.wait()
        for task in watching:
            task.cancel()


async def _follow_services(
    source: ServiceSource, catalogue: MeshCatalogue, server: DiscoveryServer, logger: Logger
) -> None:
    while True:
        await asyncio.sleep(_WATCH_SECONDS)
        if await asyncio.to_thread(source.refresh):
            catalogue.replace_registry(source.current)
            server.changed()
            logger.info("services_changed", services=len(source.current.services))


async def _renew(authority: Authority, server: DiscoveryServer, clock: Callable[[], float]) -> None:
    while True:
        await asyncio.sleep(_RENEWAL_SECONDS)
        if authority.renew(clock()):
            server.changed()


def own_credentials(authority: Authority, identity: str, clock: Callable[[], float]) -> grpc.ServerCredentials:
    """The control plane's own certificate, renewed like the others; asked for by the library at each connection."""
    offered = authority.certificate_of(identity, clock())

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        nonlocal offered
        current = authority.certificate_of(identity, clock())
        if current is offered:
            return None
        offered = current
        return _configuration(current.key, current.chain)

    first = _configuration(offered.key, offered.chain)
    return grpc.dynamic_ssl_server_credentials(first, fetch, require_client_authentication=False)


def _configuration(key: str, chain: str) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(key.encode(), chain.encode())])
