import asyncio
import io
import json
import signal
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from extauthz.authn.authenticator import KeySets, NeedKeySet
from extauthz.authn.provider import key_source_digest
from extauthz.server import worker_process
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import Keys, LogEvent, ReadTally
from extauthz.server.worker_process import Support, WorkerProcess
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from extauthz.telemetry.sink import FileSink
from extauthz.telemetry.tally import Tally
from tests.harness.authn import REMOTE, make_provider


class Bench:
    """A worker process whose program is a few lines of Python; they find their arguments in `sys.argv`."""

    def __init__(self):
        self.log = io.StringIO()
        self.fetched = []
        self.collector = None

    async def fetch(self, need):
        self.fetched.append(need)

    @asynccontextmanager
    async def running(self, monkeypatch, program):
        monkeypatch.setattr(worker_process, "_WORKER", ("-c", program))
        logger = build_logger(self.log, log_format=LogFormat.JSON, level=LogLevel.DEBUG)
        worker = await WorkerProcess.spawn([], Support(KeySets(), self.fetch, self.collector, logger))
        async with asyncio.TaskGroup() as tasks:
            linked = tasks.create_task(worker.link.run(worker))
            try:
                yield worker
            finally:
                await worker.end(5)
                await asyncio.wait([linked])

    def events(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]


@pytest.fixture
def bench():
    return Bench()


WAIT = "import time; time.sleep(60)"


@pytest.mark.parametrize(
    ("program", "how"),
    [
        ("raise SystemExit(3)", "ended with status 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9"),
    ],
)
def test_how_it_ended_is_known(bench, monkeypatch, program, how):
    """For the log."""

    async def main():
        async with bench.running(monkeypatch, program) as worker:
            await worker.process.wait()
            return worker.how_it_ended()

    assert asyncio.run(main()) == how


def test_one_that_has_gone_objects_to_nothing(bench, monkeypatch):
    """It is being replaced."""

    async def main():
        async with bench.running(monkeypatch, "raise SystemExit(0)") as worker:
            assert await worker.ask(ReadTally()) is None
            await worker.refresh_tally()
            assert worker.tally == Tally()
            await worker.end()
            assert worker.resident_mb is None

    asyncio.run(main())


def test_one_that_does_not_answer_is_killed(bench, monkeypatch):
    """And told of in the log; it does not count as serving any more."""

    async def main():
        async with bench.running(monkeypatch, WAIT) as worker:
            worker.serves = True
            assert await worker.ask(ReadTally(), 0.1) is None
            assert (worker.process.returncode, worker.serves) == (-signal.SIGKILL, False)

    asyncio.run(main())
    assert [(event["event"], event["asked"]) for event in bench.events()] == [("worker_hangs", "ReadTally")]


def test_counts_that_are_late_leave_those_told_before(bench, monkeypatch):
    """A scrape does not wait for them."""
    monkeypatch.setattr(worker_process, "TALLY_SECONDS", 0.1)

    async def main():
        async with bench.running(monkeypatch, WAIT) as worker:
            worker.told(Tally(waiting=3))
            await worker.refresh_tally()
            assert worker.tally == Tally(waiting=3)
            worker.process.kill()

    asyncio.run(main())


def test_what_it_logs_is_written_with_its_number(bench, monkeypatch):
    """At the level that it says."""

    async def main():
        async with bench.running(monkeypatch, "raise SystemExit(0)") as worker:
            worker.told(LogEvent("warning", "something", {"problem": "p"}))
            return worker.process.pid

    number = asyncio.run(main())
    (event,) = bench.events()
    assert (event["event"], event["level"], event["problem"], event["worker"]) == ("something", "warning", "p", number)


def test_it_is_told_how_keys_stand_before_it_is_answered(bench, monkeypatch):
    """So that it finds them when it asks again."""
    need = NeedKeySet(make_provider(keys=REMOTE), "kid")
    told: list[Keys] = []

    async def main():
        async with bench.running(monkeypatch, WAIT) as worker:
            monkeypatch.setattr(worker.link, "tell", told.append)
            assert await worker.called(need) is None
            worker.process.kill()

    asyncio.run(main())
    assert bench.fetched == [need]
    (keys,) = told
    assert isinstance(keys, Keys)
    assert keys.source == key_source_digest(need.provider)


def test_it_inherits_a_pipe_for_its_log(bench, monkeypatch, tmp_path):
    """And no other descriptor of ours."""
    bench.collector = LogCollector(FileSink(str(tmp_path / "log")), on_failure=lambda error: pytest.fail(str(error)))
    program = """
import os, sys
open_ones = {int(name) for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")}
ours = {int(sys.argv[1]), int(sys.argv[2])}
os.write(int(sys.argv[2]), f"{sorted(open_ones - ours - {0, 1, 2})}\\n".encode())
"""

    async def main():
        async with bench.running(monkeypatch, program) as worker:
            await worker.process.wait()

    asyncio.run(main())
    bench.collector.close()
    assert (tmp_path / "log").read_text() == "[]\n"


def test_a_program_that_cannot_be_started_leaves_nothing_open(bench, monkeypatch):
    """The caller tries again later."""
    monkeypatch.setattr("sys.executable", "/no/such/python")

    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    async def main():
        before = descriptors()
        with pytest.raises(FileNotFoundError):
            await WorkerProcess.spawn(
                [],
                Support(
                    KeySets(),
                    bench.fetch,
                    None,
                    build_logger(bench.log, log_format=LogFormat.JSON, level=LogLevel.DEBUG),
                ),
            )
        assert descriptors() == before

    asyncio.run(main())
