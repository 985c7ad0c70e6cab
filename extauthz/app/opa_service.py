"""The drop-in for opa-envoy-plugin: OPA's configuration and policies, our transports, probes and metrics."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final

from extauthz import __version__
from extauthz.app.certificate import Certificate
from extauthz.app.decision_log import open_sink, report_log_failure
from extauthz.app.key_sets import FetchedKeySets
from extauthz.app.lifecycle import Lifecycle
from extauthz.app.listening import credential_files, open_sockets, open_transport
from extauthz.app.private_listener import admin_credential_files, open_private_listener, probe_url
from extauthz.app.serving import Server, serving
from extauthz.check.opa_policy import DECISION, DROP, MASK, OpaPolicy
from extauthz.errors import ConfigurationError, ExtAuthzError
from extauthz.model.policy import PathSettings, PolicySet, ResponseSettings
from extauthz.server.check_method import CHECK_PATH
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import Start
from extauthz.server.opa_check import OpaLimits
from extauthz.server.opa_decider import OpaDeciderSettings, open_opa_decider
from extauthz.server.sockets import ListeningSocket, listen_all
from extauthz.server.supervisor import Deployment, Supervisor
from extauthz.server.transport import Transport
from extauthz.server.worker_process import Support
from extauthz.settings import Settings
from extauthz.sources.opa_bundles import BundleError, BundleFetcher
from extauthz.sources.opa_config import OpaConfig, read_opa_config
from extauthz.sources.opa_files import NOTHING_YET, LoadedOpa, OpaFiles
from extauthz.sources.policy_files import PolicyFiles
from extauthz.sources.watch import FileWatcher
from extauthz.telemetry.logging import LogFormat, Logger, LogLevel, build_logger
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.opa_log import OpaLogForm
from extauthz.telemetry.sink import DescriptorSink, Sink
from extauthz.telemetry.status import FailedLoad, Listener, ServedPolicy, ServiceStatus
from extauthz.telemetry.tally import Tally

_STDERR: Final = 2
_NAME: Final = "opa"
"""What probes and metrics call the policy."""


class OpaService(Lifecycle):
    """As `Service`, by OPA's configuration: `async with OpaService(settings) as service: ...`.

    Raises:
        PolicyError: the policy cannot be compiled.
        ConfigurationError: a setting or file must be changed.
        EnvironmentUnfitError: an address cannot be listened at, a file not be written; or a part failed later, which
            the log tells.
    """

    def __init__(self, settings: Settings, *, logger: Logger | None = None) -> None:
        assert settings.opa_config is not None  # noqa: S101 - it makes this service
        self._config = read_opa_config(settings.opa_config)
        listens_elsewhere = "listen" in settings.model_fields_set
        addresses = settings.listen if listens_elsewhere else self._config.addresses
        self._settings = settings.model_copy(update={"listen": addresses})
        self._descriptors = _read_descriptors(self._config)
        self._logger = logger or build_logger(
            sys.stderr, log_format=LogFormat(settings.log_format), level=LogLevel(settings.log_level)
        )
        self._keys = FetchedKeySets(self._logger, state=settings.state, on_change=self._announce_keys)
        status = ServiceStatus(read_key_sets=self._keys.status, engine_is_left_alone=lambda: False)
        super().__init__(status, settings.admin)
        bounds = self._config.buckets if self._config.performance_metrics else None
        self._metrics = ServiceMetrics(
            self._status, clock=time.time, tally=self._read_tally, refresh=self._refresh_tally, plugin_bounds=bounds
        )
        self._files = self._open_files()

    def reload(self) -> None:
        """Load the files as they are now, even if some went missing."""
        self._watcher.reload()

    @property
    def ready_line(self) -> str:
        """What `serve` says once it answers."""
        policy = self._status.policy
        served = f"policy {_NAME} revision {policy.policy_set.revision}" if policy else "no policy until bundles come"
        return (
            f"extauthz {__version__} serving {served} at {', '.join(map(str, self.addresses))}; "
            f"probes at {probe_url(self._settings, self.admin_address)}"
        )

    # --- Running ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[None]:
        for warning in self._config.warnings:
            self._logger.warning("opa_config_warning", warning=warning)
        loaded = await self._first_load()
        log = self._open_log()
        in_workers = self._settings.workers > 1
        self._decider = open_opa_decider(
            self._decider_settings(),
            None if in_workers else log,
            key_sets=self._keys.key_sets,
            fetch=self._keys.fetcher.fetch,
            logger=self._logger,
            on_log_failed=report_log_failure(self._logger),
            clock_ns=time.time_ns,
            monotonic=time.perf_counter,
        )
        if loaded.policy is not None:
            await self._deploy(loaded)
        self._watcher = FileWatcher(self._files, loaded=loaded, on_loaded=self._deploy, on_failed=self._on_load_failed)
        async with AsyncExitStack() as stack:
            (admin_socket,) = listen_all([self._settings.admin])
            stack.callback(admin_socket.close)
            self.admin_address = admin_socket.address
            admin = self._certified(Listener.ADMIN)
            admin_server = open_private_listener(
                self._settings, admin_socket, admin, status=self._status, metrics=self._metrics, decide=None
            )
            calls = self._certified(Listener.CALLS)
            transport = await self._open_transport(stack, calls, log)
            self.addresses = transport.addresses
            servers: Mapping[Server, Certificate | None] = {transport: calls, admin_server: admin}
            async with serving(servers, self._background(), logger=self._logger, on_end=self.report_not_ready):
                yield

    def _background(self) -> Sequence[Coroutine[Any, Any, None]]:
        bundles = self._bundle_fetcher(self._on_bundle)
        background = [self._watcher.run(), self._keys.fetcher.run(), bundles.run()]
        return background if self._decider.log is None else [*background, self._decider.log.run()]

    def _bundle_fetcher(self, on_bundle: Callable[[str, bytes], None]) -> BundleFetcher:
        remote = [bundle for bundle in self._config.bundles if bundle.service is not None]
        return BundleFetcher(remote, on_bundle=on_bundle, on_failed=self._on_bundle_failed)

    async def _open_transport(
        self, stack: AsyncExitStack, certificate: Certificate | None, log: tuple[Sink, OpaLogForm] | None
    ) -> Transport:
        """Listen, until the stack is left; calls are answered here, or by worker processes."""
        settings = self._settings
        credentials = None if certificate is None else certificate.credentials
        if settings.workers == 1:
            methods = {CHECK_PATH: self._decider.check, **self._health.methods}
            return await open_transport(stack, settings, methods, credentials)
        sockets = open_sockets(stack, settings)
        self._status.workers = self._supervisor = await self._build_supervisor(sockets, certificate, log)
        return self._supervisor

    async def _build_supervisor(
        self,
        sockets: Sequence[ListeningSocket],
        certificate: Certificate | None,
        log: tuple[Sink, OpaLogForm] | None,
    ) -> Supervisor:
        """Calls are answered in processes of their own."""
        start = Start(
            self._decider_settings(),
            tuple(each.address for each in sockets),
            drain_timeout_seconds=self._settings.drain_timeout_seconds,
            credentials=None if certificate is None else certificate.credentials,
            decision_log=None if log is None else log[1],
            traces=False,
        )
        collector = None if log is None else LogCollector(log[0], on_failure=report_log_failure(self._logger))
        assert self._policy is not None  # noqa: S101 - it was waited for
        return Supervisor(
            sockets,
            start,
            await Deployment.of(_policy_set(self._policy), self._policy),
            Support(self._keys.key_sets, self._keys.fetcher.fetch, collector, self._logger),
            count=self._settings.workers,
            monotonic=time.perf_counter,
        )

    def _decider_settings(self) -> OpaDeciderSettings:
        settings, config = self._settings, self._config
        return OpaDeciderSettings(
            OpaLimits(settings.deadline_ms / 1000, settings.max_waiting, config.max_received_bytes),
            dry_run=config.dry_run,
            parses_body=not config.skip_request_body_parse,
            strict=settings.strict,
            keeps_input=self._logs,
            descriptors=self._descriptors,
            buckets=config.buckets if config.performance_metrics else None,
        )

    @property
    def _logs(self) -> bool:
        return self._config.logs_to_console or self._settings.decision_log != "off"

    def _open_log(self) -> tuple[Sink, OpaLogForm] | None:
        """Where lines go and how they look: where our own settings say, else to the console as OPA's do."""
        if not self._logs:
            return None
        to_console = self._settings.decision_log == "off"
        labels = {**self._config.labels, "id": str(uuid.uuid4()), "version": __version__}
        form = OpaLogForm(labels, self._config.path_text, self._config.query_text)
        return DescriptorSink(_STDERR) if to_console else open_sink(self._settings), form

    def _certified(self, listener: Listener) -> Certificate | None:
        settings = self._settings
        files = credential_files(settings) if listener is Listener.CALLS else admin_credential_files(settings)
        return None if files is None else Certificate(listener, files, self._status, self._logger)

    async def _refresh_tally(self) -> None:
        if self._supervisor is not None:
            await self._supervisor.refresh_tally()

    def _read_tally(self) -> Tally:
        return (self._supervisor or self._decider).read_tally()

    def _announce_keys(self, provider: str) -> None:
        if self._supervisor is not None:
            self._supervisor.announce_keys(provider)

    # --- Policies --------------------------------------------------------------------------------------------------

    def _open_files(self) -> OpaFiles:
        settings, config = self._settings, self._config
        if not settings.paths and not config.bundles:
            raise ConfigurationError(
                f"{settings.opa_config} names no bundles: name a Rego file, a folder or a bundle on the command line"
            )
        logs = {MASK: config.mask_path, DROP: config.drop_path} if self._logs else {}
        return OpaFiles(
            settings.paths,
            questions={DECISION: config.decision, **logs},
            file_bundles={bundle.name: bundle.resource for bundle in config.bundles if bundle.service is None},
            remote_bundles=[bundle.name for bundle in config.bundles if bundle.service is not None],
            policy_set=PolicyFiles(settings.policy, values_file=settings.values) if settings.policy else None,
        )

    async def _first_load(self) -> LoadedOpa:
        """What is there at the start; while bundles are on their way, nothing."""
        self._policy: OpaPolicy | None = None
        if self._files.missing:
            self._logger.info("waiting_for_bundles", bundles=self._files.missing)
            if self._settings.workers == 1:
                return NOTHING_YET
            await self._bundles_come()  # worker processes are told of a policy first
        outcome = (await asyncio.to_thread(self._files.attempt)).outcome
        if not isinstance(outcome, LoadedOpa):
            raise outcome
        return outcome

    async def _bundles_come(self) -> None:
        whole = asyncio.Event()

        def put(name: str, content: bytes) -> None:
            self._files.put(name, content)
            if not self._files.missing:
                whole.set()

        async with asyncio.TaskGroup() as tasks:
            fetching = tasks.create_task(self._bundle_fetcher(put).run())
            await whole.wait()
            fetching.cancel()

    async def _deploy(self, loaded: LoadedOpa) -> None:
        """Put a policy into force, whole, or refuse it by raising; requests are answered meanwhile.

        Raises:
            PolicyError: it cannot be compiled.
            ConfigurationError: a worker process cannot serve it.
        """
        policy = loaded.policy
        assert policy is not None  # noqa: S101 - it has been loaded
        snapshot = await asyncio.to_thread(self._decider.prepare, policy)
        policy_set = _policy_set(policy)
        async with AsyncExitStack() as changing:
            if self._supervisor is not None:
                await changing.enter_async_context(self._supervisor.changing_to(policy_set, policy))
            self._keys.fetcher.reconfigure(policy_set.providers)
        self._decider.put_into_force(snapshot)
        self._policy = policy
        self._status.policy = ServedPolicy(policy_set, (), time.time())
        self._status.failed_load = None
        self._health.announce()
        self._logger.info("policy_loaded", name=_NAME, revision=policy.revision, bundles=dict(policy.bundles))

    def _on_load_failed(self, error: ExtAuthzError) -> None:
        if self._files.missing:  # told when it began, and again when fetching fails
            return
        self._status.failed_load = FailedLoad(str(error), time.time())
        self._status.failed_loads += 1
        serving_now = None if self._policy is None else self._policy.revision
        self._logger.error(
            "policy_load_failed", problem=str(error), serving=serving_now, note="the last good one stays"
        )

    def _on_bundle(self, name: str, content: bytes) -> None:
        self._files.put(name, content)
        self._logger.info("bundle_fetched", bundle=name, bytes=len(content))
        self._watcher.look()

    def _on_bundle_failed(self, name: str, error: BundleError) -> None:
        self._status.failed_load = FailedLoad(f"bundle {name}: {error}", time.time())
        self._logger.error("bundle_fetch_failed", bundle=name, problem=str(error), note="the last good one stays")


def _policy_set(policy: OpaPolicy) -> PolicySet:
    """The set beside the policy, under the policy's own revision; without one, a set of nothing."""
    beside = policy.policy_set
    return PolicySet(
        name=_NAME,
        revision=policy.revision,
        providers=() if beside is None else beside.providers,
        api_key_providers=(),
        roles={},
        bindings=(),
        routes=(),
        default_providers=(),
        trust_domains=(),
        trusted_proxies=(),
        paths=PathSettings(),
        responses=ResponseSettings(),
        owned_headers=(),
    )


def _read_descriptors(config: OpaConfig) -> bytes | None:
    path = config.proto_descriptor
    if path is None:
        return None
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(f"proto-descriptor {path}: {error.strerror}: make it with protoc -o") from None
