"""The service's own log on standard error: JSON lines for machines, plain lines for people.

INVARIANT: no secret is written. Events are given by name with plain values; whatever looks like a token or stands
under a name that holds secrets is blotted out on the way, exceptions included.
"""

from __future__ import annotations

import logging
import re
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any, Final, TextIO, TypeAlias

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Logger: TypeAlias = FilteringBoundLogger
EventDict: TypeAlias = MutableMapping[str, Any]

REDACTED: Final = "[redacted]"

_SECRET_NAMES = re.compile(r"authorization|cookie|token|secret|password|api_?key|credential", re.IGNORECASE)

# Three base64url parts of which the first is a JSON object: a JWS in compact form (RFC 7515 section 7.1).
_COMPACT_JWS = re.compile(r"eyJ[\w-]*\.[\w-]*\.[\w-]*")
_BEARER = re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]+", re.IGNORECASE)
_USERINFO = re.compile(r"(?<=://)[^/@\s]+@")


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    """`console` on a terminal, else `json`."""
    JSON = "json"
    CONSOLE = "console"


class LogLevel(StrEnum):
    """The least severe events that are written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


def build_logger(stream: TextIO, *, log_format: LogFormat, level: LogLevel) -> Logger:
    """A logger of its own, without touching structlog's global configuration."""
    renders_json = log_format is LogFormat.JSON or (log_format is LogFormat.AUTO and not stream.isatty())
    processors: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
        structlog.processors.JSONRenderer()
        if renders_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
        ),
    ]
    logger: Logger = structlog.wrap_logger(
        _LineWriter(stream),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
    )
    return logger


class _LineWriter:
    """Writes lines, and goes on when the stream does not take them: no request fails because nobody reads the log."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def msg(self, line: str) -> None:
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream is closed
            self.lost += 1

    debug = info = warning = error = critical = msg


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Blot out secrets in every value of an event (a structlog processor)."""
    for name, value in event.items():
        event[name] = REDACTED if _SECRET_NAMES.search(name) else _redact_value(value)
    return event


def _redact_value(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, (list, tuple)):
        return [_redact_value(item) for item in value]
    if isinstance(value, dict):
        return redact(None, "", {str(name): item for name, item in value.items()})
    return value if value is None or isinstance(value, (bool, int, float)) else redact_text(str(value))


def redact_text(text: str) -> str:
    """The text with tokens, credentials and the user information of URLs blotted out."""
    text = _COMPACT_JWS.sub(REDACTED, text)
    text = _BEARER.sub(rf"\1 {REDACTED}", text)
    return _USERINFO.sub(f"{REDACTED}@", text)
