"""How the kernel shares a CPU between decisions and the I/O thread of h2corn.

Decisions run in the main thread, and each reply wakes the I/O thread. On a CPU of their own neither minds. Where they
share one, the kernel lets the woken thread take the CPU at once: it writes one reply, and gives the CPU back, once for
every request. Under SCHED_BATCH (sched(7)) a thread does not preempt others when it is woken; it runs when the main
thread waits for work, or has used up its slice, and then writes all replies there are.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

_IO_THREAD: Final = "tokio-rt-worker"
"""What h2corn's runtime names its threads."""
_THREADS: Final = Path("/proc/self/task")


def let_io_wait_for_decisions() -> None:
    """Put the I/O threads of this process under SCHED_BATCH, which needs no privilege; for Linux.

    Elsewhere, or where a sandbox forbids it, they stay as they are: decisions then cost more, and are the same.
    """
    if not hasattr(os, "SCHED_BATCH") or not _THREADS.is_dir():
        return
    for thread in _THREADS.iterdir():
        number = int(thread.name)
        try:
            is_io = (thread / "comm").read_text().rstrip("\n") == _IO_THREAD
            if is_io and os.sched_getscheduler(number) == os.SCHED_OTHER:  # else the operator has chosen (chrt)
                os.sched_setscheduler(number, os.SCHED_BATCH, os.sched_param(0))
        except OSError:
            continue  # the thread has ended meanwhile, or a sandbox forbids it
