"""The composition root: constructs every part, connects them, and runs them as one service.

The only module that reads a clock, installs signal handlers, and knows all rooms. In order: load, listen, serve; on a
change of the files, load again and keep the last good set if that fails; at the end, report not ready, answer what is
in flight, stop.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
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
from extauthz.server.call import UnaryMethod
from extauthz.server.check_method import CHECK_PATH, CheckLimits
from extauthz.server.decider import Decider, DeciderSettings
from extauthz.server.h2corn_transport import H2cornTransport
from extauthz.server.health import Health
from extauthz.server.http_server import HttpServer, private_config
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import DecisionLogSettings, Start
from extauthz.server.sockets import ListeningSocket, listen_all
from extauthz.server.supervisor import Deployment, Supervisor
from extauthz.server.transport import Transport
from extauthz.server.worker_process import Support
from extauthz.settings import Settings, Unavailable, is_private
from extauthz.sources.jwks import KeySetEvent, KeySetEventKind, KeySetFetcher
from extauthz.sources.policy_files import LoadedSet, load
from extauthz.sources.watch import PolicyWatcher
from extauthz.telemetry.decision_log import DecisionLog, Sampling, SubjectForm
from extauthz.telemetry.failures import FailureReporter
from extauthz.telemetry.logging import LogFormat, Logger, LogLevel, build_logger
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.sink import DescriptorSink, FileSink, Rotation, Sink
from extauthz.telemetry.status import (
    CertificateStatus,
    FailedLoad,
    KeySetState,
    KeySetStatus,
    ServedPolicy,
    ServiceStatus,
)
from extauthz.telemetry.tally import Tally
from extauthz.telemetry.timestamp import rfc3339
from extauthz.telemetry.tracing import open_tracer, report_trouble
from extauthz.tls import CredentialFiles, Credentials, CredentialsWatcher, exposed_key, load_credentials

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
        self._metrics = ServiceMetrics(
            self._status, clock=time.time, tally=self._read_tally, refresh=self._refresh_tally
        )
        self._supervisor: Supervisor | None = None
        """Where worker processes answer."""
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
        if self._supervisor is not None:
            self._supervisor.report_not_ready()

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
        async with AsyncExitStack() as stack:
            (admin_socket,) = listen_all([settings.admin])
            stack.callback(admin_socket.close)
            self.admin_address = admin_socket.address
            if settings.traces == "otlp":
                # Here as well where workers trace: what is wrong with it is told before any of them starts.
                tracer = open_tracer(clock=time.time, on_trouble=partial(report_trouble, self._logger))
                stack.callback(tracer.close)
                self._decider.tracer = tracer
            credentials = self._load_credentials()
            transport = await self._open_transport(stack, credentials)
            self.addresses = transport.addresses
            async with self._served(transport, admin_socket, credentials):
                yield

    @asynccontextmanager
    async def _served(
        self, transport: Transport, admin_socket: ListeningSocket, credentials: Credentials | None
    ) -> AsyncIterator[None]:
        """All tasks of the service, around the block."""
        admin_server = self._build_admin_server(admin_socket)
        servers: tuple[Transport | HttpServer, ...] = (transport, admin_server)
        failure: Exception | None = None
        async with asyncio.TaskGroup() as tasks:
            background = [tasks.create_task(self._watcher.run()), tasks.create_task(self._fetcher.run())]
            if self._decider.log is not None:
                background.append(tasks.create_task(self._decider.log.run()))
            serving = [tasks.create_task(self._serve(server)) for server in servers]
            try:
                await transport.started()
                await admin_server.started()
                if credentials is not None:  # watched once they are served: until then there is nothing to replace
                    background.append(tasks.create_task(self._watch_credentials(transport, credentials)))
                yield
            except Exception as error:  # noqa: BLE001 - raised again below: inside, the group would wrap it
                failure = error
            finally:
                self.report_not_ready()
                for server, task in zip(servers, serving, strict=True):
                    server.stop()
                    await asyncio.wait([task])
                for task in background:
                    task.cancel()
        if failure is not None:
            raise failure

    async def _serve(self, server: Transport | HttpServer) -> None:
        try:
            await server.run()
        except RuntimeError as error:  # requests outlasted the drain
            if not self._status.is_draining:
                raise
            self._logger.warning("drain_incomplete", problem=str(error))

    async def _open_transport(self, stack: AsyncExitStack, credentials: Credentials | None) -> Transport:
        """Listen, until the stack is left."""
        settings = self._settings
        sockets: list[ListeningSocket] = []
        if settings.transport == "h2corn":
            sockets += listen_all(settings.listen)
            for each in sockets:
                stack.callback(each.close)
        if settings.workers > 1:
            self._status.workers = self._supervisor = await self._build_supervisor(sockets, credentials)
            return self._supervisor
        self._decider.log = self._open_decision_log()
        methods: dict[str, UnaryMethod] = {
            CHECK_PATH: self._decider.check,
            **Health(lambda: self._status.is_ready).methods,
        }
        drain = settings.drain_timeout_seconds
        if settings.transport == "h2corn":
            return H2cornTransport(methods, sockets, drain_timeout_seconds=drain, credentials=credentials)
        from extauthz.server.grpc_aio import GrpcioTransport  # noqa: PLC0415 - a library that h2corn does without

        transport = GrpcioTransport(methods, drain_timeout_seconds=drain, credentials=credentials)
        return await stack.enter_async_context(transport.listening(settings.listen))

    async def _build_supervisor(
        self, sockets: Sequence[ListeningSocket], credentials: Credentials | None
    ) -> Supervisor:
        """Calls are answered in processes of their own."""
        settings = self._settings
        log_settings = collector = None
        if settings.decision_log != "off":
            log_settings = DecisionLogSettings(
                SubjectForm(settings.decision_log_subject), settings.decision_log_secret, _sampling(settings)
            )
            collector = LogCollector(_open_sink(settings), on_failure=self._on_decision_log_failed)
        start = Start(
            _decider_settings(settings),
            tuple(each.address for each in sockets),
            drain_timeout_seconds=settings.drain_timeout_seconds,
            credentials=credentials,
            decision_log=log_settings,
            traces=settings.traces == "otlp",
        )
        return Supervisor(
            sockets,
            start,
            await Deployment.of(self.policy_set),
            Support(self._key_sets, self._fetcher.fetch, collector, self._logger),
            count=settings.workers,
            monotonic=time.perf_counter,
        )

    def _build_decider(self) -> Decider:
        return Decider(
            _decider_settings(self._settings),
            key_sets=self._key_sets,
            fetch=self._fetcher.fetch,
            on_failure=FailureReporter(self._logger),
            clock=time.time,
            monotonic=time.perf_counter,
        )

    async def _refresh_tally(self) -> None:
        if self._supervisor is not None:
            await self._supervisor.refresh_tally()

    def _read_tally(self) -> Tally:
        return (self._supervisor or self._decider).read_tally()

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
            on_failure=self._on_decision_log_failed,
            sampling=_sampling(settings),
        )

    def _on_decision_log_failed(self, error: OSError) -> None:
        self._logger.error(
            "decision_log_failed", problem=error.strerror, note="decisions go on; lost lines are counted"
        )

    # --- Certificates ----------------------------------------------------------------------------------------------

    def _load_credentials(self) -> Credentials | None:
        """
        Raises:
            ConfigurationError: a file must be corrected.
        """  # noqa: D205, D212 - the class says what they are
        files = _credential_files(self._settings)
        if files is None:
            return None
        credentials = load_credentials(files, time.time())
        self._report_certificate(credentials, files)
        return credentials

    async def _watch_credentials(self, transport: Transport, loaded: Credentials) -> None:
        files = _credential_files(self._settings)
        assert files is not None  # noqa: S101 - something was loaded from them

        async def replace(credentials: Credentials) -> None:
            try:
                await transport.replace_credentials(credentials)
            except RuntimeError as error:
                self._logger.warning(
                    "drain_incomplete", problem=str(error), note="connections under the old certificate"
                )
            self._report_certificate(credentials, files)

        def report(error: ConfigurationError) -> None:
            if self._status.certificate is not None:
                self._status.certificate = dataclasses.replace(self._status.certificate, is_current=False)
            self._logger.error("certificate_load_failed", problem=str(error), note="the last good certificate stays")

        await CredentialsWatcher(files, loaded=loaded, on_loaded=replace, on_failed=report, clock=time.time).run()

    def _report_certificate(self, credentials: Credentials, files: CredentialFiles) -> None:
        self._status.certificate = CertificateStatus(credentials.expires_at)
        self._logger.info(
            "certificate_loaded",
            serial=credentials.serial,
            expires=rfc3339(credentials.expires_at),
            callers="certified" if credentials.client_ca else "any",
        )
        exposed = exposed_key(files)
        if exposed is not None:
            self._logger.warning("key_exposed", problem=exposed)

    # --- Policies --------------------------------------------------------------------------------------------------

    async def _deploy(self, loaded: LoadedSet) -> None:
        """Put a set into force, whole, or refuse it by raising; requests are answered meanwhile.

        Raises:
            ConfigurationError: a provider's keys must not be used, or a worker process cannot serve the set.
        """
        policy_set = loaded.parsed.policy_set
        refuse_unsound_providers(policy_set)
        snapshot = await asyncio.to_thread(self._decider.prepare, policy_set)
        async with AsyncExitStack() as changing:
            if self._supervisor is not None:
                await changing.enter_async_context(self._supervisor.changing_to(policy_set))
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
        if self._supervisor is not None:
            self._supervisor.announce_keys(event.provider)


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


def _credential_files(settings: Settings) -> CredentialFiles | None:
    if settings.tls_cert is None or settings.tls_key is None:
        return None
    return CredentialFiles(settings.tls_cert, settings.tls_key, settings.client_ca)


def _decider_settings(settings: Settings) -> DeciderSettings:
    limits = CheckLimits(deadline_seconds=settings.deadline_ms / 1000, capacity=settings.max_waiting)
    return DeciderSettings(limits, unavailable_as_error=settings.unavailable is Unavailable.ERROR)


def _sampling(settings: Settings) -> Sampling:
    return Sampling(settings.decision_log_sample_allow, settings.decision_log_sample_deny)


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
    # grpcio's core writes a line to standard error for each call that breaks the protocol, which anybody can provoke.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
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
