"""Where the lines of the decision log go: standard output, or a file that is rotated.

INVARIANT: a file holds whole lines only. What cannot be written whole is taken back, and reported by raising.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple, Protocol

MODE: Final = 0o640
"""Readable for owner and group: lines name callers, if the operator says so."""


class Sink(Protocol):
    """Where lines go. Called in a thread, one call at a time."""

    def write(self, data: bytes) -> None:
        """Write whole lines, all of them, or raise OSError."""

    def close(self) -> None: ...


class DescriptorSink:
    """An open file descriptor that is not ours to close: standard output."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: bytes) -> None:
        write_all(self._descriptor, data)

    def close(self) -> None:
        pass


class Rotation(NamedTuple):
    """When a file is put aside, and how many of these are kept: `LOG.1` is the newest, the oldest is removed."""

    max_bytes: int
    """A file does not grow beyond it, unless one write alone does."""
    keep: int


class FileSink:
    """A file that is appended to, by us alone.

    When somebody else has moved it away (logrotate), or removed it, the next write goes to a new one of its name: no
    signal is needed, and none is missed.
    """

    def __init__(self, path: str, rotation: Rotation | None = None, *, mode: int = MODE) -> None:
        """Open it; a new one gets this mode.

        Raises:
            OSError: it cannot be opened.
        """
        self._path = path
        self._rotation = rotation
        self._mode = mode
        self._descriptor = self._open()

    def write(self, data: bytes) -> None:
        if not self._is_current():
            self._reopen()
        size = os.fstat(self._descriptor).st_size
        if self._rotation is not None and size > 0 and size + len(data) > self._rotation.max_bytes:
            rotate(self._path, self._rotation.keep)
            self._reopen()
            size = 0
        try:
            write_all(self._descriptor, data)
        except OSError:
            # Half a line would spoil the next one as well. A device (/dev/stderr) has nothing to cut.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, size)
            raise

    def close(self) -> None:
        os.close(self._descriptor)

    def _open(self) -> int:
        return os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, self._mode)

    def _reopen(self) -> None:
        fresh = self._open()
        os.close(self._descriptor)
        self._descriptor = fresh

    def _is_current(self) -> bool:
        try:
            named = Path(self._path).stat()
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(self._descriptor))


def rotate(path: str, keep: int) -> None:
    """Put a file aside as `PATH.1`, after `PATH.1` as `PATH.2` and so on; keep that many.

    Raises:
        OSError: the folder cannot be written.
    """
    names = [Path(path), *(Path(f"{path}.{number}") for number in range(1, keep + 1))]
    # Renaming replaces what has the new name, so the oldest goes by itself.
    for older, newer in zip(reversed(names[1:]), reversed(names[:-1]), strict=True):
        with contextlib.suppress(FileNotFoundError):
            newer.replace(older)


def write_all(descriptor: int, data: bytes) -> None:
    """Write to a descriptor that may take only a part at once (a pipe)."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
