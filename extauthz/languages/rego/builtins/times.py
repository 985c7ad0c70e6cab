"""Time. `time.now_ns` is the time the evaluation was given: it stands still while it runs."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from extauthz.languages.rego.builtins.go_time import (
    NAMED_LAYOUTS,
    NANOSECONDS,
    WEEKDAYS,
    GoTime,
    format_time,
    parse_time,
)
from extauthz.languages.rego.builtins.registry import Registry, integer, number, text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import as_integer
from extauthz.languages.rego.value import Value

TIMES = Registry()

_MIN, _MAX = -(1 << 63), (1 << 63) - 1


def _in_range(nanoseconds: int) -> int:
    if not _MIN <= nanoseconds <= _MAX:
        raise BuiltinError("time outside of valid range")
    return nanoseconds


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """A zone of the tz database.

    Raises:
        BuiltinError: there is none of this name.
    """
    if name in {"", "UTC"}:
        return UTC
    if name == "Local" or not re.fullmatch(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*", name):
        raise BuiltinError("unknown time zone")
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BuiltinError("unknown time zone") from None


def _moment(value: Value) -> tuple[GoTime, str]:
    """A time and a layout from nanoseconds, or `[nanoseconds, zone, layout]`."""
    parts = value if type(value) is list else [value]
    if not parts:
        raise BuiltinError("operand 1 must be either number (ns) or [number (ns), string (tz)]")
    nanoseconds = as_integer(number(parts[0], 1))
    if nanoseconds is None or not _MIN <= nanoseconds <= _MAX:
        raise BuiltinError("timestamp too big")
    zone = _zone(text(parts[1], 1)) if len(parts) > 1 else UTC
    return GoTime(nanoseconds, zone), text(parts[2], 1) if len(parts) > 2 else ""


@TIMES.add("time.now_ns", 0, stateful=True, total=True)
def now_ns(evaluation: Evaluation) -> int:
    return evaluation.now_ns


@TIMES.add("time.parse_rfc3339_ns", 1)
def parse_rfc3339_ns(value: Value) -> int:
    return _in_range(parse_time(NAMED_LAYOUTS["RFC3339"], text(value, 1)))


@TIMES.add("time.parse_ns", 2)
def parse_ns(layout: Value, value: Value) -> int:
    written = text(layout, 1)
    return _in_range(parse_time(NAMED_LAYOUTS.get(written, written), text(value, 2)))


@TIMES.add("time.format", 1)
def format_(value: Value) -> str:
    moment, layout = _moment(value)
    wanted = layout or "RFC3339Nano"
    return format_time(moment, NAMED_LAYOUTS.get(wanted, wanted))


@TIMES.add("time.date", 1)
def date_(value: Value) -> list[int]:
    local = _moment(value)[0].local
    return [local.year, local.month, local.day]


@TIMES.add("time.clock", 1)
def clock(value: Value) -> list[int]:
    local = _moment(value)[0].local
    return [local.hour, local.minute, local.second]


@TIMES.add("time.weekday", 1)
def weekday(value: Value) -> str:
    return WEEKDAYS[_moment(value)[0].local.weekday()]


@TIMES.add("time.add_date", 4)
def add_date(value: Value, years: Value, months: Value, days: Value) -> int:
    """As Go: a day that the month does not have flows over into the next."""
    moment, _ = _moment(value)
    local = moment.local
    month = local.month - 1 + integer(months, 3)
    try:
        first = datetime(local.year + integer(years, 2) + month // 12, month % 12 + 1, 1, tzinfo=UTC)
        day = first + timedelta(days=local.day - 1 + integer(days, 4))
        moved = day.replace(hour=local.hour, minute=local.minute, second=local.second).replace(tzinfo=moment.zone)
        seconds = int(moved.timestamp())
    except (ValueError, OverflowError):
        raise BuiltinError("time outside of valid range") from None
    return _in_range(seconds * NANOSECONDS + moment.fraction)


@TIMES.add("time.diff", 2)
def diff(left: Value, right: Value) -> list[int]:
    """Years, months, days, hours, minutes and seconds between two times, in the first one's zone."""
    one, _ = _moment(left)
    other = GoTime(_moment(right)[0].nanoseconds, one.zone)
    start, end = sorted((one, other), key=lambda moment: moment.nanoseconds)
    a, b = start.local, end.local
    fields = [
        b.year - a.year, b.month - a.month, b.day - a.day, b.hour - a.hour, b.minute - a.minute, b.second - a.second
    ]  # fmt: skip
    month_days = (datetime(a.year + a.month // 12, a.month % 12 + 1, 1, tzinfo=UTC) - timedelta(days=1)).day
    for index, size in ((5, 60), (4, 60), (3, 24), (2, month_days), (1, 12)):
        if fields[index] < 0:
            fields[index] += size
            fields[index - 1] -= 1
    return fields


_DURATION = re.compile(r"[-+]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h|d|w|y))+|[-+]?0", re.ASCII)
_SEGMENT = re.compile(r"([0-9.]+)(ns|us|µs|μs|ms|s|m|h|d|w|y)")
_UNITS = {
    "ns": 1, "us": 1_000, "µs": 1_000, "μs": 1_000, "ms": 1_000_000, "s": NANOSECONDS, "m": 60 * NANOSECONDS,
    "h": 3_600 * NANOSECONDS, "d": 86_400 * NANOSECONDS, "w": 604_800 * NANOSECONDS, "y": 31_536_000 * NANOSECONDS,
}  # fmt: skip


@TIMES.add("time.parse_duration_ns", 1)
def parse_duration_ns(value: Value) -> int:
    """As Go's `1h30m`, and days, weeks and years of 365 days."""
    written = text(value, 1)
    if len(written) > 256 or not _DURATION.fullmatch(written):
        raise BuiltinError("invalid duration")
    total = sum(int(Decimal(amount) * _UNITS[unit]) for amount, unit in _SEGMENT.findall(written))
    return _in_range(-total if written.startswith("-") else total)
