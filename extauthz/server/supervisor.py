"""The supervisor: keeps worker processes, and tells them what to decide by.

Each worker inherits the listening sockets, so that the system spreads connections over them and none is lost while one
is replaced. A policy set is prepared by all, or refused; then all commit to it. INVARIANT: a worker listens only under
the set in force, and `changing_to` returns only when every worker that listens decides by the new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from extauthz.authn.keyset import KeySetStanding
from extauthz.authn.provider import key_source_digest
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import Address
from extauthz.model.policy import PolicySet
from extauthz.model.provider import RemoteKeys
from extauthz.server.link import pack
from extauthz.server.messages import (
    Commit,
    Drain,
    Keys,
    Prepare,
    ReadTally,
    ReplaceCredentials,
    ReportNotReady,
    Start,
)
from extauthz.server.sockets import ListeningSocket
from extauthz.server.worker_process import ANSWER_SECONDS, EXIT_SECONDS, TALLY_SECONDS, Support, WorkerProcess
from extauthz.telemetry.tally import RouteLabels, Tally
from extauthz.tls import Credentials

_ALIVE_SECONDS: Final = 10.0
"""A worker that does not tell what it has counted for so long answers no calls either: it is killed and replaced."""

FIRST_PAUSE_SECONDS: Final = 0.1
LAST_PAUSE_SECONDS: Final = 10.0
STEADY_SECONDS: Final = 10.0
"""A worker that lived for that long is replaced at once; each that did not doubles the pause."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """A policy set, and what workers decide by, packed for them, which is done once."""

    policy_set: PolicySet
    packed: bytes

    @classmethod
    async def of(cls, policy_set: PolicySet, decides_by: object = None) -> Deployment:
        """Packed in a thread; `decides_by` is what deciders prepare, where that is not the set itself."""
        return cls(policy_set, await asyncio.to_thread(pack, policy_set if decides_by is None else decides_by))


class Supervisor:
    """Answers calls by worker processes; a `Transport`. For one event loop."""

    def __init__(
        self,
        sockets: Sequence[ListeningSocket],
        start: Start,
        deployment: Deployment,
        support: Support,
        *,
        count: int,
        monotonic: Callable[[], float],
    ) -> None:
        """Begin with this policy set.

        Args:
            sockets: where workers listen.
            start: what each is told first.
            deployment: what they decide by, until it is changed.
            support: what workers do not do themselves; its collectors are closed at the end.
            count: how many workers there are to be.
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
        self._support = support
        self._monotonic = monotonic
        self._workers: list[WorkerProcess] = []
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

    @property
    def _drain_seconds(self) -> float:
        """How long draining takes at most: h2corn lets calls outlast the timeout once more by as much."""
        return 2 * self._start.drain_timeout_seconds

    # --- As a transport --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep the workers until `stop`; returns when every call in flight is answered, or its time is over."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(self.count):
                tasks.create_task(self._keep_one())
            await self._stopping.wait()
            await self._drain()
        for collector in self._support.collectors:
            if collector is not None:
                await asyncio.to_thread(collector.close)

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
        before, self._start = self._start, replace(self._start, credentials=credentials)
        problems = await self._ask_all(self._serving_workers(), ReplaceCredentials(credentials))
        if problems:
            self._start = before
            raise ConfigurationError(problems[0])

    def stop(self) -> None:
        """Listen no more, and let what is in flight finish."""
        self._stopping.set()

    # --- Policy, keys, counts --------------------------------------------------------------------------------------

    @asynccontextmanager
    async def changing_to(self, policy_set: PolicySet, decides_by: object = None) -> AsyncIterator[None]:
        """Change over to another set around the block: within it all workers are prepared, after it all decide by it.

        Args:
            policy_set: whose keys they need.
            decides_by: as in `Deployment.of`.

        Raises:
            ConfigurationError: some worker cannot serve it; all go on as before.
        """
        deployment = await Deployment.of(policy_set, decides_by)
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
        total.decision_log_drops += self._support.collector.dropped if self._support.collector is not None else 0
        return total

    def _standings(self, policy_set: PolicySet, name: str | None = None) -> dict[bytes, KeySetStanding]:
        """How the remote key sets of a policy set stand, by source; or those of one provider."""
        return {
            key_source_digest(provider): self._support.key_sets.state_of(provider).standing()
            for provider in policy_set.providers
            if isinstance(provider.keys, RemoteKeys) and name in {None, provider.name}
        }

    def _serving_workers(self) -> list[WorkerProcess]:
        return [worker for worker in self._workers if worker.serves]

    async def _ask_all(self, workers: Iterable[WorkerProcess], message: Any) -> list[str]:
        """Call them all; what they object to. Those that have gone are being replaced."""
        # To answer a replacement of credentials takes as long as calls on the old connections do.
        seconds = ANSWER_SECONDS + self._drain_seconds
        answers = await asyncio.gather(*(worker.ask(message, seconds) for worker in workers))
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
            self._support.logger.error("worker_ended", how=ended, note="it is replaced", pause_seconds=pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._stopping.wait()

    async def _run_one(self) -> str:
        """A worker from its start to its end; how it ended."""
        try:
            worker = await WorkerProcess.spawn(self._sockets, self._support)
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
            self._retired.add(replace(worker.tally, waiting=0, engine_left_alone=0), self._routes)
            await worker.end()
        return worker.how_it_ended()

    async def _bring_up(self, worker: WorkerProcess) -> None:
        """Have a new worker decide by the set in force, and listen."""
        began = self._monotonic()
        start = self._start
        worker.link.tell(start)
        if not self._reports_ready:
            worker.link.tell(ReportNotReady())
        while not worker.serves:
            deployment = self._in_force
            problem = await worker.ask(Prepare(deployment.packed, self._standings(deployment.policy_set)))
            if problem is not None:
                self._support.logger.error("worker_unfit", problem=problem)
                worker.process.kill()
                return
            async with self._changing:
                if deployment is self._in_force:
                    await worker.ask(Commit())
                    worker.serves = True
        credentials = self._start.credentials
        if credentials is not None and credentials is not start.credentials:  # replaced meanwhile
            await worker.ask(ReplaceCredentials(credentials), ANSWER_SECONDS + self._drain_seconds)
        seconds = round(self._monotonic() - began, 3)
        self._support.logger.info(
            "worker_serves", worker=worker.process.pid, start_seconds=seconds, resident_mb=worker.resident_mb
        )
        if self.serving == self.count:
            self._settled.set()

    async def _watch(self, worker: WorkerProcess) -> None:
        while True:
            await asyncio.sleep(TALLY_SECONDS)
            if worker.serves:
                worker.tally = await worker.ask(ReadTally(), _ALIVE_SECONDS) or worker.tally

    # --- The end ---------------------------------------------------------------------------------------------------

    async def _drain(self) -> None:
        workers = list(self._workers)
        await self._ask_all(workers, Drain())
        for each in self._sockets:  # the workers have closed theirs
            each.close()
        await asyncio.gather(*(worker.end(self._drain_seconds + EXIT_SECONDS) for worker in workers))
