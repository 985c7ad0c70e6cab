"""The service: its parts, connected, in one event loop."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from extauthz.app.certificate import Certificate
from extauthz.app.decision_log import decision_log_form, open_collector, open_decision_log
from extauthz.app.key_sets import FetchedKeySets
from extauthz.app.lifecycle import Lifecycle
from extauthz.app.listening import credential_files, open_sockets, open_transport
from extauthz.app.private_listener import admin_credential_files, open_private_listener, probe_url
from extauthz.app.recording import open_record_collector, open_recorder, report_lost
from extauthz.app.serving import Server, serving
from extauthz.errors import ExtAuthzError
from extauthz.model.policy import PolicySet
from extauthz.server.check_method import CHECK_PATH, CheckLimits
from extauthz.server.decider import Decider, DeciderSettings
from extauthz.server.http_server import HttpServer
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import Start
from extauthz.server.sockets import ListeningSocket, listen_all
from extauthz.server.supervisor import Deployment, Supervisor
from extauthz.server.transport import Transport
from extauthz.server.worker_process import Support
from extauthz.settings import Settings, Unavailable
from extauthz.sources.opa import RemoteOpa
from extauthz.sources.policy_files import LoadedSet, load
from extauthz.sources.watch import PolicyWatcher
from extauthz.telemetry.failures import EngineReporter, FailureReporter
from extauthz.telemetry.logging import LogFormat, Logger, LogLevel, build_logger
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.status import FailedLoad, KeySetStatus, Listener, ServedPolicy, ServiceStatus
from extauthz.telemetry.tally import Tally
from extauthz.telemetry.tracing import open_tracer, report_trouble
from extauthz.tls import CredentialFiles, Credentials


class Service(Lifecycle):
    """The whole service in one event loop: `async with Service(settings) as service: ...`.

    Entering it loads the policy and listens; leaving it drains.

    Raises:
        PolicyError: the policy set must not be served.
        ConfigurationError: a setting or file must be changed.
        EnvironmentUnfitError: an address cannot be listened at, a file not be written; or a part failed later, which
            the log tells.
    """

    def __init__(self, settings: Settings, *, logger: Logger | None = None) -> None:
        self._settings = settings
        self._logger = logger or build_logger(
            sys.stderr, log_format=LogFormat(settings.log_format), level=LogLevel(settings.log_level)
        )
        status = ServiceStatus(
            read_key_sets=self._read_key_sets, engine_is_left_alone=lambda: self._read_tally().engine_left_alone > 0
        )
        super().__init__(status, settings.admin)
        self._metrics = ServiceMetrics(
            self._status, clock=time.time, tally=self._read_tally, refresh=self._refresh_tally
        )

    @property
    def policy_set(self) -> PolicySet:
        """The set in force."""
        if self._status.policy is None:
            raise RuntimeError("the service has not been started")
        return self._status.policy.policy_set

    def reload(self) -> None:
        """Load the policy files as they are now, even if files went missing."""
        self._watcher.reload()

    @property
    def probe(self) -> str:
        """Where to ask whether it is ready."""
        return probe_url(self._settings, self.admin_address)

    # --- Running ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        settings = self._settings
        loaded = load(settings.paths, values_file=settings.values)
        self._keys = FetchedKeySets(self._logger, state=settings.state, on_change=self._announce_keys)
        engine = self._open_engine()
        self._decider = self._build_decider(engine)
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
            if engine is not None:
                stack.callback(engine.close)
            if settings.traces == "otlp":
                # Here as well where workers trace: what is wrong with it is told before any of them starts.
                tracer = open_tracer(clock=time.time, on_trouble=partial(report_trouble, self._logger))
                stack.callback(tracer.close)
                self._decider.tracer = tracer
            admin = self._certified(Listener.ADMIN, admin_credential_files(settings))
            admin_server = self._open_private_listener(admin_socket, admin)
            calls = self._certified(Listener.CALLS, credential_files(settings))
            transport = await self._open_transport(stack, None if calls is None else calls.credentials)
            self.addresses = transport.addresses
            background = [self._watcher.run(), self._keys.fetcher.run()]
            background += [log.run() for log in (self._decider.log, self._decider.recorder) if log is not None]
            servers: Mapping[Server, Certificate | None] = {transport: calls, admin_server: admin}
            async with serving(servers, background, logger=self._logger, on_end=self.report_not_ready):
                yield

    async def _open_transport(self, stack: AsyncExitStack, credentials: Credentials | None) -> Transport:
        """Listen, until the stack is left; calls are answered here, or by worker processes."""
        settings = self._settings
        if settings.workers > 1:
            sockets = open_sockets(stack, settings)
            records = open_record_collector(settings, self._logger)
            if records is not None:
                stack.callback(lambda: report_lost(self._logger, records.dropped))
            self._status.workers = self._supervisor = await self._build_supervisor(sockets, credentials, records)
            return self._supervisor
        self._decider.log = open_decision_log(settings, self._logger)
        recorder = self._decider.recorder = open_recorder(settings, self._logger)
        if recorder is not None:
            stack.callback(lambda: report_lost(self._logger, recorder.dropped))
        methods = {CHECK_PATH: self._decider.check, **self._health.methods}
        return await open_transport(stack, settings, methods, credentials)

    async def _build_supervisor(
        self, sockets: Sequence[ListeningSocket], credentials: Credentials | None, records: LogCollector | None
    ) -> Supervisor:
        """Calls are answered in processes of their own."""
        settings = self._settings
        start = Start(
            _decider_settings(settings),
            tuple(each.address for each in sockets),
            drain_timeout_seconds=settings.drain_timeout_seconds,
            credentials=credentials,
            decision_log=decision_log_form(settings),
            traces=settings.traces == "otlp",
            engine=settings.opa_engine,
            records=records is not None,
        )
        collector = open_collector(settings, self._logger)
        return Supervisor(
            sockets,
            start,
            await Deployment.of(self.policy_set),
            Support(self._keys.key_sets, self._keys.fetcher.fetch, collector, self._logger, records),
            count=settings.workers,
            monotonic=time.perf_counter,
        )

    def _build_decider(self, engine: RemoteOpa | None) -> Decider:
        return Decider(
            _decider_settings(self._settings),
            key_sets=self._keys.key_sets,
            fetch=self._keys.fetcher.fetch,
            on_failure=FailureReporter(self._logger),
            clock=time.time,
            monotonic=time.perf_counter,
            engine=engine,
        )

    def _open_engine(self) -> RemoteOpa | None:
        """Here as well where workers ask it: what is wrong with it is told before any of them starts."""
        engine = self._settings.opa_engine
        if engine is None:
            return None
        report = EngineReporter(self._logger)
        return RemoteOpa(engine, on_trouble=report.trouble, on_recovery=report.recovery, monotonic=time.perf_counter)

    async def _refresh_tally(self) -> None:
        if self._supervisor is not None:
            await self._supervisor.refresh_tally()

    def _read_tally(self) -> Tally:
        return (self._supervisor or self._decider).read_tally()

    def _open_private_listener(self, socket: ListeningSocket, certificate: Certificate | None) -> HttpServer:
        return open_private_listener(
            self._settings,
            socket,
            certificate,
            status=self._status,
            metrics=self._metrics,
            decide=self._decider.check.decide,
        )

    def _certified(self, listener: Listener, files: CredentialFiles | None) -> Certificate | None:
        return None if files is None else Certificate(listener, files, self._status, self._logger)

    # --- Policies and keys -----------------------------------------------------------------------------------------

    async def _deploy(self, loaded: LoadedSet) -> None:
        """Put a set into force, whole, or refuse it by raising; requests are answered meanwhile.

        Raises:
            ConfigurationError: a worker process cannot serve the set.
        """
        policy_set = loaded.parsed.policy_set
        snapshot = await asyncio.to_thread(self._decider.prepare, policy_set)
        async with AsyncExitStack() as changing:
            if self._supervisor is not None:
                await changing.enter_async_context(self._supervisor.changing_to(policy_set))
            self._keys.fetcher.reconfigure(policy_set.providers)
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

    def _read_key_sets(self) -> Mapping[str, KeySetStatus]:
        return self._keys.status()

    def _announce_keys(self, provider: str) -> None:
        if self._supervisor is not None:
            self._supervisor.announce_keys(provider)


def _decider_settings(settings: Settings) -> DeciderSettings:
    limits = CheckLimits(deadline_seconds=settings.deadline_ms / 1000, capacity=settings.max_waiting)
    return DeciderSettings(limits, unavailable_as_error=settings.unavailable is Unavailable.ERROR)
