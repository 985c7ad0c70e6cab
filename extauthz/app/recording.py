"""The recording of decisions as the settings want it: in this process, or gathered from workers."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.server.log_collector import LogCollector
from extauthz.settings import Settings
from extauthz.telemetry.failures import FailureReporter
from extauthz.telemetry.logging import Logger
from extauthz.telemetry.recorder import Recorder
from extauthz.telemetry.sink import FileSink

MODE: Final = 0o600
"""Records hold whole requests and what tokens say: they are for their owner's eyes."""
_STEP: Final = 1024 * 1024


def open_recorder(settings: Settings, logger: Logger) -> Recorder | None:
    """The recorder of answers given in this process; None when none is wanted.

    Raises:
        ConfigurationError: others may read the file.
        EnvironmentUnfitError: it cannot be written.
    """
    if settings.record is None:
        return None
    return Recorder(
        _open_sink(settings.record, logger),
        clock=time.time,
        on_failure=_reporter(logger),
        on_unwritable=FailureReporter(logger),
    )


def open_record_collector(settings: Settings, logger: Logger) -> LogCollector | None:
    """What gathers the records of workers; None when none are wanted.

    Raises:
        ConfigurationError: others may read the file.
        EnvironmentUnfitError: it cannot be written.
    """
    if settings.record is None:
        return None
    return LogCollector(_open_sink(settings.record, logger), on_failure=_reporter(logger))


def report_lost(logger: Logger, number: int) -> None:
    """Say at the end how many records are missing."""
    if number:
        logger.warning("records_lost", number=number, note="they did not fit the queue, or could not be written")


def _reporter(logger: Logger) -> Callable[[OSError], None]:
    def report(error: OSError) -> None:
        logger.error("recording_failed", problem=error.strerror, note="decisions go on; lost records are counted")

    return report


def _open_sink(path: str, logger: Logger) -> FileSink:
    try:
        _check(path)
        removed = _cut_off_half_line(path)
        sink = FileSink(path, mode=MODE)
    except OSError as error:
        raise EnvironmentUnfitError(f"--record {path}: {error.strerror}: name a file that can be written") from None
    if removed:
        logger.warning("record_cut", file=path, removed_bytes=removed, note="the last record was not whole")
    return sink


def _check(path: str) -> None:
    """Refuse a file whose content others could read, or that is none."""
    if not Path(path).exists():
        return
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"--record {path}: is no regular file: name another")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"--record {path}: others may read or write it: chmod 600 it, or name another file")


def _cut_off_half_line(path: str) -> int:
    """Remove what an earlier process left of its last record, when it was killed; how many bytes that was."""
    if not Path(path).exists():
        return 0
    with Path(path).open("r+b") as file:
        size = position = file.seek(0, os.SEEK_END)
        end = 0
        while position > 0 and not end:
            step = min(_STEP, position)
            position -= step
            file.seek(position)
            end = position + file.read(step).rfind(b"\n") + 1
            end = end if end > position else 0
        if end < size:
            file.truncate(end)
    return size - end
