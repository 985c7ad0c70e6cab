"""Admission: no request waits longer than it may, and how long it waits is seen.

The HTTP layer hands over at most a batch of requests each time the event loop comes round and keeps the rest where no
clock of ours runs. Under overload they would be answered after the proxy has given up, and a proxy that has given up
may let the request through. So a request beyond what one round can answer is parked here: the backlog comes over
quickly, since parking is cheap, and every request in it has a known age. The oldest go first, a few each round; one
that has waited past its deadline, or finds the room full, is refused.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

BURST: Final = 64
"""How many requests a round answers while none is parked."""

RESUMED: Final = 8
"""How many parked requests a round answers: few, so that rounds stay short and arrivals come over fast."""


class _Parked(NamedTuple):
    turn: asyncio.Future[bool]
    deadline: float


class Admission:
    """Lets requests in at the pace at which they can be answered. For one event loop."""

    __slots__ = ("_capacity", "_loop", "_monotonic", "_parked", "_started")

    def __init__(self, loop: asyncio.AbstractEventLoop, *, capacity: int, monotonic: Callable[[], float]) -> None:
        """`capacity` bounds how many requests may be parked at once."""
        self._loop = loop
        self._capacity = capacity
        self._monotonic = monotonic
        self._parked: deque[_Parked] = deque()
        self._started = 0
        """Requests let in since the loop last came round."""

    def enters_at_once(self) -> bool:
        """Whether the request may be answered now; otherwise it has to `wait`."""
        if self._parked:
            return False
        if not self._started:
            self._loop.call_soon(self._next_round)
        self._started += 1
        return self._started <= BURST

    async def wait(self, deadline: float) -> bool:
        """Park until it is this request's turn; False when it must be refused, because of its age or the crowd."""
        if len(self._parked) >= self._capacity:
            return False
        turn: asyncio.Future[bool] = self._loop.create_future()
        self._parked.append(_Parked(turn, deadline))
        return await turn

    def _next_round(self) -> None:
        self._started = 0
        if not self._parked:
            return
        now = self._monotonic()
        resumed = 0
        while self._parked and resumed < RESUMED:
            turn, deadline = self._parked.popleft()
            if turn.done():  # the caller went away
                continue
            in_time = now < deadline
            turn.set_result(in_time)
            resumed += in_time
        self._loop.call_soon(self._next_round)
