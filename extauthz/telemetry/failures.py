"""Failures in the log, however often requests provoke them: unexpected ones once of each kind, with their traceback."""

from __future__ import annotations

from typing import Final, Protocol

_MAX_KINDS: Final = 100


class ErrorLogger(Protocol):
    """The part of a `Logger` that takes it: a process may pass its events on instead of writing them."""

    def error(self, event: str, *, exc_info: Exception, answered: str, note: str) -> object: ...


class WarningLogger(Protocol):
    """Likewise."""

    def warning(self, event: str, **values: str) -> object: ...


class EngineReporter:
    """Logs what a remote engine has to be looked at for."""

    def __init__(self, logger: WarningLogger) -> None:
        self._logger = logger

    def trouble(self, problem: str) -> None:
        """It did not answer, or its policy failed on a request; nothing of the request is in it."""
        self._logger.warning("engine_trouble", problem=problem)

    def recovery(self) -> None:
        """It answers again."""
        self._logger.warning("engine_recovered", note="requests are decided again")


class FailureReporter:
    """Logs an exception the first time one of its type comes from its place; counts the others."""

    def __init__(self, logger: ErrorLogger) -> None:
        self._logger = logger
        self._seen: dict[tuple[type[BaseException], str, int], int] = {}

    def __call__(self, error: Exception) -> None:
        kind = (type(error), *_place(error))
        if kind in self._seen:
            self._seen[kind] += 1
        elif len(self._seen) < _MAX_KINDS:
            self._seen[kind] = 1
            self._logger.error(
                "internal_error", answered="503, denied", note="the same failure is not logged again", exc_info=error
            )


def _place(error: BaseException) -> tuple[str, int]:
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return (traceback.tb_frame.f_code.co_filename, traceback.tb_lineno) if traceback else ("", 0)
