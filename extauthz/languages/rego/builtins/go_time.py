"""Times written and read by Go's layouts, in which an example time says where everything stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from extauthz.languages.rego.failure import BuiltinError

NANOSECONDS: Final = 1_000_000_000

NAMED_LAYOUTS: Final = {
    "ANSIC": "Mon Jan _2 15:04:05 2006",
    "UnixDate": "Mon Jan _2 15:04:05 MST 2006",
    "RubyDate": "Mon Jan 02 15:04:05 -0700 2006",
    "RFC822": "02 Jan 06 15:04 MST",
    "RFC822Z": "02 Jan 06 15:04 -0700",
    "RFC850": "Monday, 02-Jan-06 15:04:05 MST",
    "RFC1123": "Mon, 02 Jan 2006 15:04:05 MST",
    "RFC1123Z": "Mon, 02 Jan 2006 15:04:05 -0700",
    "RFC3339": "2006-01-02T15:04:05Z07:00",
    "RFC3339Nano": "2006-01-02T15:04:05.999999999Z07:00",
}

WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
_TOKEN: Final = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST|2006|__2|_2006|_2|002|01|02|03|04|05|06|15|1|2|3|4|5|PM|pm"
    r"|Z070000|Z07:00:00|Z0700|Z07:00|Z07|-070000|-07:00:00|-0700|-07:00|-07|[.,]0+(?![0-9])|[.,]9+(?![0-9])"
)


@dataclass(frozen=True, slots=True)
class GoTime:
    """An instant with a zone to write it in; Python's own times stop at microseconds."""

    nanoseconds: int
    """Since the epoch."""
    zone: tzinfo

    @property
    def local(self) -> datetime:
        """The wall clock, whole seconds.

        Raises:
            BuiltinError: before the year 1 or after 9999.
        """
        try:
            return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=self.nanoseconds // NANOSECONDS)).astimezone(
                self.zone
            )
        except OverflowError:
            raise BuiltinError("time outside of valid range") from None

    @property
    def fraction(self) -> int:
        """Nanoseconds within the second."""
        return self.nanoseconds % NANOSECONDS


def format_time(moment: GoTime, layout: str) -> str:
    """A time by a layout."""
    local, fraction = moment.local, moment.fraction
    return _TOKEN.sub(lambda match: _written(match.group(), local, fraction), layout)


def _written(token: str, local: datetime, fraction: int) -> str:
    if token[0] in ".,":
        digits = f"{fraction:09d}"[: len(token) - 1]
        shown = digits if token[1] == "0" else digits.rstrip("0")
        return token[0] + shown if shown else ""
    if token[0] in "Z-":
        return _offset(token, local)
    hour12 = local.hour % 12 or 12
    day_of_year = local.timetuple().tm_yday
    table = {
        "January": _MONTHS[local.month - 1],
        "Jan": _MONTHS[local.month - 1][:3],
        "Monday": WEEKDAYS[local.weekday()],
        "Mon": WEEKDAYS[local.weekday()][:3],
        "MST": _zone_name(local),
        "2006": f"{local.year:04d}",
        "_2006": f"_{local.year:04d}",
        "06": f"{local.year % 100:02d}",
        "01": f"{local.month:02d}",
        "1": str(local.month),
        "02": f"{local.day:02d}",
        "_2": f"{local.day:2d}",
        "2": str(local.day),
        "002": f"{day_of_year:03d}",
        "__2": f"{day_of_year:3d}",
        "15": f"{local.hour:02d}",
        "03": f"{hour12:02d}",
        "3": str(hour12),
        "04": f"{local.minute:02d}",
        "4": str(local.minute),
        "05": f"{local.second:02d}",
        "5": str(local.second),
        "PM": "PM" if local.hour >= 12 else "AM",
        "pm": "pm" if local.hour >= 12 else "am",
    }
    return table[token]


def _zone_name(local: datetime) -> str:
    name = local.tzname() or ""
    return name if not name.startswith("UTC") or name == "UTC" else _offset("-07", local)


def _offset(token: str, local: datetime) -> str:
    seconds = round((local.utcoffset() or timedelta()).total_seconds())
    if token.startswith("Z") and not seconds:
        return "Z"
    sign, rest = ("-" if seconds < 0 else "+"), abs(seconds)
    fields = [f"{rest // 3600:02d}", f"{rest // 60 % 60:02d}", f"{rest % 60:02d}"]
    joint = ":" if ":" in token else ""
    return sign + joint.join(fields[: len(re.findall("0[70]", token))])


# --- Reading -------------------------------------------------------------------------------------------------------

_OFFSETS: Final = {
    "-07": r"[+-]\d{2}",
    "-0700": r"[+-]\d{4}",
    "-07:00": r"[+-]\d{2}:\d{2}",
    "-070000": r"[+-]\d{6}",
    "-07:00:00": r"[+-]\d{2}:\d{2}:\d{2}",
}
_FORMS: Final = {
    "January": "|".join(_MONTHS),
    "Jan": "|".join(month[:3] for month in _MONTHS),
    "Monday": "|".join(WEEKDAYS),
    "Mon": "|".join(day[:3] for day in WEEKDAYS),
    "MST": r"[A-Z]{3,5}|[+-]\d{2}(?:\d{2})?",
    "2006": r"\d{4}",
    "06": r"\d{2}",
    "01": r"\d{2}", "1": r"\d{1,2}",
    "02": r"\d{2}", "_2": r" ?\d{1,2}", "2": r"\d{1,2}",
    "002": r"\d{3}", "__2": r" {0,2}\d{1,3}",
    "15": r"\d{2}", "03": r"\d{2}", "3": r"\d{1,2}",
    "04": r"\d{2}", "4": r"\d{1,2}",
    "05": r"\d{2}(?:[.,]\d+)?", "5": r"\d{1,2}(?:[.,]\d+)?",
    "PM": "AM|PM", "pm": "am|pm",
}  # fmt: skip


