"""Admission: under overload, no request waits longer than it may, and how long it waits is seen.

The HTTP layer hands over a batch of requests each time the event loop comes round, and keeps the rest where no clock
of ours runs. Under overload they would be answered after the proxy has given up, and a proxy that has given up may let
the request through. So when batches have been full for a while, requests are parked here instead of answered: parking
is cheap, so the backlog comes over quickly, and every request in it has a known age. The oldest go first; one that has
waited too long, or finds the room full, is refused. While there is no crowd, none of this costs anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

FULL_BATCH: Final = 64
"""Requests that h2corn 2.0 hands over in one round at most (measured): this many means that there may be more."""

CROWDED_SECONDS: Final = 0.02
"""How long batches must have been full: a queue that does not go away, not a burst."""

RESUMED_WHEN_FULL: Final = 8
"""Parked requests that a round answers while batches are full: few, so that the backlog comes over fast."""

RESUMED: Final = 64
"""The same when the whole backlog is here."""


class _Parked(NamedTuple):
    turn: asyncio.Future[bool]
    until: float


class Admission:
    """Lets requests in at the pace at which they can be answered. For one event loop."""

    __slots__ = (
        "_arrived",
        "_capacity",
        "_crowded_since",
        "_has_round",
        "_loop",
        "_monotonic",
        "_parked",
        "_parks",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, capacity: int, monotonic: Callable[[], float]) -> None:
        """`capacity` bounds how many requests may be parked at once."""
        self._loop = loop
        self._capacity = capacity
        self._monotonic = monotonic
        self._parked: deque[_Parked] = deque()
        self._arrived = 0  # in this round
        self._has_round = False  # the end of this round is scheduled
        self._crowded_since: float | None = None
        self._parks = False

    @property
    def is_crowded(self) -> bool:
        """Whether requests are being parked."""
        return self._parks

    @property
    def parked(self) -> int:
        """Requests that wait for their turn."""
        return len(self._parked)

    def enters_at_once(self) -> bool:
        """Whether the request may be answered now; otherwise it has to `wait`."""
        self._arrived += 1
        if not self._has_round:
            self._has_round = True
            self._loop.call_soon(self._end_round)
        return not self._parks

    async def wait(self, until: float) -> bool:
        """Park until it is this request's turn; False when it must be refused, because of its age or the crowd."""
        if len(self._parked) >= self._capacity:
            return False
        turn: asyncio.Future[bool] = self._loop.create_future()
        self._parked.append(_Parked(turn, until))
        return await turn

    def _end_round(self) -> None:
        is_full = self._arrived >= FULL_BATCH
        self._arrived = 0
        self._has_round = False
        if not is_full:
            self._crowded_since = None
        if is_full or self._parks:
            self._pace(is_full=is_full)

    def _pace(self, *, is_full: bool) -> None:
        now = self._monotonic()
        if is_full and self._crowded_since is None:
            self._crowded_since = now
        if not self._parks:
            self._parks = self._crowded_since is not None and now - self._crowded_since >= CROWDED_SECONDS
            return
        self._resume(RESUMED_WHEN_FULL if is_full else RESUMED, now)
        self._parks = is_full or bool(self._parked)
        if self._parks:
            self._has_round = True
            self._loop.call_soon(self._end_round)

    def _resume(self, count: int, now: float) -> None:
        """Let the oldest `count` in; refuse those that are too old on the way."""
        while self._parked and count:
            turn, until = self._parked.popleft()
            if turn.done():  # the caller went away
                continue
            turn.set_result(now < until)
            count -= now < until
