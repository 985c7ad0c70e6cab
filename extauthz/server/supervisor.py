"""The supervisor: keeps worker processes, and tells them what to decide by.

Each worker inherits the listening sockets, so that the system spreads connections over them and none is lost while one
is replaced. A policy set is prepared by all, or refused; then all commit to it. INVARIANT: a worker listens only under
the set in force, and `changing_to` returns only when every worker that listens decides by the new one.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.keyset import KeySetStanding
from extauthz.authn.provider import key_source_digest
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import Address
from extauthz.model.policy import PolicySet, RemoteKeys
from extauthz.server.link import Link, LinkClosedError, pack
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import (
    NO_LOG,
    Commit,
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
from extauthz.telemetry.logging import Logger
from extauthz.telemetry.tally import RouteLabels, Tally
from extauthz.tls import Credentials

_WORKER: Final = ("-P", "-m", "extauthz.server.worker")
"""-P: the folder we were started in is no place to import from."""

_ANSWER_SECONDS: Final = 60.0
"""A worker that has not prepared a set by then is killed and replaced; 10,000 routes take half a second."""
_TALLY_SECONDS: Final = 1.0
"""How often workers are asked what they have counted: what a killed one has counted since is lost."""
_ALIVE_SECONDS: Final = 10.0
"""A worker that does not answer that for so long answers no calls either: it is killed and replaced."""
_EXIT_SECONDS: Final = 5.0

FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 10.0
"""A worker that lived for that long is replaced at once; each that did not doubles the pause."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A policy set, and the same packed for workers, which is done once."""

    policy_set: PolicySet
    packed: bytes

    @classmethod
    async def of(cls, policy_set: PolicySet) -> Deployment:
        """Packed in a thread."""
        return cls(policy_set, await asyncio.to_thread(pack, policy_set))


