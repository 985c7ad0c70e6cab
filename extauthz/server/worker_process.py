"""A worker process as its supervisor sees it: started, asked, and ended."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.provider import key_source_digest
from extauthz.server.link import Link, LinkClosedError
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import NO_LOG, Keys, LogEvent, ReadTally
from extauthz.server.sockets import ListeningSocket
from extauthz.telemetry.logging import Logger
from extauthz.telemetry.tally import Tally

ANSWER_SECONDS: Final = 60.0
"""A worker that has not prepared a set by then is killed and replaced; 10,000 routes take half a second."""
TALLY_SECONDS: Final = 1.0
"""How often workers are asked what they have counted: what a killed one has counted since is lost."""
EXIT_SECONDS: Final = 5.0

_WORKER: Final = ("-P", "-m", "extauthz.server.worker")
"""-P: the folder we were started in is no place to import from."""


@dataclass(frozen=True, slots=True)
class Support:
    """What workers do not do themselves."""

    key_sets: KeySets
    """What `fetch` fills; the states of the sets must be held elsewhere."""
    fetch: Callable[[NeedKeySet], Awaitable[None]]
    """Gets a missing key set; never raises."""
    collector: LogCollector | None
    """Takes the decision log, if there is one."""
    logger: Logger
    """Writes what workers have to say."""
    records: LogCollector | None = None
    """Takes the records of decisions, if there are any."""

    @property
    def collectors(self) -> tuple[LogCollector | None, LogCollector | None]:
        """In the order of a worker's descriptors."""
        return self.collector, self.records


class WorkerProcess:
    """A worker process, seen from outside; a `LinkHandler`."""

    def __init__(self, process: Process, link: Link, support: Support) -> None:
        self.process = process
        self.link = link
        self.serves = False
        """Whether it has committed, and so listens."""
        self.tally = Tally()
        self._support = support

    @classmethod
    async def spawn(cls, sockets: Sequence[ListeningSocket], support: Support) -> WorkerProcess:
        """Start one that inherits these sockets; it waits to be told what to do.

        Raises:
            OSError: the system does not let us.
        """
        ours, theirs = socket.socketpair()
        pipes = [os.pipe() if collector is not None else (NO_LOG, NO_LOG) for collector in support.collectors]
        written = [write for _, write in pipes]
        descriptors = [theirs.fileno(), *written, *(each.descriptor for each in sockets)]
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
            _close(read for read, _ in pipes)
            raise
        finally:
            theirs.close()
            _close(written)
        for collector, (read, _) in zip(support.collectors, pipes, strict=True):
            if collector is not None:
                collector.collect(read)
        return cls(process, await Link.over(ours), support)

    def told(self, message: Any) -> None:
        """As `LinkHandler` says."""
        match message:
            case Tally():
                self.tally = message
            case LogEvent(level, name, values):
                getattr(self._support.logger, level)(name, worker=self.process.pid, **values)
            case _:
                raise TypeError(f"not told: {type(message).__name__}")

    async def called(self, message: Any) -> None:
        """As `LinkHandler` says: fetch a key set, and tell how it stands before the answer."""
        match message:
            case NeedKeySet(provider):
                await self._support.fetch(message)
                standing = self._support.key_sets.state_of(provider).standing()
                self.link.tell(Keys(key_source_digest(provider), standing))
            case _:
                raise TypeError(f"not called: {type(message).__name__}")

    async def ask(self, message: Any, seconds: float = ANSWER_SECONDS) -> Any:
        """The answer; None when it has gone. One that does not answer in time is killed."""
        try:
            async with asyncio.timeout(seconds):
                return await self.link.call(message)
        except LinkClosedError:
            return None
        except TimeoutError:
            pass
        self._support.logger.error("worker_hangs", worker=self.process.pid, asked=type(message).__name__)
        await self.end(0)
        return None

    async def refresh_tally(self) -> None:
        """Ask what it has counted."""
        with suppress(LinkClosedError, TimeoutError):
            async with asyncio.timeout(TALLY_SECONDS):
                self.tally = await self.link.call(ReadTally())

    async def end(self, seconds: float = EXIT_SECONDS) -> None:
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

    @property
    def resident_mb(self) -> float | None:
        """Its memory, in MB; None where the system does not tell (it does as Linux's proc(5) says), or it has gone."""
        try:
            pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        except OSError:
            return None
        return round(int(pages) * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)

    def how_it_ended(self) -> str:
        """For the log."""
        status = self.process.returncode
        assert status is not None  # noqa: S101 - after its end
        return f"was ended by signal {-status}" if status < 0 else f"ended with status {status}"


def _close(descriptors: Iterable[int]) -> None:
    for descriptor in descriptors:
        if descriptor != NO_LOG:
            os.close(descriptor)
