"""Lines about answers, written away from the hot path.

The hot path appends to a bounded queue; formatting is done on the event loop in small portions, so that it never takes
the interpreter away from a decision for long, and writing in a thread. What does not fit the queue, or cannot be
written, is counted.
"""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import Final, Generic, TypeAlias, TypeVar

from extauthz.telemetry.sink import Sink

T = TypeVar("T")

CAPACITY: Final = 65_536
"""Entries that may wait to be formatted: some seconds at full load."""
INTERVAL_SECONDS: Final = 0.2
PORTION: Final = 64
"""Entries formatted in one go, which takes a fraction of a millisecond."""
BLOCK: Final = 4096
"""Lines written in one go: each block wakes the writing thread, which takes the interpreter for a moment."""
BLOCK_CHARACTERS: Final = 1024 * 1024
"""A block ends with the portion that reaches this, so that a file can be kept to a size."""
MAX_BLOCKS: Final = 8
"""Blocks that may wait to be written."""
FLUSH_SECONDS: Final = 2.0
"""How long an end waits for the last lines to be written."""
LOST_AT_THE_END: Final = "the last lines could not be written in time"

_Block: TypeAlias = list[str]
"""Lines that are written in one go."""


class LineLog(Generic[T]):
    """Takes entries, writes a line for each. `put` and `run` belong to one event loop."""

    def __init__(
        self,
        sink: Sink,
        write_line: Callable[[T], str],
        *,
        name: str,
        on_failure: Callable[[OSError], None],
        capacity: int | None = None,
        portion: int | None = None,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        """Take entries from now on.

        Args:
            sink: where the lines go; closed by `run`.
            write_line: the line of an entry, with its break; empty when there is nothing to say about it.
            name: of the writing thread.
            on_failure: told, in a thread, when writing fails, and not again until it succeeded in between; and at the
                end, when lines were left.
            capacity: entries that may wait to be formatted; by default CAPACITY.
            portion: entries formatted in one go; by default PORTION.
            interval_seconds: how long an entry may wait before anybody looks.
        """
        self._sink = sink
        self._write_line = write_line
        self._name = name
        self._on_failure = on_failure
        self._capacity = capacity or CAPACITY
        self._portion = portion or PORTION
        self._interval_seconds = interval_seconds
        self._queue: deque[T] = deque()
        self._blocks: SimpleQueue[_Block | None] = SimpleQueue()
        self._overflowed = 0
        self._unwritten = 0  # counted in the writing thread

    @property
    def dropped(self) -> int:
        """Entries lost since the start: they did not fit, or could not be written."""
        return self._overflowed + self._unwritten

    def put(self, entry: T) -> None:
        """Queue an entry. The hot path."""
        if len(self._queue) < self._capacity:
            self._queue.append(entry)
        else:
            self._overflowed += 1

    async def run(self) -> None:
        """Write lines until cancelled; then write what is left, as far as the sink takes it in time."""
        writer = threading.Thread(target=self._write_blocks, name=self._name, daemon=True)
        writer.start()
        try:
            while True:
                await asyncio.sleep(self._interval_seconds)
                while self._queue and self._blocks.qsize() < MAX_BLOCKS:
                    await self._put_block()
        finally:
            rest = self._lines(self._queue)
            for start in range(0, len(rest), BLOCK):
                self._blocks.put(rest[start : start + BLOCK])
            self._blocks.put(None)
            writer.join(FLUSH_SECONDS)
            if writer.is_alive():
                self._on_failure(OSError(errno.ETIMEDOUT, LOST_AT_THE_END))

    async def _put_block(self) -> None:
        """Have some of what is queued written; decisions go on in between."""
        lines: list[str] = []
        characters = 0
        try:
            while self._queue and len(lines) < BLOCK and characters < BLOCK_CHARACTERS:
                portion = self._lines(self._queue.popleft() for _ in range(min(self._portion, len(self._queue))))
                lines += portion
                characters += sum(map(len, portion))
                await asyncio.sleep(0)
        finally:  # the end may come in between
            self._blocks.put(lines)

    def _lines(self, entries: Iterable[T]) -> list[str]:
        return [line for entry in entries if (line := self._write_line(entry))]

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
