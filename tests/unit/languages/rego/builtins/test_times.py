import pytest

from extauthz.languages.rego.failure import BuiltinError

DAY = 86_400 * 10**9


def test_time_stands_still(call):
    """The time is the one that the evaluation was given."""
    assert call("time.now_ns") == 1_700_000_000_000_000_000


@pytest.mark.parametrize("zone", ["Nowhere", "../../etc/passwd", "/etc/localtime", "Local", "Europe"])
def test_unknown_zones(call, zone):
    """Only names of the tz database; neither files nor the machine's own zone."""
    with pytest.raises(BuiltinError):
        call("time.clock", [0, zone])


@pytest.mark.parametrize("value", [1 << 63, -(1 << 63) - 1, 0.5, "0", [], [0, 1], None])
def test_what_is_no_time(call, value):
    """Nanoseconds of 64 bits, alone or with a zone and a layout."""
    with pytest.raises(BuiltinError):
        call("time.date", value)


@pytest.mark.parametrize("value", ["", "1", "1x", "h", "1h 2m", "9" * 300 + "h", "400000000h", "-"])
def test_what_is_no_duration(call, value):
    """A duration is numbers with units, within 64 bits."""
    with pytest.raises(BuiltinError):
        call("time.parse_duration_ns", value)


def test_days_flow_over(call):
    """January 31 and a month is a day in March, and dates stop where nanoseconds do."""
    start = call("time.parse_rfc3339_ns", "2023-01-31T00:00:00Z")
    assert call("time.date", call("time.add_date", start, 0, 1, 0)) == [2023, 3, 3]
    with pytest.raises(BuiltinError):
        call("time.add_date", start, 10_000, 0, 0)
    assert call("time.diff", start, start + 40 * DAY) == [0, 1, 12, 0, 0, 0]
