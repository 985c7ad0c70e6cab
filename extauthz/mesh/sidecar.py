"""The sidecar as a process: the authorizers, Envoy and the status port, from ready to drained.

Envoy is a child: when it ends, so does the sidecar, and Kubernetes starts both again. A changed policy is enforced by
the authorizer at once, and by Envoy's own filters when it has read its listeners again.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz.app import Service
from extauthz.errors import ConfigurationError, EnvironmentUnfitError, ExtAuthzError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import Enforcement
from extauthz.lowering.document import JsonObject, render
from extauthz.lowering.enforcement import enforcement_of
from extauthz.lowering.ext_authz import check_filters, reads_body
from extauthz.lowering.mode import Mode
from extauthz.mesh.dns_forwarder import DnsForwarder
from extauthz.mesh.local_http import get
from extauthz.mesh.machine import read_name_servers
from extauthz.mesh.peer_tls import FileCertificates
from extauthz.mesh.sidecar_bootstrap import (
    ADMIN_PORT,
    OUTBOUND_AUTHORIZER,
    Side,
    Sidecar,
    bootstrap,
    listener_file,
    policy_clusters,
)
from extauthz.mesh.status_server import Readiness, build_status
from extauthz.model.policy import PolicySet
from extauthz.server.http_server import HttpServer, private_config
from extauthz.server.sockets import listen
from extauthz.settings import Settings
from extauthz.telemetry.logging import Logger

_POLICY_SECONDS: Final = 0.2
"""How often to look whether the authorizer has another policy."""
_READY_SECONDS: Final = 0.05
_DRAIN_TIME_SECONDS: Final = 5
"""How long connections under replaced listeners may last."""
_STOP_SECONDS: Final = 5.0
_ADMIN: Final = TcpAddress("127.0.0.1", ADMIN_PORT)
_LIBRARY: Final = ctypes.CDLL(None)  # loaded before anything is forked
_PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
_SIDES: Final = ("inbound", "outbound")


@dataclass(frozen=True, slots=True)
class Policies:
    """What is enforced: the settings of each side's authorizer, and who decides on the inbound side."""

    inbound: Settings | None
    outbound: Settings | None
    mode: Mode


@dataclass(frozen=True, slots=True)
class Proxy:
    """How Envoy is run."""

    binary: Path
    folder: Path
    """Of its configuration; only this user may read it."""
    log_level: str
    concurrency: int
    drain_seconds: float
    """How long the inbound side still answers after SIGTERM."""


def authorizer_address(folder: Path, side: str) -> UnixAddress:
    """Where the authorizer of one side answers Envoy."""
    return UnixAddress(str(folder / f"{side}.sock"))


def authorizer_admin(folder: Path, side: str) -> UnixAddress:
    """Where the authorizer of one side says whether it is ready."""
    return UnixAddress(str(folder / f"{side}-admin.sock"))


def inbound_side(policy_set: PolicySet, mode: Mode, folder: Path) -> Side:
    """The callee's policy, in the mode that was asked for."""
    return Side(
        enforcement_of(policy_set, mode), authorizer_address(folder, "inbound"), reads_body=reads_body(policy_set)
    )


def outbound_side(policy_set: PolicySet, folder: Path) -> Side:
    """The caller's policy: its authorizer decides every request."""
    enforcement = Enforcement(check_filters(policy_set, cluster=OUTBOUND_AUTHORIZER))
    return Side(enforcement, authorizer_address(folder, "outbound"), reads_body=reads_body(policy_set))


