"""The composition root: constructs every part, connects them, and runs them as one service.

The only module that reads a clock, installs signal handlers, and knows all rooms. In order: load, listen, serve; on a
change of the files, load again and keep the last good set if that fails; at the end, report not ready, answer what is
in flight, stop.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvloop

from extauthz import __version__
from extauthz.admin.application import build_admin
from extauthz.authn.authenticator import KeySets
from extauthz.authn.keyset import Phase
from extauthz.authn.provider import check_provider_keys
from extauthz.errors import ConfigurationError, EnvironmentUnfitError, ExtAuthzError
from extauthz.lowering.address import Address, TcpAddress
from extauthz.model.policy import PolicySet
from extauthz.server.asgi import GrpcApplication
from extauthz.server.check_method import CHECK_PATH, CheckLimits
from extauthz.server.decider import Decider, DeciderSettings
from extauthz.server.health import Health
from extauthz.server.http_server import HttpServer, grpc_config, private_config
from extauthz.server.sockets import ListeningSocket, listen_all
from extauthz.settings import Settings, Unavailable, is_private
from extauthz.sources.jwks import KeySetEvent, KeySetEventKind, KeySetFetcher
from extauthz.sources.policy_files import LoadedSet, load
from extauthz.sources.watch import PolicyWatcher
from extauthz.telemetry.decision_log import DecisionLog, Sampling, SubjectForm
from extauthz.telemetry.failures import FailureReporter
from extauthz.telemetry.logging import LogFormat, Logger, LogLevel, build_logger
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.sink import DescriptorSink, FileSink, Rotation, Sink
from extauthz.telemetry.status import FailedLoad, KeySetState, KeySetStatus, ServedPolicy, ServiceStatus
from extauthz.telemetry.tally import Tally

_MAX_DECIDE_BYTES: Final = 8 * 1024 * 1024
_STDOUT: Final = 1


class Service:
    """The whole service in one event loop: `async with Service(settings) as service: ...`.

    Entering it loads the policy and listens; leaving it drains.

    Raises:
        PolicyError: the policy set must not be served.
        ConfigurationError: a setting or file must be changed.
        EnvironmentUnfitError: an address cannot be listened at, a file not be written.
    """

    def __init__(self, settings: Settings, *, logger: Logger | None = None) -> None:
        self._settings = settings
        self._logger = logger or build_logger(
            sys.stderr, log_format=LogFormat(settings.log_format), level=LogLevel(settings.log_level)
        )
        self._key_sets = KeySets()
        self._fetch_failures: Counter[str] = Counter()
        self._status = ServiceStatus(read_key_sets=self._read_key_sets)
        self._metrics = ServiceMetrics(self._status, clock=time.time, tally=self._read_tally)
        self._running: AbstractAsyncContextManager[None] | None = None
        self.addresses: tuple[Address, ...] = ()
        """Where calls are answered; port 0 has become what the system chose."""
        self.admin_address: Address = settings.admin

    async def __aenter__(self) -> Self:
        self._running = self._run()
        await self._running.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            await self._running.__aexit__(kind, error, traceback)

    @property
    def policy_set(self) -> PolicySet:
        """The set in force."""
        if self._status.policy is None:
            raise RuntimeError("the service has not been started")
        return self._status.policy.policy_set

    def reload(self) -> None:
        """Load the policy files as they are now, even if files went missing."""
        self._watcher.reload()

    def report_not_ready(self) -> None:
        """From now on probes and health checks say that no new requests should be sent; they are still answered."""
        self._status.is_draining = True

    # --- Running ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        settings = self._settings
        loaded = load(settings.paths, values_file=settings.values)
        self._fetcher = KeySetFetcher(
            self._key_sets,
            state_dir=Path(settings.state) if settings.state else None,
            on_event=self._on_key_set_event,
            clock=time.time,
        )
        self._decider = self._build_decider()
        await self._deploy(loaded)
        self._watcher = PolicyWatcher(
            settings.paths,
            loaded=loaded,
            on_loaded=self._deploy,
            on_failed=self._on_load_failed,
            values_file=settings.values,
        )
        with ExitStack() as stack:
            *sockets, admin_socket = listen_all([*settings.listen, settings.admin])
            for each in (*sockets, admin_socket):
                stack.callback(each.close)
            self.addresses = tuple(each.address for each in sockets)
            self.admin_address = admin_socket.address
            self._decider.log = self._open_decision_log()
            async with self._served(sockets, admin_socket):
                yield

    @asynccontextmanager
    async def _served(self, sockets: Sequence[ListeningSocket], admin_socket: ListeningSocket) -> AsyncIterator[None]:
        """All tasks of the service, around the block."""
        grpc_server = HttpServer(
            GrpcApplication({CHECK_PATH: self._decider.check, **Health(lambda: self._status.is_ready).methods}),
            sockets,
            grpc_config(drain_timeout_seconds=self._settings.drain_timeout_seconds),
        )
        admin_server = self._build_admin_server(admin_socket)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._watcher.run()), tasks.create_task(self._fetcher.run())]
            if self._decider.log is not None:
                background.append(tasks.create_task(self._decider.log.run()))
            serving = [tasks.create_task(self._serve(server)) for server in (grpc_server, admin_server)]
            try:
                await grpc_server.started()
                await admin_server.started()
                yield
            except Exception as error:  # noqa: BLE001 - raised again below: inside, the group would wrap it
                failure = error
            finally:
                self.report_not_ready()
                for server, task in zip((grpc_server, admin_server), serving, strict=True):
                    server.stop()
                    await asyncio.wait([task])
                for task in background:
                    task.cancel()
        if failure is not None:
            raise failure

    async def _serve(self, server: HttpServer) -> None:
        try:
            await server.run()
        except RuntimeError as error:  # requests outlasted the drain
            if not self._status.is_draining:
                raise
            self._logger.warning("drain_incomplete", problem=str(error))

    def _build_decider(self) -> Decider:
        settings = self._settings
        limits = CheckLimits(deadline_seconds=settings.deadline_ms / 1000, capacity=settings.max_waiting)
        return Decider(
            DeciderSettings(limits, unavailable_as_error=settings.unavailable is Unavailable.ERROR),
            key_sets=self._key_sets,
            fetch=self._fetcher.fetch,
            on_failure=FailureReporter(self._logger),
            clock=time.time,
            monotonic=time.perf_counter,
        )

    def _read_tally(self) -> Tally:
        return self._decider.read_tally()

    def _build_admin_server(self, admin_socket: ListeningSocket) -> HttpServer:
        settings = self._settings
        application = build_admin(
            self._status,
            self._metrics,
            self._decider.check.decide,
            serves_api=settings.admin_api,
            checks_host=isinstance(settings.admin, TcpAddress) and is_private(settings.admin),
        )
        config = private_config(drain_timeout_seconds=settings.drain_timeout_seconds, max_body_bytes=_MAX_DECIDE_BYTES)
        return HttpServer(application, [admin_socket], config)

    def _open_decision_log(self) -> DecisionLog | None:
        settings = self._settings
        if settings.decision_log == "off":
            return None
        return DecisionLog(
            _open_sink(settings),
            subject=SubjectForm(settings.decision_log_subject),
            key=settings.decision_log_secret,
            clock=time.time,
            on_failure=lambda error: self._logger.error(
                "decision_log_failed", problem=error.strerror, note="decisions go on; lost lines are counted"
            ),
            sampling=Sampling(settings.decision_log_sample_allow, settings.decision_log_sample_deny),
        )

    # --- Policies --------------------------------------------------------------------------------------------------

    async def _deploy(self, loaded: LoadedSet) -> None:
        """Put a set into force, whole, or refuse it by raising; requests are answered meanwhile.

        Raises:
            ConfigurationError: a provider's keys must not be used.
        """
        policy_set = loaded.parsed.policy_set
        refuse_unsound_providers(policy_set)
        snapshot = await asyncio.to_thread(self._decider.prepare, policy_set)
        self._fetcher.reconfigure(policy_set.providers)
        self._decider.put_into_force(snapshot)
        self._status.policy = ServedPolicy(policy_set, tuple(loaded.parsed.warnings), time.time())
        self._status.failed_load = None
        self._logger.info(
            "policy_loaded", name=policy_set.name, revision=policy_set.revision, routes=len(policy_set.routes)
        )
        for warning in loaded.parsed.warnings:
            self._logger.warning("policy_warning", warning=warning.render())

    def _on_load_failed(self, error: ExtAuthzError) -> None:
        self._status.failed_load = FailedLoad(str(error), time.time())
        self._status.failed_loads += 1
        self._logger.error(
            "policy_load_failed", problem=str(error), serving=self.policy_set.revision, note="the last good set stays"
        )

    # --- Key sets --------------------------------------------------------------------------------------------------

    def _read_key_sets(self) -> Mapping[str, KeySetStatus]:
        return {
            each.provider: KeySetStatus(
                key_set_state(each.phase, usable=each.usable), each.fetched_at, self._fetch_failures[each.provider]
            )
            for each in self._fetcher.status()
        }

    def _on_key_set_event(self, event: KeySetEvent) -> None:
        if event.kind is KeySetEventKind.FAILED:
            self._fetch_failures[event.provider] += 1
        troubles = event.kind in {KeySetEventKind.FAILED, KeySetEventKind.STALE}
        log = self._logger.warning if troubles else self._logger.info if event.changed else self._logger.debug
        log(f"key_set_{event.kind}", provider=event.provider, keys=event.keys, detail=event.detail)


def refuse_unsound_providers(policy_set: PolicySet) -> None:
    """Raise for keys that no set may be served with.

    Raises:
        ConfigurationError: a line for each problem.
    """
    problems = [
        f"{provider.span}: provider {provider.name}: {problem}"
        for provider in policy_set.providers
        for problem in check_provider_keys(provider)
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))


def key_set_state(phase: Phase, *, usable: bool) -> KeySetState:
    """What the fetcher's phase means for requests."""
    if not usable:
        return KeySetState.MISSING
    return KeySetState.STALE if phase in {Phase.STALE, Phase.COOLING} else KeySetState.CURRENT


