"""A thread with an event loop, in which asynchronous servers run beside synchronous tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from typing import Any, Self, TypeVar

_Value = TypeVar("_Value")
_START_SECONDS = 20.0


class AsyncHost:
    """Enters context managers in its own loop; leaves them all when its block ends."""

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(started)), name="async host")
        self._thread.start()
        started.result(_START_SECONDS)
        return self

    def __exit__(self, *exception: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._thread.join()

    def enter(self, make: Callable[[], AbstractAsyncContextManager[_Value]]) -> _Value:
        """Enter what `make` gives, in a task of its own, and return what it yields."""
        entered: Future[_Value] = Future()
        self._loop.call_soon_threadsafe(lambda: self._tasks.create_task(self._hold(make, entered)))
        return entered.result(_START_SECONDS)

    async def _run(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = asyncio.Event()
        async with asyncio.TaskGroup() as self._tasks:
            started.set_result(None)
            await self._ending.wait()

    async def _hold(self, make: Callable[[], AbstractAsyncContextManager[Any]], entered: Future[Any]) -> None:
        try:
            async with make() as value:
                entered.set_result(value)
                await self._ending.wait()
        except BaseException as error:
            if entered.done():
                raise
            entered.set_exception(error)
