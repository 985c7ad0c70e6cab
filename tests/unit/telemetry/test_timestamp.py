import pytest

from extauthz.telemetry.timestamp import rfc3339


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0.0, "1970-01-01T00:00:00.000Z"),
        (1_800_000_000.25, "2027-01-15T08:00:00.250Z"),
        (1_800_000_000.9999, "2027-01-15T08:00:00.999Z"),
        (1_800_000_001.0, "2027-01-15T08:00:01.000Z"),
    ],
)
def test_times_are_utc_with_milliseconds(at, text):
    """Cut, not rounded: no line is dated after it was written."""
    assert rfc3339(at) == text