def _open_sink(settings: Settings) -> Sink:
    where, max_bytes = settings.decision_log, settings.decision_log_max_bytes
    if where == "stdout":
        return DescriptorSink(_STDOUT)
    try:
        return FileSink(where, None if max_bytes is None else Rotation(max_bytes, settings.decision_log_keep))
    except OSError as error:
        raise EnvironmentUnfitError(
            f"--decision-log {where}: {error.strerror}: name a file that can be written"
        ) from None


# --- As a process --------------------------------------------------------------------------------------------------


def run_service(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the policy again.

    Raises:
        PolicyError: nothing was served: the policy set must be corrected.
        ConfigurationError: likewise: a setting.
        EnvironmentUnfitError: likewise: the machine. Or a part of the service failed later; the log says why.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signalled(settings))


async def _serve_until_signalled(settings: Settings) -> None:
    logger = build_logger(sys.stderr, log_format=LogFormat(settings.log_format), level=LogLevel(settings.log_level))
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if stopped.done():  # again: whoever asks twice does not want to wait
            os._exit(128 + number)
        stopped.set_result(number)

    try:
        async with Service(settings, logger=logger) as service:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, stop, number)
            loop.add_signal_handler(signal.SIGHUP, service.reload)
            print(ready_line(service), file=sys.stderr, flush=True)  # noqa: T201 - to whoever started it
            number = await stopped
            logger.info("draining", signal=number.name)
            service.report_not_ready()
            if number is signal.SIGTERM:  # somebody at a terminal (SIGINT) does not wait for load balancers
                await asyncio.sleep(settings.drain_delay_seconds)
    except ExceptionGroup as group:
        for error in group.exceptions:
            logger.exception("service_failed", exc_info=error)
        raise EnvironmentUnfitError("the service failed; the log above says where") from None


def ready_line(service: Service) -> str:
    """What `serve` says once it answers."""
    admin = service.admin_address
    probes = f"http://{admin}/readyz" if isinstance(admin, TcpAddress) else f"{admin} /readyz"
    return (
        f"extauthz {__version__} serving policy {service.policy_set.name} revision {service.policy_set.revision} "
        f"at {', '.join(map(str, service.addresses))}; probes at {probes}"
    )
