"""Times as texts, for logs and people."""

from __future__ import annotations

import time
from functools import lru_cache


def rfc3339(at: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC, with milliseconds."""
    seconds, milliseconds = divmod(int(at * 1000), 1000)
    return f"{_whole_seconds(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=16)
def _whole_seconds(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
