import asyncio
import io

import pytest

from extauthz.app.serving import serving
from extauthz.errors import EnvironmentUnfitError
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger


class Server:
    """Runs until it is stopped, or fails."""

    def __init__(self, events, *, failure=None, late=None):
        self._events = events
        self._failure = failure
        self._late = late
        self._stopping = asyncio.Event()

    async def run(self):
        if self._failure is not None:
            raise self._failure
        await self._stopping.wait()
        self._events.append("answered")
        if self._late is not None:
            raise self._late

    async def started(self):
        self._events.append("started")

    def stop(self):
        self._stopping.set()


async def run(servers, events, log, body=None, background=()):
    logger = build_logger(log, log_format=LogFormat.JSON, level=LogLevel.DEBUG)
    around = serving(dict.fromkeys(servers), background, logger=logger, on_end=lambda: events.append("not ready"))
    async with around:
        events.append("serving")
        if body is not None:
            await body()


def test_the_order_of_a_service():
    """What runs besides goes on until the last call is answered; readiness ends before any server does."""

    async def scenario():
        events: list[str] = []

        async def work():
            try:
                await asyncio.Event().wait()
            finally:
                events.append("work ended")

        await run([Server(events), Server(events)], events, io.StringIO(), background=[work()])
        return events

    expected = ["started", "started", "serving", "not ready", "answered", "answered", "work ended"]
    assert asyncio.run(scenario()) == expected


def test_what_fails_meanwhile_ends_the_service():
    """A server or a task that fails is told in the log, and whoever serves gets one error."""

    async def scenario(log):
        events: list[str] = []
        await run([Server(events, failure=ValueError("broken"))], events, log, body=asyncio.Event().wait)

    log = io.StringIO()
    with pytest.raises(EnvironmentUnfitError, match="the log says where"):
        asyncio.run(scenario(log))
    assert "service_failed" in log.getvalue()
    assert "broken" in log.getvalue()


def test_an_error_within_is_raised_as_it_is():
    """It is not wrapped into a group, and the servers end in order."""

    async def scenario(events):
        async def fail():
            raise LookupError("inside")

        await run([Server(events)], events, io.StringIO(), body=fail)

    events: list[str] = []
    with pytest.raises(LookupError, match="inside"):
        asyncio.run(scenario(events))
    assert events[-1] == "answered"


def test_calls_that_outlast_the_drain_are_told():
    """They are no failure of the service."""
    log = io.StringIO()
    events: list[str] = []

    async def scenario():
        await run([Server(events, late=RuntimeError("two calls"))], events, log)

    asyncio.run(scenario())
    assert "drain_incomplete" in log.getvalue()
