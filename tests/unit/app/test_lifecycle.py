import asyncio
from contextlib import asynccontextmanager

import pytest

from extauthz.app.lifecycle import Lifecycle
from extauthz.lowering.address import TcpAddress
from extauthz.telemetry.status import ServiceStatus


class Recorded(Lifecycle):
    """A service that says what happens to it."""

    def __init__(self):
        super().__init__(
            ServiceStatus(read_key_sets=dict, engine_is_left_alone=lambda: False), TcpAddress("127.0.0.1", 0)
        )
        self.happened = []

    @asynccontextmanager
    async def _run(self):
        self.happened.append("begun")
        try:
            yield
        finally:
            self.happened.append("ended")


async def fail_within(service):
    async with service as entered:
        assert entered is service
        assert service.happened == ["begun"]
        raise KeyError


def test_it_runs_around_the_block_and_ends_with_it():
    """Also when the block fails."""
    service = Recorded()
    with pytest.raises(KeyError):
        asyncio.run(fail_within(service))
    assert service.happened == ["begun", "ended"]


def test_one_that_drains_is_not_ready():
    """Before any policy it is not either; draining says so to whoever looks."""
    service = Recorded()
    assert not service._status.is_draining
    service.report_not_ready()
    assert service._status.is_draining
    assert not service._status.is_ready
