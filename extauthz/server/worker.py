"""A worker process: answers calls on descriptors that it inherited, and does nothing else.

`python -m extauthz.server.worker LINK LOG RECORDS SOCKET...`, started by `extauthz.server.supervisor` alone; the
arguments are descriptors, LOG and RECORDS are NO_LOG where nothing is logged or recorded. It imports what answering
takes, and neither parser, fetcher, watcher nor private listener: policy and keys arrive over the link, needs and counts
leave by it, lines by pipes.

INVARIANT: without its supervisor a worker ends at once: nobody would tell it of a policy that changed or a key that
was withdrawn. Signals are the supervisor's: a terminal and an init system send theirs to all processes of a service.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvloop

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.keyset import KeySetStanding, KeySetState
from extauthz.errors import ConfigurationError
from extauthz.lowering.address import Address
from extauthz.model.engine import OpaEngine
from extauthz.server.check_method import CHECK_PATH
from extauthz.server.decider import Decider, DeciderSettings, Engine
from extauthz.server.h2corn_transport import H2cornTransport
from extauthz.server.health import Health
from extauthz.server.link import Link, LinkClosedError, unpack
from extauthz.server.messages import (
    Commit,
    DecisionLogSettings,
    Drain,
    Keys,
    LogEvent,
    Prepare,
    ReadTally,
    ReplaceCredentials,
    ReportNotReady,
    Start,
)
from extauthz.server.sockets import ListeningSocket
from extauthz.telemetry.decision_log import DecisionLog
from extauthz.telemetry.failures import EngineReporter, FailureReporter
from extauthz.telemetry.sink import DescriptorSink
from extauthz.telemetry.tracing import open_tracer, report_trouble

if TYPE_CHECKING:
    from extauthz.server.opa_decider import OpaDecider


class Worker:
    """What the supervisor says, done."""

    def __init__(
        self,
        link: Link,
        log_descriptors: tuple[int, int],
        descriptors: Sequence[int],
        *,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        self._link = link
        self._log_descriptor, self._record_descriptor = log_descriptors
        self._descriptors = descriptors
        self._clock = clock
        self._monotonic = monotonic
        self._logger = ForwardingLogger(link)
        self._key_sets = KeySets()
        self._remote: dict[bytes, KeySetState] = {}
        self._prepared: tuple[Any, frozenset[bytes]] | None = None
        self._is_serving = False
        self._is_ready = False
        self._is_draining = False
        self._health = Health(lambda: self._is_ready)
        self._drained = asyncio.Event()

    async def run(self) -> None:
        """Serve until told to drain; never returns when the supervisor goes."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            following = tasks.create_task(self._follow())
            await self._drained.wait()
            for writing in self._writing:
                writing.cancel()
            if self._writing:
                await asyncio.wait(self._writing)
            self._report_lost_records()
            if self._decider.tracer is not None:
                self._decider.tracer.close()
            self._link.tell(self._decider.read_tally())
            await self._link.finish()
            await following  # the supervisor has heard it all, and closes

    async def _follow(self) -> None:
        await self._link.run(self)
        if not self._drained.is_set():
            os._exit(0)

    # --- What the supervisor says ----------------------------------------------------------------------------------

    def told(self, message: Any) -> None:
        """As `LinkHandler` says."""
        match message:
            case Start():
                self._start(message)
            case Keys(source, standing):
                self._adopt(source, standing)
            case ReportNotReady():
                self._report_not_ready()
            case _:
                raise TypeError(f"not told: {type(message).__name__}")

    async def called(self, message: Any) -> Any:
        """As `LinkHandler` says."""
        match message:
            case Prepare():
                return await self._prepare(message)
            case Commit():
                return await self._commit()
            case ReplaceCredentials(credentials):
                return await self._replace_credentials(credentials)
            case ReadTally():
                return self._decider.read_tally()
            case Drain():
                return self._drain()
            case _:
                raise TypeError(f"not called: {type(message).__name__}")

    def _start(self, start: Start) -> None:
        self._loop = asyncio.get_running_loop()
        self._decider = self._open_decider(start)
        recorder = self._decider.recorder if isinstance(self._decider, Decider) else None
        self._writing = [self._tasks.create_task(log.run()) for log in (self._decider.log, recorder) if log is not None]
        if start.traces and isinstance(self._decider, Decider):
            self._decider.tracer = open_tracer(clock=self._clock, on_trouble=self._traces_troubled)
        sockets = [
            InheritedSocket(descriptor, address)
            for descriptor, address in zip(self._descriptors, start.addresses, strict=True)
        ]
        self._transport = H2cornTransport(
            {CHECK_PATH: self._decider.check, **self._health.methods},
            sockets,
            drain_timeout_seconds=start.drain_timeout_seconds,
            credentials=start.credentials,
        )

    def _open_decider(self, start: Start) -> Decider | OpaDecider:
        """With its log, if there is one."""
        sink, report = DescriptorSink(self._log_descriptor), FailureReporter(self._logger)
        if not isinstance(start.decider, DeciderSettings):
            from extauthz.server.opa_decider import open_opa_decider  # noqa: PLC0415 - Rego, which most do without

            form: Any = start.decision_log  # of the kind that fits the decider
            return open_opa_decider(
                start.decider,
                None if form is None else (sink, form),
                key_sets=self._key_sets,
                fetch=self._fetch,
                logger=self._logger,
                on_log_failed=self._log_failed,
                clock_ns=lambda: int(self._clock() * 1e9),
                monotonic=self._monotonic,
            )
        decider = Decider(
            start.decider,
            key_sets=self._key_sets,
            fetch=self._fetch,
            on_failure=report,
            clock=self._clock,
            monotonic=self._monotonic,
            engine=self._open_engine(start.engine),
        )
        if isinstance(start.decision_log, DecisionLogSettings):
            decider.log = DecisionLog(
                sink,
                subject=start.decision_log.subject,
                key=start.decision_log.key,
                clock=self._clock,
                on_failure=self._log_failed,
                sampling=start.decision_log.sampling,
            )
        if start.records:
            from extauthz.telemetry.recorder import Recorder  # noqa: PLC0415 - most services record nothing

            decider.recorder = Recorder(
                DescriptorSink(self._record_descriptor),
                clock=self._clock,
                on_failure=self._recording_failed,
                on_unwritable=report,
            )
        return decider

    def _open_engine(self, engine: OpaEngine | None) -> Engine | None:
        if engine is None:
            return None
        from extauthz.sources.opa import RemoteOpa  # noqa: PLC0415 - most services have none, and start sooner without

        report = EngineReporter(self._logger)
        return RemoteOpa(engine, on_trouble=report.trouble, on_recovery=report.recovery, monotonic=self._monotonic)

    async def _prepare(self, message: Prepare) -> str | None:
        for source, standing in message.keys.items():
            self._adopt(source, standing)
        try:
            snapshot = await asyncio.to_thread(self._compile, message.policy_set)
        except Exception as error:  # noqa: BLE001 - whatever it is, this set cannot be served and the last one can
            return f"{type(error).__name__}: {error}"
        self._prepared = snapshot, frozenset(message.keys)
        return None

    def _compile(self, policy_set: bytes) -> Any:
        # All of it stays, and none of it is cyclic: collecting meanwhile would only hold up requests.
        gc.disable()
        try:
            return self._decider.prepare(unpack(policy_set))
        finally:
            gc.enable()

    async def _commit(self) -> None:
        assert self._prepared is not None  # noqa: S101 - the supervisor prepares first
        snapshot, sources = self._prepared
        self._prepared = None
        self._decider.put_into_force(snapshot)
        self._remote = {source: state for source, state in self._remote.items() if source in sources}
        if not self._is_serving:
            self._is_serving = True
            self._tasks.create_task(self._serve())
            await self._transport.started()
            self._is_ready = not self._is_draining
            self._health.announce()

    async def _serve(self) -> None:
        try:
            await self._transport.run()
        except RuntimeError as error:  # calls outlasted the drain
            if not self._is_draining:
                raise
            self._logger.warning("drain_incomplete", problem=str(error))
        self._drained.set()

    async def _replace_credentials(self, credentials: Any) -> str | None:
        try:
            await self._transport.replace_credentials(credentials)
        except ConfigurationError as error:
            return str(error)
        except RuntimeError as error:  # calls on old connections outlasted the drain; the new ones are in force
            self._logger.warning("drain_incomplete", problem=str(error))
        return None

    def _report_not_ready(self) -> None:
        self._is_ready = False
        self._is_draining = True
        self._health.announce()

    def _drain(self) -> None:
        self._report_not_ready()
        self._transport.stop()
        if not self._is_serving:
            self._drained.set()

    # --- Keys ------------------------------------------------------------------------------------------------------

    def _adopt(self, source: bytes, standing: KeySetStanding) -> None:
        state = self._remote[source] = self._key_sets.remote_state(source)
        state.adopt(standing)

    async def _fetch(self, need: NeedKeySet) -> None:
        """Have the supervisor fetch; the keys are told before this returns."""
        with suppress(LinkClosedError):
            await self._link.call(need)

    def _log_failed(self, error: OSError) -> None:
        """In the log's thread."""
        self._loop.call_soon_threadsafe(
            lambda: self._logger.error("decision_log_failed", problem=error.strerror or str(error))
        )

    def _recording_failed(self, error: OSError) -> None:
        """In the recorder's thread."""
        self._loop.call_soon_threadsafe(
            lambda: self._logger.error("recording_failed", problem=error.strerror or str(error))
        )

    def _report_lost_records(self) -> None:
        recorder = self._decider.recorder if isinstance(self._decider, Decider) else None
        if recorder is not None and recorder.dropped:
            self._logger.warning("records_lost", number=str(recorder.dropped))

    def _traces_troubled(self, problem: str) -> None:
        """In OpenTelemetry's thread."""
        self._loop.call_soon_threadsafe(report_trouble, self._logger, problem)