def run_sidecar(sidecar: Sidecar, policies: Policies, proxy: Proxy, logger: Logger) -> None:
    """Run until SIGTERM or SIGINT.

    Raises:
        PolicyError: nothing was started: the policy set must be corrected.
        ConfigurationError: likewise: a setting or file.
        EnvironmentUnfitError: a port is taken, or Envoy ended.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    asyncio.run(_Running(sidecar, policies, proxy, logger).run())


class _Running:
    """One sidecar, from its start to its end."""

    def __init__(self, sidecar: Sidecar, policies: Policies, proxy: Proxy, logger: Logger) -> None:
        self._sidecar = sidecar
        self._policies = policies
        self._proxy = proxy
        self._logger = logger
        self._services: dict[str, Service] = {}
        self._stopped = asyncio.Event()
        self._is_urgent = False
        named = {"inbound": policies.inbound, "outbound": policies.outbound}
        self._settings: Mapping[str, Settings] = {side: each for side, each in named.items() if each is not None}
        self._readiness = Readiness(_ADMIN, [authorizer_admin(proxy.folder, side) for side in self._settings])

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        loop.add_signal_handler(signal.SIGINT, self._stop_at_once)
        async with AsyncExitStack() as stack:
            for side, settings in self._settings.items():
                service = Service(settings, logger=self._logger)
                self._services[side] = await stack.enter_async_context(service)
            self._write_configuration()
            await stack.enter_async_context(self._status_port())
            await self._run_proxy()

    def _stop(self) -> None:
        self._stopped.set()

    def _stop_at_once(self) -> None:
        self._is_urgent = True
        self._stopped.set()

    @asynccontextmanager
    async def _status_port(self) -> AsyncIterator[None]:
        """Port 15020, around the block."""
        pod = self._sidecar.pod
        status = build_status(pod, self._readiness)
        listening = listen(TcpAddress(pod.wildcard, pod.status_port))
        config = private_config(drain_timeout_seconds=1.0, max_body_bytes=0)
        server = HttpServer(lambda _streams: status, [listening], config)
        serving = asyncio.ensure_future(server.run())
        try:
            await server.started()
            yield
        finally:
            server.stop()
            await serving

    async def _run_proxy(self) -> None:
        proxy = self._proxy
        process = await asyncio.create_subprocess_exec(
            str(proxy.binary),
            *("--config-path", str(proxy.folder / "envoy.json")),
            *("--concurrency", str(proxy.concurrency)),
            *("--log-level", proxy.log_level),
            *("--drain-time-s", str(_DRAIN_TIME_SECONDS)),
            *("--drain-strategy", "immediate"),
            *("--file-flush-interval-msec", "1000"),
            "--disable-hot-restart",
            stdin=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C reaches us alone; we stop it
            preexec_fn=_end_with_parent,
        )
        try:
            await self._watch_over(process)
        finally:
            await _end(process)

    async def _watch_over(self, process: asyncio.subprocess.Process) -> None:
        tasks = [
            asyncio.ensure_future(self._follow_policies()),
            asyncio.ensure_future(self._announce()),
            *([asyncio.ensure_future(self._forward_dns())] if self._sidecar.pod.redirects_dns else []),
        ]
        ended, stopped = asyncio.ensure_future(process.wait()), asyncio.ensure_future(self._stopped.wait())
        try:
            done, _ = await asyncio.wait([ended, stopped, *tasks[2:]], return_when=asyncio.FIRST_COMPLETED)
            if ended in done:
                raise EnvironmentUnfitError(f"Envoy ended with status {ended.result()}: what it wrote says why")
            for task in done.difference([stopped]):
                task.result()  # raises: only a failure ends one of these
            await self._drain()
        finally:
            for task in [*tasks, ended, stopped]:
                task.cancel()
            await asyncio.gather(*tasks, ended, stopped, return_exceptions=True)

    async def _drain(self) -> None:
        """Let what is under way finish; nothing new is sent here once nobody finds us ready."""
        self._readiness.is_draining = True
        if self._is_urgent:
            return
        self._logger.info("draining", seconds=self._proxy.drain_seconds)
        try:
            await asyncio.to_thread(get, _ADMIN, "/drain_listeners?inboundonly&graceful", method="POST")
        except EnvironmentUnfitError as error:
            self._logger.warning("drain_incomplete", problem=str(error))
        await asyncio.sleep(self._proxy.drain_seconds)

    async def _announce(self) -> None:
        """Say once that the sidecar answers."""
        while True:
            if await asyncio.to_thread(self._readiness.problem) is None:
                break
            await asyncio.sleep(_READY_SECONDS)
        pod = self._sidecar.pod
        print(f"extauthz mesh sidecar ready: {pod.identity} at {pod.address}", file=sys.stderr, flush=True)  # noqa: T201

    async def _forward_dns(self) -> None:
        servers = [str(each) for each in read_name_servers()]
        await DnsForwarder(servers).run(asyncio.Event())

    # --- Configuration ---------------------------------------------------------------------------------------------

    def _sides(self) -> list[Side | None]:
        inbound, outbound = (self._services.get(side) for side in _SIDES)
        folder = self._proxy.folder
        return [
            None if inbound is None else inbound_side(inbound.policy_set, self._policies.mode, folder),
            None if outbound is None else outbound_side(outbound.policy_set, folder),
        ]

    def _write_configuration(self) -> None:
        sides = self._sides()
        self._clusters = policy_clusters(sides)
        write_configuration(self._sidecar, sides, self._proxy.folder)

    async def _follow_policies(self) -> None:
        """Have Envoy enforce what the authorizers have loaded."""
        enforced = self._revisions()
        while True:
            await asyncio.sleep(_POLICY_SECONDS)
            revisions = self._revisions()
            if revisions != enforced:
                enforced = revisions
                try:
                    await asyncio.to_thread(self._replace_listeners)
                except (ExtAuthzError, OSError) as error:
                    problem = str(error)
                    self._logger.error("listeners_kept", problem=problem)  # noqa: TRY400 - the line says all

    def _replace_listeners(self) -> None:
        sides = self._sides()
        if policy_clusters(sides) != self._clusters:
            raise ConfigurationError("the policy fetches other key sets in Envoy than before: restart the sidecar")
        write_file(listeners_path(self._proxy.folder), listener_file(self._sidecar, sides))
        self._logger.info("listeners_replaced", revisions=self._revisions())

    def _revisions(self) -> Sequence[str]:
        return [each.policy_set.revision for each in self._services.values()]


def listeners_path(folder: Path) -> Path:
    """The file of the listeners."""
    return folder / "listeners.json"


def write_configuration(sidecar: Sidecar, sides: Sequence[Side | None], folder: Path) -> None:
    """Write all that Envoy reads at its start.

    Raises:
        EnvironmentUnfitError: the folder cannot be written.
    """
    files = {
        listeners_path(folder): listener_file(sidecar, sides),
        folder / "envoy.json": bootstrap(sidecar, sides, listeners_path(folder)),
    }
    if isinstance(sidecar.certificates, FileCertificates):
        files |= sidecar.certificates.documents()
    for path, document in files.items():
        write_file(path, document)


def write_file(path: Path, document: JsonObject) -> None:
    """Replace a file: nobody reads half of one, and nobody else reads it.

    Raises:
        EnvironmentUnfitError: the folder cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            stream.write(render(document))
        new.replace(path)
    except OSError as error:
        raise EnvironmentUnfitError(
            f"{path}: {error.strerror}: name a folder that can be written with --directory"
        ) from None


def _end_with_parent() -> None:
    """Have this process killed when the one ends that made it: prctl(2).

    An Envoy that nobody watches over would go on under an old policy, and share the ports with its successor.
    """
    _LIBRARY.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
