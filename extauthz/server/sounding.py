"""How long what arrives waits before this process gets to see it.

h2corn reads what callers send as fast as it comes, and queues it for the event loop, at most 64 items each time that
comes round. How long that queue is, it does not tell. But what happens to a call after its answer, the end of its
stream, is told through the same queue: so the time from an answer to that end is the time that a new call waits
(measured: a twentieth of a millisecond when idle, and within a tenth of the callers' latency at 1,000 in flight).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Final

EVERY_SECONDS: Final = 0.005
"""Between the end of a sounding and the next."""


class Sounding:
    """One measurement at a time. For one event loop."""

    __slots__ = ("_began", "_ended", "_latest", "_monotonic")

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._began: float | None = None
        self._ended = float("-inf")
        self._latest = 0.0

    def is_due(self) -> bool:
        """Whether to take one now."""
        return self._began is None and self._monotonic() - self._ended >= EVERY_SECONDS

    @asynccontextmanager
    async def taken(self, over: Coroutine[None, None, None]) -> AsyncIterator[None]:
        """Measure from the answer, which the block sends, until the transport tells that the call is `over`."""
        self._began = self._monotonic()
        ending = asyncio.ensure_future(over)
        try:
            # So that somebody waits for the end before the answer is sent: else the end may come first, be kept for
            # whoever asks, and so take no time at all.
            await asyncio.sleep(0)
            began = self._began = self._monotonic()
            yield
            await ending
            self._latest = self._monotonic() - began
        finally:
            ending.cancel()
            self._began = None
            self._ended = self._monotonic()

    def delay(self, now: float) -> float:
        """Seconds: the latest measurement, or what the one under way has taken so far if that is more."""
        return self._latest if self._began is None else max(self._latest, now - self._began)
