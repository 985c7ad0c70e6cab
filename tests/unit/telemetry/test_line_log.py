import asyncio
import errno
import threading

import pytest

from extauthz.telemetry import line_log
from extauthz.telemetry.line_log import LineLog


class Memory:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.data = b""
        self.writes = 0
        self.is_closed = False

    def write(self, data):
        self.data += data
        self.writes += 1

    def close(self):
        self.is_closed = True

    def lines(self):
        return self.data.decode().splitlines()


def make_log(sink, *, on_failure=None, write_line="{}\n".format):
    def fail(error):
        raise error

    return LineLog(sink, write_line, name="test", on_failure=on_failure or fail)


def run(log, *entries):
    """Put entries, and end the log as the service does."""

    async def main():
        task = asyncio.ensure_future(log.run())
        await asyncio.sleep(0)
        for each in entries:
            log.put(each)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_an_entry_without_a_line_is_left_out():
    """There is nothing to say about it, and it is not lost."""
    sink = Memory()
    log = make_log(sink, write_line=lambda entry: f"{entry}\n" if entry else "")
    run(log, 1, 0, 2)
    assert (sink.lines(), log.dropped, sink.is_closed) == (["1", "2"], 0, True)


def test_lines_are_written_while_the_service_runs_in_order():
    """Not only at its end."""
    sink = Memory()
    log = make_log(sink)
    count = line_log.PORTION * 3 + 1

    async def main():
        task = asyncio.ensure_future(log.run())
        for number in range(count):
            log.put(f"{number}")
        async with asyncio.timeout(10):
            while sink.data.count(b"\n") < count:  # noqa: ASYNC110 - written in a thread
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
    assert [int(line) for line in sink.lines()] == list(range(count))
    assert sink.writes < 10


def test_what_does_not_fit_is_counted(monkeypatch):
    """And never makes a decision wait."""
    monkeypatch.setattr(line_log, "CAPACITY", 10)
    sink = Memory()
    log = make_log(sink)
    run(log, *["x"] * 15)
    assert (len(sink.lines()), log.dropped) == (10, 5)


def test_a_sink_that_blocks_holds_up_neither_decisions_nor_the_end(monkeypatch):
    """The reader of a pipe has stopped reading; that lines are lost is told."""
    monkeypatch.setattr(line_log, "FLUSH_SECONDS", 0.05)
    unblocked = threading.Event()

    class Blocked(Memory):
        def write(self, data):
            unblocked.wait(10)
            super().write(data)

    failures: list[OSError] = []
    log = make_log(Blocked(), on_failure=failures.append)
    run(log, "x")
    unblocked.set()
    assert [error.strerror for error in failures] == ["the last lines could not be written in time"]


def test_lines_that_cannot_be_written_are_counted_and_told_once(monkeypatch):
    """A full disk does not fill the log as well; when there is room again, lines are written again."""
    monkeypatch.setattr(line_log, "INTERVAL_SECONDS", 0.01)
    failures: list[OSError] = []

    class Full(Memory):
        is_full = True

        def write(self, data):
            if self.is_full:
                raise OSError(errno.ENOSPC, "No space left on device")
            super().write(data)

    sink = Full()
    log = make_log(sink, on_failure=failures.append)

    async def main():
        task = asyncio.ensure_future(log.run())
        for expected in (1, 2, 3):
            log.put("x")
            async with asyncio.timeout(10):
                while log.dropped < expected:  # noqa: ASYNC110 - counted in a thread
                    await asyncio.sleep(0.01)
        sink.is_full = False
        log.put("x")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert len(failures) == 1
    assert (len(sink.lines()), log.dropped) == (1, 3)


def test_blocks_are_bounded_in_size(monkeypatch):
    """So that a file can be kept to a size, however long the lines are."""
    monkeypatch.setattr(line_log, "BLOCK_CHARACTERS", 1)
    sink = Memory()
    log = make_log(sink)
    count = line_log.PORTION * 3

    async def main():
        task = asyncio.ensure_future(log.run())
        for _ in range(count):
            log.put("x")
        async with asyncio.timeout(10):
            while sink.data.count(b"\n") < count:  # noqa: ASYNC110 - written in a thread
                await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(main())
    assert sink.writes == 3


def test_capacity_and_portion_may_be_smaller():
    """Where entries are large."""
    sink = Memory()
    log = LineLog(sink, "{}\n".format, name="test", on_failure=print, capacity=3, portion=1)
    run(log, *range(5))
    assert (sink.lines(), log.dropped) == (["0", "1", "2"], 2)
