import asyncio
import gc
import json
import time
from contextlib import asynccontextmanager

import pytest

from extauthz.authn.authenticator import KeySets
from extauthz.server.asgi import GrpcApplication
from extauthz.server.check_method import CHECK_PATH, CheckLimits
from extauthz.server.decider import Decider, DeciderSettings, settle_heap
from extauthz.server.streams import Streams
from extauthz.telemetry.decision_log import DecisionLog, SubjectForm
from tests.harness.asgi_call import call_application, check_message, frame
from tests.strategies import make_policy_set, make_route


class Deciding:
    """A decider in a running loop."""

    def __init__(self, *, unavailable_as_error=False):
        self.failures: list[Exception] = []
        limits = CheckLimits(deadline_seconds=5.0, capacity=100)
        self.decider = Decider(
            DeciderSettings(limits, unavailable_as_error=unavailable_as_error),
            key_sets=KeySets(),
            fetch=self.fetch,
            on_failure=self.failures.append,
            clock=lambda: 1_800_000_000.0,
            monotonic=time.perf_counter,
        )
        self.application = GrpcApplication({CHECK_PATH: self.decider.check}, Streams())

    async def fetch(self, need):
        raise AssertionError(f"nothing is to be fetched, not even {need}")

    def put_into_force(self, *paths):
        routes = [make_route(path) for path in paths]
        self.decider.put_into_force(self.decider.prepare(make_policy_set(*routes)))

    async def ask(self, path):
        reply = await call_application(self.application, frame(check_message(path)))
        return reply.response


@pytest.fixture(autouse=True)
def thawed():
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def test_what_is_put_into_force_decides():
    """From one call to the next; before anything is, nobody gets in."""

    async def main():
        deciding = Deciding()
        assert (await deciding.ask("/first")).status.code != 0
        deciding.put_into_force("/first")
        assert (await deciding.ask("/first")).status.code == 0
        deciding.put_into_force("/second")
        assert (await deciding.ask("/first")).status.code != 0
        assert (await deciding.ask("/second")).status.code == 0
        assert deciding.failures == []

    asyncio.run(main())


def test_a_set_that_is_prepared_decides_nothing_yet():
    """Preparing and putting into force are two steps, for several processes to take the second together."""

    async def main():
        deciding = Deciding()
        deciding.put_into_force("/first")
        deciding.decider.prepare(make_policy_set(make_route("/second")))
        assert (await deciding.ask("/second")).status.code != 0

    asyncio.run(main())


def test_every_answer_is_counted_under_its_route():
    """Those that cannot be decided as well."""

    async def main():
        deciding = Deciding()
        await deciding.ask("/a")
        deciding.put_into_force("/a")
        await deciding.ask("/a")
        await deciding.ask("/elsewhere")
        tally = deciding.decider.read_tally()
        assert sorted((effect, route) for effect, _, route in tally.decisions) == [
            ("allow", make_route("/a").name),
            ("deny", ""),
            ("deny", ""),
        ]
        assert sum(tally.buckets) == 3
        assert tally.waiting == 0

    asyncio.run(main())


class Memory:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def close(self):
        pass


@asynccontextmanager
async def running(log):
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(log.run())
        await asyncio.sleep(0)
        yield
        task.cancel()


def test_every_answer_is_logged_once_there_is_a_log():
    """With the revision that decided."""
    memory = Memory()

    async def main():
        deciding = Deciding()
        deciding.put_into_force("/a")
        await deciding.ask("/a")
        log = DecisionLog(
            memory, subject=SubjectForm.OFF, key=b"", clock=lambda: 1_800_000_000.0, on_failure=lambda _: None
        )
        deciding.decider.log = log
        async with running(log):
            await deciding.ask("/a")
        tally = deciding.decider.read_tally()
        assert (tally.decision_log_drops, tally.decision_log_left_out) == (0, 0)
        snapshot = deciding.decider.check.answerer.snapshot
        assert snapshot is not None
        return snapshot.revision

    revision = asyncio.run(main())
    (line,) = memory.data.decode().splitlines()
    assert json.loads(line)["revision"] == revision


def test_a_settled_heap_is_frozen():
    """With or without a collection before it."""
    for collects in (True, False):
        gc.unfreeze()
        settle_heap(collects=collects)
        assert gc.get_freeze_count() > 0
