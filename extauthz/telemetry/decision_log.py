"""The decision log: one JSON line an answer, written away from the hot path.

A line says what was decided, by which rules and how long it took. It never holds a path, a query, a header, a token or
a body; the subject is written as the operator chose. The hot path appends one tuple to a bounded queue; formatting is
done on the event loop in small portions, so that it never takes the interpreter away from a decision for long, and
writing in a thread. What does not fit the queue, or cannot be written, is counted.
"""

from __future__ import annotations

import asyncio
import errno
import hmac
import json
import random
import threading
from collections import deque
from collections.abc import Callable
from enum import StrEnum
from functools import lru_cache
from queue import SimpleQueue
from typing import Final, NamedTuple, TypeAlias

from extauthz.check.answer import Answer
from extauthz.check.response import ANSWERS
from extauthz.model.decision import Decision, Effect, PolicyId, Reason
from extauthz.telemetry.sink import Sink
from extauthz.telemetry.timestamp import rfc3339

CAPACITY: Final = 65_536
"""Records that may wait to be formatted: some seconds at full load."""
INTERVAL_SECONDS: Final = 0.2
PORTION: Final = 64
"""Records formatted in one go, which takes a fraction of a millisecond."""
BLOCK: Final = 4096
"""Records written in one go: each block wakes the writing thread, which takes the interpreter for a moment."""
BLOCK_CHARACTERS: Final = 1024 * 1024
"""A block ends with the portion that reaches this, so that a file can be kept to a size."""
MAX_BLOCKS: Final = 8
"""Blocks that may wait to be written."""
FLUSH_SECONDS: Final = 2.0
"""How long an end waits for the last lines to be written."""
LOST_AT_THE_END: Final = "the last lines could not be written in time"


class SubjectForm(StrEnum):
    """How a line names the caller."""

    PLAIN = "plain"
    HMAC = "hmac"
    """HMAC-SHA-256 over provider and subject: the same caller has the same pseudonym under the same key."""
    OFF = "off"


class Sampling(NamedTuple):
    """Which part of the answers is logged, by effect: 1 is every one. Could-not-decide is a denial."""

    allow: float
    deny: float


EVERY_ANSWER: Final = Sampling(1.0, 1.0)


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
        sampling: Sampling = EVERY_ANSWER,
    ) -> None:
        """Take answers from now on.

        Args:
            sink: where the lines go; closed by `run`.
            subject: how the caller is named.
            key: of the pseudonyms, for `SubjectForm.HMAC`.
            clock: seconds since the epoch.
            on_failure: told, in a thread, when writing fails, and not again until it succeeded in between; and at the
                end, when lines were left.
            sampling: which answers are logged.
        """
        self._sink = sink
        self._subject = subject
        self._key = key
        self._clock = clock
        self._on_failure = on_failure
        self._sampling = sampling
        self._left_out = 0
        self._queue: deque[_Record] = deque()
        self._blocks: SimpleQueue[_Block | None] = SimpleQueue()
        self._overflowed = 0
        self._unwritten = 0  # counted in the writing thread

    @property
    def dropped(self) -> int:
        """Records lost since the start: they did not fit, or could not be written."""
        return self._overflowed + self._unwritten

    @property
    def left_out(self) -> int:
        """Answers that sampling left out since the start."""
        return self._left_out

    def record(self, answer: Answer, revision: str, seconds: float) -> None:
        """Queue one answer given under the policy set of this revision. The hot path."""
        rate = self._rate(answer.decision.effect)
        if rate < 1 and random.random() >= rate:  # noqa: S311 - chance decides what is logged, nothing else
            self._left_out += 1
        elif len(self._queue) < CAPACITY:
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
            rest = [self._format(record) for record in self._queue]
            for start in range(0, len(rest), BLOCK):
                self._blocks.put(rest[start : start + BLOCK])
            self._blocks.put(None)
            writer.join(FLUSH_SECONDS)
            if writer.is_alive():
                self._on_failure(OSError(errno.ETIMEDOUT, LOST_AT_THE_END))

    async def _next_block(self) -> _Block:
        """Format some of what is queued; decisions go on in between."""
        lines: list[str] = []
        characters = 0
        while self._queue and len(lines) < BLOCK and characters < BLOCK_CHARACTERS:
            portion = [self._format(self._queue.popleft()) for _ in range(min(PORTION, len(self._queue)))]
            lines += portion
            characters += sum(map(len, portion))
            await asyncio.sleep(0)
        return lines

    def _rate(self, effect: Effect) -> float:
        return self._sampling.allow if effect is Effect.ALLOW else self._sampling.deny

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
                self._rate(decision.effect),
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


SCHEMA_VERSION: Final = 1
"""Raised when a member is removed or changes its meaning; new members may come without."""

_LINE: Final = f'{{"version":{SCHEMA_VERSION},' + '"time":"%s","decision_id":"%s",%s,"subject":%s,"duration_us":%.0f}\n'


@lru_cache(maxsize=4096)
def _format_shape(  # noqa: PLR0917 - lru_cache keys by position
    effect: Effect,
    reason: Reason,
    route: str | None,
    policies: tuple[PolicyId, ...],
    errors: tuple[PolicyId, ...],
    revision: str,
    provider: str | None,
    sample_rate: float,
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
        "sample_rate": sample_rate,
    }
    return json.dumps(members, separators=(",", ":"))[1:-1]
