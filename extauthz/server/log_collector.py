"""Decision-log lines of several processes, brought together: each writes to a pipe, one process to the sink.

A file with one writer can be rotated, and never has a line within a line. A slow sink fills the pipes, then the
queues of the processes, which count what they drop.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Final

from extauthz.telemetry.sink import Sink

_READ_BYTES: Final = 1024 * 1024
_FLUSH_SECONDS: Final = 2.0
"""How long the end waits for the last lines to be written."""


class LogCollector:
    """Writes what it reads to the sink, whole lines only."""

    def __init__(self, sink: Sink, *, on_failure: Callable[[OSError], None]) -> None:
        """`on_failure` is told, in a thread, when writing fails, and not again until it succeeded in between."""
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
        """Wait until what the processes have written is in the sink, and close it. They have ended by now."""
        for thread in self._threads:
            thread.join(_FLUSH_SECONDS)
        with self._turn:
            self._sink.close()

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
