"""Decision-log lines of several processes, brought together: each writes to a pipe, one process to the sink.

A file with one writer can be rotated, and never has a line within a line. A slow sink fills the pipes, then the
queues of the processes, which count what they drop.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from extauthz.telemetry.line_log import FLUSH_SECONDS, LOST_AT_THE_END
from extauthz.telemetry.sink import Sink

_READ_BYTES: Final = 1024 * 1024


class LogCollector:
    """Writes what it reads to the sink, whole lines only."""

    def __init__(self, sink: Sink, *, on_failure: Callable[[OSError], None]) -> None:
        """Write to the sink, which is closed by `close`.

        Args:
            sink: where the lines go.
            on_failure: told, in a thread, when writing fails, and not again until it succeeded in between; and at the
                end, when lines were left.
        """
        self._sink = sink
        self._on_failure = on_failure
        self._is_failing = False
        self._turn = threading.Lock()
        self._threads: list[threading.Thread] = []
        self.dropped = 0
        """Lines lost since the start: they could not be written, or their process was killed in the middle."""

    def collect(self, descriptor: int) -> None:
        """Read from a pipe, in a thread, until its other end is closed; the descriptor is ours from now on."""
        thread = threading.Thread(target=self._read, args=(descriptor,), name="decision-log", daemon=True)
        self._threads = [each for each in self._threads if each.is_alive()]
        self._threads.append(thread)
        thread.start()

    def close(self) -> None:
        """Wait a while until what the processes have written is in the sink, and close it. They have ended by now."""
        deadline = time.monotonic() + FLUSH_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if self._turn.acquire(blocking=False):  # else somebody is still writing to it
            self._sink.close()
            self._turn.release()
        if any(thread.is_alive() for thread in self._threads):
            self._on_failure(OSError(errno.ETIMEDOUT, LOST_AT_THE_END))

    def _read(self, descriptor: int) -> None:
        rest = b""
        with os.fdopen(descriptor, "rb", buffering=0) as pipe:
            while data := pipe.read(_READ_BYTES):
                lines, newline, rest = (rest + data).rpartition(b"\n")
                if newline:
                    self._write(lines + newline)
        if rest:
            with self._turn:
                self.dropped += 1

    def _write(self, lines: bytes) -> None:
        with self._turn:
            try:
                self._sink.write(lines)
                self._is_failing = False
            except OSError as error:
                self.dropped += lines.count(b"\n")
                if not self._is_failing:
                    self._on_failure(error)
                self._is_failing = True