class Supervisor:
    """Answers calls by worker processes; a `Transport`. For one event loop."""

    def __init__(  # noqa: PLR0913 - all that a worker does not do itself
        self,
        sockets: Sequence[ListeningSocket],
        start: Start,
        deployment: Deployment,
        *,
        count: int,
        key_sets: KeySets,
        fetch: Callable[[NeedKeySet], Awaitable[None]],
        collector: LogCollector | None,
        logger: Logger,
        monotonic: Callable[[], float],
    ) -> None:
        """Begin with this policy set.

        Args:
            sockets: where workers listen.
            start: what each is told first.
            deployment: what they decide by, until it is changed.
            count: how many workers there are to be.
            key_sets: what `fetch` fills; the sets' states must be held elsewhere.
            fetch: gets a missing key set; never raises.
            collector: takes the decision log, if there is one; closed at the end.
            logger: writes what workers have to say.
            monotonic: seconds of a clock that never jumps.
        """
        self.count = count
        self.restarts = 0
        """Workers that had to be replaced since the start."""
        self.addresses: tuple[Address, ...] = tuple(each.address for each in sockets)
        self._sockets = sockets
        self._start = start
        self._in_force = deployment
        self._candidate: Deployment | None = None
        self._changing = asyncio.Lock()
        self._key_sets = key_sets
        self._fetch = fetch
        self._collector = collector
        self._logger = logger
        self._monotonic = monotonic
        self._workers: list[_Worker] = []
        self._routes = RouteLabels()
        self._routes.name(route.name for route in deployment.policy_set.routes)
        self._retired = Tally()
        self._reports_ready = True
        self._settled = asyncio.Event()
        self._failure: EnvironmentUnfitError | None = None
        self._stopping = asyncio.Event()

    @property
    def serving(self) -> int:
        """How many workers answer calls now."""
        return sum(worker.serves for worker in self._workers)

    # --- As a transport --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the workers until `stop`; returns when every call in flight is answered, or its time is over."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.count):
                tasks.create_task(self._keep_one())
            await self._stopping.wait()
            await self._drain()
        if self._collector is not None:
            await asyncio.to_thread(self._collector.close)

    async def started(self) -> None:
        """Wait until all workers answer calls.

        Raises:
            EnvironmentUnfitError: one of them ended before it did.
        """
        await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    async def replace_credentials(self, credentials: Credentials) -> None:
        """Serve new connections with these.

        Raises:
            ConfigurationError: some worker cannot use them; it goes on with those before.
        """
        problems = await self._ask_all(self._serving_workers(), ReplaceCredentials(credentials))
        if problems:
            raise ConfigurationError(problems[0])
        self._start = replace(self._start, credentials=credentials)

    def stop(self) -> None:
        """Listen no more, and let what is in flight finish."""
        self._stopping.set()

    # --- Policy, keys, counts --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def changing_to(self, policy_set: PolicySet) -> AsyncIterator[None]:
        """Change over to another set around the block: within it all workers are prepared, after it all decide by it.

        Raises:
            ConfigurationError: some worker cannot serve it; all go on as before.
        """
        deployment = await Deployment.of(policy_set)
        async with self._changing:
            self._candidate = deployment
            try:
                prepare = Prepare(deployment.packed, self._standings(policy_set))
                problems = await self._ask_all(self._serving_workers(), prepare)
                if problems:
                    raise ConfigurationError(f"a worker process cannot serve this policy: {problems[0]}")
                yield
            finally:
                self._candidate = None
            self._in_force = deployment
            self._routes.name(route.name for route in policy_set.routes)
            await self._ask_all(self._serving_workers(), Commit())

    def announce_keys(self, provider_name: str) -> None:
        """Tell the workers how a provider's key set stands."""
        for deployment in (self._in_force, self._candidate):
            if deployment is not None:
                for source, standing in self._standings(deployment.policy_set, provider_name).items():
                    for worker in self._workers:
                        worker.link.tell(Keys(source, standing))

    def report_not_ready(self) -> None:
        """Health checks say from now on that no new calls should be sent; they are still answered."""
        self._reports_ready = False
        for worker in self._workers:
            worker.link.tell(ReportNotReady())

    async def refresh_tally(self) -> None:
        """Ask the workers what they have counted; those that do not answer in time have told it lately."""
        await asyncio.gather(*(worker.refresh_tally() for worker in self._serving_workers()))

    def read_tally(self) -> Tally:
        """What all workers have counted since the start, as last told."""
        total = Tally()
        for tally in (self._retired, *(worker.tally for worker in self._workers)):
            total.add(tally, self._routes)
        total.decision_log_drops += self._collector.dropped if self._collector is not None else 0
        return total

    def _standings(self, policy_set: PolicySet, name: str | None = None) -> dict[bytes, KeySetStanding]:
        """How the remote key sets of a policy set stand, by source; or those of one provider."""
        return {
            key_source_digest(provider): self._key_sets.state_of(provider).standing()
            for provider in policy_set.providers
            if isinstance(provider.keys, RemoteKeys) and name in {None, provider.name}
        }

    def _serving_workers(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker.serves]

    async def _ask_all(self, workers: Iterable[_Worker], message: Any) -> list[str]:
        """Call them all; what they object to. Those that have gone are being replaced."""
        answers = await asyncio.gather(*(worker.ask(message) for worker in workers))
        return [answer for answer in answers if answer is not None]

    # --- One worker after another ----------------------------------------------------------------------------------

    async def _keep_one(self) -> None:
        pause = 0.0
        while not self._stopping.is_set():
            began = self._monotonic()
            ended = await self._run_one()
            if self._stopping.is_set():
                return
            if not self._settled.is_set():
                self._failure = EnvironmentUnfitError(f"a worker process {ended} while it was starting")
                self._settled.set()
                self._stopping.set()
                return
            self.restarts += 1
            is_steady = self._monotonic() - began >= STEADY_SECONDS
            pause = 0.0 if is_steady else min(max(FIRST_PAUSE_SECONDS, 2 * pause), LAST_PAUSE_SECONDS)
            self._logger.error("worker_ended", how=ended, note="it is replaced", pause_seconds=pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _run_one(self) -> str:
        """A worker from its start to its end; how it ended."""
        try:
            worker = await self._spawn()
        except OSError as error:
            return f"could not be started: {error.strerror}"
        self._workers.append(worker)
        try:
            async with asyncio.TaskGroup() as tasks:
                caring = [tasks.create_task(self._bring_up(worker)), tasks.create_task(self._watch(worker))]
                await worker.link.run(worker)
                for each in caring:
                    each.cancel()
        finally:
            worker.link.close()
            self._workers.remove(worker)
            self._retired.add(replace(worker.tally, waiting=0), self._routes)
            await worker.end()
        return worker.how_it_ended()

    async def _spawn(self) -> _Worker:
        ours, theirs = socket.socketpair()
        log_read, log_write = os.pipe() if self._collector is not None else (NO_LOG, NO_LOG)
        listening = [each.descriptor for each in self._sockets]
        descriptors = [theirs.fileno(), log_write, *listening]
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *_WORKER,
                *map(str, descriptors),
                stdin=DEVNULL,
                stdout=DEVNULL,
                pass_fds=[each for each in descriptors if each != NO_LOG],
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        except BaseException:
            ours.close()
            if log_read != NO_LOG:
                os.close(log_read)
            raise
        finally:
            theirs.close()
            if log_write != NO_LOG:
                os.close(log_write)
        if self._collector is not None:
            self._collector.collect(log_read)
        return _Worker(process, await Link.over(ours), self._key_sets, self._fetch, self._logger)

    async def _bring_up(self, worker: _Worker) -> None:
        """Have a new worker decide by the set in force, and listen."""
        worker.link.tell(self._start)
        if not self._reports_ready:
            worker.link.tell(ReportNotReady())
        while not worker.serves:
            deployment = self._in_force
            problem = await worker.ask(Prepare(deployment.packed, self._standings(deployment.policy_set)))
            if problem is not None:
                self._logger.error("worker_unfit", problem=problem)
                worker.process.kill()
                return
            async with self._changing:
                if deployment is self._in_force:
                    await worker.ask(Commit())
                    worker.serves = True
        if self.serving == self.count:
            self._settled.set()

    async def _watch(self, worker: _Worker) -> None:
        while True:
            await asyncio.sleep(_TALLY_SECONDS)
            if worker.serves:
                worker.tally = await worker.ask(ReadTally(), _ALIVE_SECONDS) or worker.tally

    # --- The end ---------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        workers = list(self._workers)
        await self._ask_all(workers, Drain())
        for each in self._sockets:  # the workers have closed theirs
            each.close()
        # h2corn lets calls outlast the timeout once more by as much.
        seconds = 2 * self._start.drain_timeout_seconds + _EXIT_SECONDS
        await asyncio.gather(*(worker.end(seconds) for worker in workers))


class _Worker:
    """A worker process, seen from here; a `LinkHandler`."""

    def __init__(
        self,
        process: Process,
        link: Link,
        key_sets: KeySets,
        fetch: Callable[[NeedKeySet], Awaitable[None]],
        logger: Logger,
    ) -> None:
        self.process = process
        self.link = link
        self.serves = False
        """Whether it has committed, and so listens."""
        self.tally = Tally()
        self._key_sets = key_sets
        self._fetch = fetch
        self._logger = logger

    def told(self, message: Any) -> None:
        """As `LinkHandler` says."""
        match message:
            case Tally():
                self.tally = message
            case LogEvent(level, name, values):
                getattr(self._logger, level)(name, worker=self.process.pid, **values)
            case _:
                raise TypeError(f"not told: {type(message).__name__}")

    async def called(self, message: Any) -> None:
        """As `LinkHandler` says: fetch a key set, and tell how it stands before the answer."""
        match message:
            case NeedKeySet(provider):
                await self._fetch(message)
                standing = self._key_sets.state_of(provider).standing()
                self.link.tell(Keys(key_source_digest(provider), standing))
            case _:
                raise TypeError(f"not called: {type(message).__name__}")

    async def ask(self, message: Any, seconds: float = _ANSWER_SECONDS) -> Any:
        """The answer; None when it has gone. One that does not answer in time is killed."""
        try:
            async with asyncio.timeout(seconds):
                return await self.link.call(message)
        except LinkClosedError:
            return None
        except TimeoutError:
            pass
        self._logger.error("worker_hangs", worker=self.process.pid, asked=type(message).__name__)
        await self.end(0)
        return None

    async def refresh_tally(self) -> None:
        """Ask what it has counted."""
        with suppress(LinkClosedError, TimeoutError):
            async with asyncio.timeout(_TALLY_SECONDS):
                self.tally = await self.link.call(ReadTally())

    async def end(self, seconds: float = _EXIT_SECONDS) -> None:
        """Wait for its end, and then do not wait any more."""
        self.serves = False
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.process.wait()
        finally:
            if self.process.returncode is None:
                self.process.kill()
                await self.process.wait()

    def how_it_ended(self) -> str:
        """For the log."""
        status = self.process.returncode
        assert status is not None  # noqa: S101 - after its end
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"
