import os
import threading
import time

import pytest

from extauthz.server import log_collector
from extauthz.server.log_collector import LogCollector


class Memory:
    """A sink that keeps what it is given, and fails when told to."""

    def __init__(self):
        self.writes = []
        self.fails = False
        self.closed = False
        self.arrived = threading.Condition()

    def write(self, data):
        with self.arrived:
            if not self.fails:
                self.writes.append(data)
            self.arrived.notify_all()
        if self.fails:
            raise OSError(28, "No space left on device")

    def close(self):
        self.closed = True

    @property
    def lines(self):
        return b"".join(self.writes).splitlines()


@pytest.fixture
def sink():
    return Memory()


@pytest.fixture
def failures():
    return []


@pytest.fixture
def collector(sink, failures):
    return LogCollector(sink, on_failure=failures.append)


def process(collector):
    """A process's end of its pipe."""
    read, write = os.pipe()
    collector.collect(read)
    return os.fdopen(write, "wb", buffering=0)


def test_lines_of_several_processes_are_never_mixed(collector, sink):
    """However their writes are cut."""
    processes = [process(collector) for _ in range(3)]
    expected = []
    for number in range(2000):
        line = f"{number % 3}:{'x' * (number % 50)}".encode()
        expected.append(line)
        for part in (line[:2], line[2:], b"\n"):
            processes[number % 3].write(part)
    for each in processes:
        each.close()
    collector.close()
    assert sorted(sink.lines) == sorted(expected)
    for number in range(3):
        own = [line for line in sink.lines if line.startswith(b"%d:" % number)]
        assert own == [line for line in expected if line.startswith(b"%d:" % number)], "in order"
    assert all(write.endswith(b"\n") for write in sink.writes)
    assert (sink.closed, collector.dropped) == (True, 0)


def test_half_a_line_of_a_killed_process_is_dropped_and_counted(collector, sink):
    """Whole ones before it are not."""
    killed = process(collector)
    killed.write(b"whole\nhal")
    killed.close()
    collector.close()
    assert sink.lines == [b"whole"]
    assert collector.dropped == 1


def test_lines_that_cannot_be_written_are_counted_and_told_once(collector, sink, failures):
    """Until writing succeeds again."""
    sink.fails = True
    writing = process(collector)
    for _ in range(2):
        with sink.arrived:
            writing.write(b"a\nb\n")
            assert sink.arrived.wait(10)
    with sink.arrived:
        sink.fails = False
        writing.write(b"c\n")
        assert sink.arrived.wait(10)
    writing.close()
    collector.close()
    assert sink.lines == [b"c"]
    assert collector.dropped == 4
    assert [error.strerror for error in failures] == ["No space left on device"]


def test_a_sink_that_blocks_does_not_hold_up_the_end(monkeypatch, collector, sink, failures):
    """What is lost by that is told; however many processes there were, the wait is one."""
    monkeypatch.setattr(log_collector, "FLUSH_SECONDS", 0.1)
    unblocked, blocked = threading.Event(), threading.Event()

    def write(_):
        blocked.set()
        unblocked.wait(20)

    monkeypatch.setattr(sink, "write", write)
    processes = [process(collector) for _ in range(8)]
    for each in processes:
        each.write(b"a\n")
        each.close()
    assert blocked.wait(10)
    began = time.monotonic()
    collector.close()
    assert time.monotonic() - began < 0.6
    assert not sink.closed
    unblocked.set()
    assert [error.strerror for error in failures] == ["the last lines could not be written in time"]