def parse_time(layout: str, value: str) -> int:
    """Nanoseconds since the epoch of a time written by a layout; without a zone it is UTC.

    Raises:
        BuiltinError: it is not written so, or there is no such time.
    """
    tokens, pattern = _pattern(layout)
    match = re.fullmatch(pattern, value, re.ASCII)
    if match is None:
        raise BuiltinError("a time that is not written by its layout")
    fields: dict[str, str] = {}
    for token, written in zip(tokens, match.groups(), strict=True):
        fields[token] = written or ""
    return _instant(fields)


def _pattern(layout: str) -> tuple[list[str], str]:
    tokens: list[str] = []
    pieces: list[str] = []
    position = 0
    for match in _TOKEN.finditer(layout):
        token = match.group()
        pieces.append(re.escape(layout[position : match.start()]))
        position = match.end()
        if token.startswith("_2006"):
            pieces.append("_")
            token = token[1:]
        if token[0] in ".,":
            digits = rf"[.,]\d{{{len(token) - 1}}}" if token[1] == "0" else r"(?:[.,]\d+)?"
            pieces.append(f"({digits})")
        elif token[0] == "Z":
            pieces.append(f"(Z|{_OFFSETS['-' + token[1:]]})")
        else:
            # Fractional seconds in the value are read even where the layout has none, but not twice.
            form = _OFFSETS.get(token) or _FORMS[token]
            if token in {"05", "5"} and layout[position : position + 1] in {".", ","}:
                form = form.split("(", maxsplit=1)[0]
            pieces.append(f"({form})")
        tokens.append(token)
    return tokens, "".join(pieces) + re.escape(layout[position:])


def _number(fields: dict[str, str], *tokens: str) -> int | None:
    for token in tokens:
        if token in fields:
            return int(re.split("[.,]", fields[token])[0])
    return None


def _month(fields: dict[str, str]) -> int | None:
    for token, length in (("January", None), ("Jan", 3)):
        if token in fields:
            return [month[:length] for month in _MONTHS].index(fields[token]) + 1
    return _number(fields, "01", "1")


def _year(fields: dict[str, str]) -> int:
    short = _number(fields, "06")
    if short is not None:
        return short + (1900 if short >= 69 else 2000)
    year = _number(fields, "2006")
    return 0 if year is None else year


def _instant(fields: dict[str, str]) -> int:
    hour = _number(fields, "15")
    half = _number(fields, "03", "3")
    if hour is None and half is not None:
        afternoon = (fields.get("PM") or fields.get("pm") or "").lower() == "pm"
        if not 0 <= half <= 12:
            raise BuiltinError("there is no such time")
        has_half = "PM" in fields or "pm" in fields
        hour = half % 12 + 12 * afternoon if has_half else half
    days = _days(fields)
    minute, second = _number(fields, "04", "4") or 0, _number(fields, "05", "5") or 0
    if (hour or 0) > 23 or minute > 59 or second > 59:
        raise BuiltinError("there is no such time")
    seconds = days * 86_400 + (hour or 0) * 3600 + minute * 60 + second
    return (seconds - _zone_seconds(fields)) * NANOSECONDS + _fraction(fields)


def _days(fields: dict[str, str]) -> int:
    """Days since the epoch."""
    year, month, day = _year(fields), _month(fields), _number(fields, "02", "_2", "2")
    day_of_year = _number(fields, "002", "__2")
    try:
        # Python has no year 0; 400 years later the calendar is the same.
        shift = 400 if year == 0 else 0
        if day_of_year is not None and month is None:
            moment = date(year + shift, 1, 1) + timedelta(days=day_of_year - 1)
            if day_of_year < 1 or moment.year != year + shift:
                raise BuiltinError("there is no such day")
        else:
            moment = date(year + shift, 1 if month is None else month, 1 if day is None else day)
    except (ValueError, OverflowError):
        raise BuiltinError("there is no such day") from None
    return moment.toordinal() - date(1970, 1, 1).toordinal() - (146_097 if shift else 0)


def _fraction(fields: dict[str, str]) -> int:
    for token, written in fields.items():
        if token[0] in ".," or token in {"05", "5"}:
            digits = re.split("[.,]", written)[1:]
            if digits:
                return int(digits[0][:9].ljust(9, "0"))
    return 0


def _zone_seconds(fields: dict[str, str]) -> int:
    for token, written in fields.items():
        if token[0] in "Z-" and written != "Z":
            digits = re.sub(r"\D", "", written).ljust(6, "0")
            hours, minutes, seconds = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
            if hours > 24 or minutes > 60 or seconds > 60:
                raise BuiltinError("there is no such zone")
            return (-1 if written[0] == "-" else 1) * (hours * 3600 + minutes * 60 + seconds)
    return 0