class InheritedSocket(ListeningSocket):
    """A socket that other processes listen at, too: closing it here leaves it to them."""

    def __init__(self, descriptor: int, address: Address) -> None:
        super().__init__(socket.socket(fileno=descriptor), address)

    def close(self) -> None:
        """Listen no more in this process."""
        self._socket.close()


class ForwardingLogger:
    """Passes events on to the supervisor, which writes them. Without structlog, whose import takes a fifth of ours."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def warning(self, event: str, **values: str) -> None:
        """An event that somebody should look at."""
        self._link.tell(LogEvent("warning", event, values))

    def error(self, event: str, *, exc_info: Exception | None = None, **values: str) -> None:
        """An event that somebody has to look at."""
        if exc_info is not None:
            values["exception"] = "".join(traceback.format_exception(exc_info)).rstrip()
        self._link.tell(LogEvent("error", event, values))


async def run_worker(
    link_descriptor: int,
    log_descriptors: tuple[int, int],
    descriptors: Sequence[int],
    *,
    clock: Callable[[], float],
    monotonic: Callable[[], float],
) -> int:
    """Be a worker; returns the exit code."""
    link = await Link.over(socket.socket(fileno=link_descriptor))
    worker = Worker(link, log_descriptors, descriptors, clock=clock, monotonic=monotonic)
    try:
        await worker.run()
    except Exception as error:  # noqa: BLE001 - told to the supervisor, which logs it and starts another
        ForwardingLogger(link).error("worker_failed", exc_info=error)
        await link.finish()
        return 1
    return 0


def main() -> None:
    """The process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    link, log, records, *descriptors = map(int, sys.argv[1:])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        clock = time.time  # noqa: TID251 - the composition root of this process
        code = runner.run(run_worker(link, (log, records), descriptors, clock=clock, monotonic=time.perf_counter))
    sys.exit(code)


if __name__ == "__main__":
    main()
