"""Admission: under overload, no request waits longer than it may, and how long it waits is seen.

The HTTP layer hands over a batch of requests each time the event loop comes round, and keeps the rest where no clock
of ours runs. Under overload they would be answered after the proxy has given up, and a proxy that has given up may let
the request through. So when batches have been full for a while, and a sounding says that what arrives waits long,
requests are parked here instead of answered: the backlog comes over quickly, and every request in it has a known age.
The oldest go first; one that has waited too long, or finds the room full, is refused. Parking costs half of what a
decision does, so a crowd that is through in time is not parked; while there is no crowd, none of this costs anything.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Final

from extauthz.server.sounding import Sounding

FULL_BATCH: Final = 64
"""Requests that h2corn 2.0 hands over in one round at most (measured): this many means that there may be more."""

CROWDED_SECONDS: Final = 0.02
"""How long batches must have been full: a queue that does not go away, not a burst."""

LONG_PART: Final = 1 / 3
"""The part of its time that a request may wait unseen. While the backlog comes over it waits as long again, and has a
third left."""

RESUMED_WHEN_FULL: Final = 8
"""Parked requests that a round answers while there is a backlog to bring over: few, so that it comes fast."""

RESUMED: Final = 64
"""The same when the whole backlog is here."""

_NO_BUDGET: Final = float("inf")


class Admission:
    """Lets requests in at the pace at which they can be answered. For one event loop."""

    __slots__ = (
        "_arrived",
        "_budget",
        "_capacity",
        "_crowded_since",
        "_has_round",
        "_least_budget",
        "_loop",
        "_monotonic",
        "_parked",
        "_parks",
        "_sounding",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, *, capacity: int, monotonic: Callable[[], float]) -> None:
        """`capacity` bounds how many requests may be parked at once."""
        self._loop = loop
        self._capacity = capacity
        self._monotonic = monotonic
        self._sounding = Sounding(monotonic)
        # Each: set when it is its turn; since when it is parked; until when it may be.
        self._parked: deque[tuple[asyncio.Future[bool], float, float]] = deque()
        self._arrived = 0  # in this round
        self._least_budget = _NO_BUDGET  # likewise
        self._budget = _NO_BUDGET  # the least of the latest round
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

    def enters_at_once(self, budget: float) -> bool:
        """Whether a request that is to be answered in so many seconds may be now; otherwise it has to `wait`."""
        self._arrived += 1
        self._least_budget = min(self._least_budget, budget)
        if not self._has_round:
            self._has_round = True
            self._loop.call_soon(self._end_round)
        return not self._parks

    async def wait(self, now: float, until: float) -> bool:
        """Park until it is this request's turn; False when it must be refused, because of its age or the crowd."""
        if len(self._parked) >= self._capacity:
            return False
        turn: asyncio.Future[bool] = self._loop.create_future()
        self._parked.append((turn, now, until))
        return await turn

    def wants_sounding(self) -> bool:
        """Whether a call is to be answered within `sounded`."""
        return self._crowded_since is not None and self._sounding.is_due()

    def sounded(self, over: Coroutine[None, None, None]) -> AbstractAsyncContextManager[None]:
        """Learn how long requests wait unseen, from a call that is answered in the block; see `Call.over`."""
        return self._sounding.taken(over)

    def _end_round(self) -> None:
        is_full = self._arrived >= FULL_BATCH
        if self._arrived:
            self._budget = self._least_budget
            self._least_budget = _NO_BUDGET
            self._arrived = 0
        self._has_round = False
        if not is_full:
            self._crowded_since = None
        if is_full or self._parks or self._parked:
            self._pace(self._monotonic(), is_full=is_full)
        if self._parks or self._parked:
            self._has_round = True
            self._loop.call_soon(self._end_round)

    def _pace(self, now: float, *, is_full: bool) -> None:
        if is_full and self._crowded_since is None:
            self._crowded_since = now
        unseen = self._sounding.delay(now) if is_full else 0.0
        long = self._budget * LONG_PART
        if self._parks:
            self._resume(RESUMED_WHEN_FULL if unseen >= long / 2 else RESUMED, now)
            seen = now - self._parked[0][1] if self._parked else 0.0
            self._parks = unseen + seen >= long
        else:
            self._resume(RESUMED, now)
            has_lasted = self._crowded_since is not None and now - self._crowded_since >= CROWDED_SECONDS
            self._parks = has_lasted and unseen >= long

    def _resume(self, count: int, now: float) -> None:
        """Let the oldest `count` in; refuse those that are too old on the way."""
        while self._parked and count:
            turn, _, until = self._parked.popleft()
            if turn.done():  # the caller went away
                continue
            turn.set_result(now < until)
            count -= now < until
