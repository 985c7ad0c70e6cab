"""The decision log: one JSON line an answer, written away from the hot path.

A line says what was decided, by which rules and how long it took. It never holds a path, a query, a header, a token or
a body; the subject is written as the operator chose. The hot path appends one tuple to a bounded queue; formatting is
done on the event loop in small portions, so that it never takes the interpreter away from a decision for long, and
writing in a thread. What does not fit the queue, or cannot be written, is counted.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Final, NamedTuple, Protocol, TypeAlias

from extauthz.check.answer import Answer
from extauthz.check.response import ANSWERS
from extauthz.model.decision import Decision, Effect, PolicyId, Reason
from extauthz.telemetry.timestamp import rfc3339

CAPACITY: Final = 65_536
"""Records that may wait to be formatted: some seconds at full load."""
INTERVAL_SECONDS: Final = 0.2
PORTION: Final = 64
"""Records formatted in one go, which takes a fraction of a millisecond."""
BLOCK: Final = 4096
"""Records written in one go: each block wakes the writing thread, which takes the interpreter for a moment."""
MAX_BLOCKS: Final = 8
"""Blocks that may wait to be written."""
FLUSH_SECONDS: Final = 2.0
"""How long an end waits for the last lines to be written."""


class SubjectForm(StrEnum):
    """How a line names the caller."""

    PLAIN = "plain"
    HMAC = "hmac"
    """HMAC-SHA-256 over provider and subject: the same caller has the same pseudonym under the same key."""
    OFF = "off"


class Sink(Protocol):
    """Where lines go. Called in a thread, one call at a time."""

    def write(self, data: bytes) -> None:
        """Write everything, or raise OSError."""

    def close(self) -> None: ...


class DescriptorSink:
    """An open file descriptor that is not ours to close: standard output."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        write_all(self._descriptor, data)

    def close(self) -> None:
        pass


class FileSink:
    """A file that is appended to; when it was rotated away, the one of that name is opened anew."""

    def __init__(self, path: str) -> None:
        """Open it, readable for its owner and group.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._descriptor = self._open()

    def write(self, data: bytes) -> None:
        if not self._is_current():
            fresh = self._open()
            os.close(self._descriptor)
            self._descriptor = fresh
        write_all(self._descriptor, data)

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)

    def _is_current(self) -> bool:
        try:
            named = Path(self._path).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(self._descriptor))


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor that may take only a part at once (a pipe)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


class _Record(NamedTuple):
    at: float
    decision_id: str
    decision: Decision
    revision: str
    seconds: float


_Block: TypeAlias = list[str]
"""Lines that are written in one go."""


class DecisionLog:
    """Takes answers, writes lines. `record` and `run` belong to one event loop."""

    def __init__(
        self,
        sink: Sink,
        *,
        subject: SubjectForm,
        key: bytes,
        clock: Callable[[], float],
        on_failure: Callable[[OSError], None],
    ) -> None:
        """Take answers from now on.

        Args:
            sink: where the lines go; closed by `run`.
            subject: how the caller is named.
            key: of the pseudonyms, for `SubjectForm.HMAC`.
            clock: seconds since the epoch.
            on_failure: told, in a thread, when writing fails, and not again until it succeeded in between.
        """
        self._sink = sink
        self._subject = subject
        self._key = key
        self._clock = clock
        self._on_failure = on_failure
        self._queue: deque[_Record] = deque()
        self._blocks: SimpleQueue[_Block | None] = SimpleQueue()
        self._overflowed = 0
        self._unwritten = 0  # counted in the writing thread

    @property
    def dropped(self) -> int:
        """Records lost since the start: they did not fit, or could not be written."""
        return self._overflowed + self._unwritten

    def record(self, answer: Answer, revision: str, seconds: float) -> None:
        """Queue one answer given under the policy set of this revision. The hot path."""
        if len(self._queue) < CAPACITY:
            self._queue.append(_Record(self._clock(), answer.decision_id, answer.decision, revision, seconds))
        else:
            self._overflowed += 1

    async def run(self) -> None:
        """Write lines until cancelled; then write what is left, as far as the sink takes it in time."""
        writer = threading.Thread(target=self._write_blocks, name="decision-log", daemon=True)
        writer.start()
        try:
            while True:
                await asyncio.sleep(INTERVAL_SECONDS)
                while self._queue and self._blocks.qsize() < MAX_BLOCKS:
                    self._blocks.put(await self._next_block())
        finally:
            self._blocks.put([self._format(record) for record in self._queue])
            self._blocks.put(None)
            writer.join(FLUSH_SECONDS)

    async def _next_block(self) -> _Block:
        """Format some of what is queued; decisions go on in between."""
        lines: list[str] = []
        while self._queue and len(lines) < BLOCK:
            lines += [self._format(self._queue.popleft()) for _ in range(min(PORTION, len(self._queue)))]
            await asyncio.sleep(0)
        return lines

    def _format(self, record: _Record) -> str:
        decision = record.decision
        return _LINE % (
            rfc3339(record.at),
            record.decision_id,
            _format_shape(
                decision.effect,
                decision.reason,
                decision.route,
                decision.policies,
                decision.errors,
                record.revision,
                decision.provider,
            ),
            self._name_subject(decision),
            record.seconds * 1e6,
        )

    def _name_subject(self, decision: Decision) -> str:
        """The subject as JSON."""
        if decision.subject is None or self._subject is SubjectForm.OFF:
            return "null"
        if self._subject is SubjectForm.PLAIN:
            return json.dumps(decision.subject)
        # The separator cannot occur in a provider's name, so no two callers share a text.
        identity = f"{decision.provider}\0{decision.subject}".encode("utf-8", "surrogatepass")
        return f'"{hmac.digest(self._key, identity, "sha256").hex()}"'

    # --- In the writing thread -------------------------------------------------------------------------------------

    def _write_blocks(self) -> None:
        is_failing = False
        while (block := self._blocks.get()) is not None:
            try:
                self._sink.write("".join(block).encode())
                is_failing = False
            except OSError as error:
                self._unwritten += len(block)
                if not is_failing:
                    self._on_failure(error)
                is_failing = True
        self._sink.close()


_LINE: Final = '{"version":1,"time":"%s","decision_id":"%s",%s,"subject":%s,"duration_us":%.0f}\n'


@lru_cache(maxsize=4096)
def _format_shape(  # noqa: PLR0917 - lru_cache keys by position
    effect: Effect,
    reason: Reason,
    route: str | None,
    policies: tuple[PolicyId, ...],
    errors: tuple[PolicyId, ...],
    revision: str,
    provider: str | None,
) -> str:
    """The members that many lines share, without braces."""
    members = {
        "effect": str(effect),
        "reason": str(reason),
        "status": ANSWERS[reason].status,
        "route": route,
        "policies": policies,
        "errors": errors,
        "revision": revision,
        "provider": provider,
    }
    return json.dumps(members, separators=(",", ":"))[1:-1]
