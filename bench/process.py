"""What a process tree costs, and where processes run: Linux's clocks, /proc and CPU affinity."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CPUCLOCK_SCHED = 2
_LISTEN = "0A"
"""TCP_LISTEN in /proc/net/tcp."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Which CPU servers run on and which the load; None where the machine leaves no choice."""

    server: int | None
    load: int | None

    def __str__(self) -> str:
        if self.server is None:
            return "not pinned"
        return f"server on CPU {self.server}, load on CPU {self.load}"


def choose_placement() -> Placement:
    """A CPU for each side, so that neither takes the other's time."""
    allowed = sorted(os.sched_getaffinity(0))
    return Placement(allowed[0], allowed[1]) if len(allowed) > 1 else Placement(None, None)


@contextmanager
def running_on(cpu: int | None) -> Iterator[None]:
    """Run this thread, and whatever it starts inside the block, on one CPU."""
    if cpu is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process with all its threads and living children, in nanosecond resolution.

    The clock of another process, as clock_getcpuclockid(3) names it: /proc/PID/stat counts only in ticks of 10 ms.
    """
    return sum(time.clock_gettime((~each << 3) | _CPUCLOCK_SCHED) for each in _tree(pid))


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB."""
    return sum(resident_mb_by_process(pid).values())


def resident_mb_by_process(pid: int) -> Mapping[int, float]:
    """Resident memory of a process and each of its children, in MB, by their ids."""
    return {each: _status_kb(each, "VmRSS") / 1024 for each in _tree(pid)}


def peak_resident_mb() -> float:
    """The most memory this process ever had resident, in MB.

    Not getrusage's ru_maxrss, which a child inherits from the process that started it.
    """
    return _status_kb(os.getpid(), "VmHWM") / 1024


def listening_process(address: str) -> int | None:
    """Whose TCP socket listens at `host:port` on this machine; None if nobody's, or nobody's that we may look at."""
    port = f":{int(address.rpartition(':')[2]):04X}"
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:]:
            _, local, _, state, *_rest = fields = line.split()
            if local.endswith(port) and state == _LISTEN:
                inodes.add(f"socket:[{fields[9]}]")
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            found = str(descriptor.readlink())
        except OSError:  # another user's, or gone meanwhile
            continue
        if found in inodes:
            return int(descriptor.parts[2])
    return None


def _status_kb(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0])
    raise LookupError(f"/proc/{pid}/status has no {name}")


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from _tree(int(child))
