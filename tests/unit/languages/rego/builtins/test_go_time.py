from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from extauthz.languages.rego.builtins.go_time import NAMED_LAYOUTS, GoTime, format_time, parse_time
from extauthz.languages.rego.failure import BuiltinError

MOMENT = 1_709_204_645_123_456_789


@pytest.mark.parametrize("name", sorted(NAMED_LAYOUTS))
def test_named_layouts_read_what_they_write(name):
    """To the precision that the layout has."""
    layout = NAMED_LAYOUTS[name]
    written = format_time(GoTime(MOMENT, UTC), layout)
    assert format_time(GoTime(parse_time(layout, written), UTC), layout) == written


@pytest.mark.parametrize(
    ("layout", "want"),
    [
        ("2006-002 __2 3:04PM", "2024-060  60 12:04PM"),
        ("Jan _2 06 pm .000 .999999", "Feb 29 24 pm .123 .123456"),
        ("Z0700 Z07:00 -07 MST", "+0100 +01:00 +01 CET"),
        ("January Monday 1 2 15", "February Thursday 2 29 12"),
    ],
)
def test_layouts(layout, want):
    """Each element stands where the example time has it."""
    assert format_time(GoTime(MOMENT, ZoneInfo("Europe/Berlin")), layout) == want


@pytest.mark.parametrize(
    ("layout", "value", "want"),
    [
        ("2006-01-02T15:04:05Z07:00", "1970-01-01T01:00:00.5+01:00", 500_000_000),
        ("3:04 PM", "12:30 AM", -62_167_217_400 * 10**9),
        ("2006 002", "2024 366", 1_735_603_200 * 10**9),
        ("02 Jan 06 15:04 -0700", "01 Jan 70 00:00 -0100", 3_600 * 10**9),
    ],
)
def test_reading(layout, value, want):
    """Fields that are missing are those of the year 0."""
    assert parse_time(layout, value) == want


@pytest.mark.parametrize(
    ("layout", "value"),
    [
        ("2006-01-02", "2023-02-29"),
        ("2006-01-02", "2023-2-1"),
        ("15:04", "24:00"),
        ("2006 002", "2023 366"),
        ("2006-01-02T15:04:05Z07:00", "2023-01-01T00:00:00+25:00"),
        ("2006-01-02", "2023-01-01 "),
        ("2006", "٢٠٢٣"),
    ],
)
def test_what_is_no_time(layout, value):
    """A text of another form, or a day that does not exist."""
    with pytest.raises(BuiltinError):
        parse_time(layout, value)
