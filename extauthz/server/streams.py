"""The answers of one server that go on for long: bounded in number, and ended together when the server stops.

A server that drains waits for the calls in flight, and a stream would keep it waiting until its time is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from extauthz.server.call import CallError, GrpcStatus

MAX_STREAMS: Final = 1000
"""Each costs a task for as long as its caller likes."""


class Streams:
    """Streams that are open. For one event loop."""

    def __init__(self) -> None:
        self._open: set[asyncio.Timeout] = set()
        self._has_ended = False

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """A stream around the block, which is left when the server stops.

        Raises:
            CallError: there are too many streams, or the server stops.
        """
        if len(self._open) >= MAX_STREAMS:
            raise CallError(GrpcStatus.RESOURCE_EXHAUSTED, f"more than {MAX_STREAMS} streams: close some")
        lasting = asyncio.timeout(0 if self._has_ended else None)
        self._open.add(lasting)
        try:
            async with lasting:
                yield
        except TimeoutError:
            raise CallError(GrpcStatus.UNAVAILABLE, "the server stops: call again") from None
        finally:
            self._open.discard(lasting)

    def end(self) -> None:
        """End those that are open, and each that is opened from now on. Once."""
        self._has_ended = True
        now = asyncio.get_running_loop().time()
        for each in self._open:
            each.reschedule(now)
