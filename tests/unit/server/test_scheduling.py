import asyncio
import os
from pathlib import Path

import pytest

from extauthz.lowering.address import TcpAddress
from extauthz.server.http_server import HttpServer, grpc_config
from extauthz.server.sockets import listen

ANYWHERE = TcpAddress("127.0.0.1", 0)

pytestmark = pytest.mark.skipif(not hasattr(os, "SCHED_BATCH"), reason="SCHED_BATCH is Linux'")


def policies():
    """The scheduling policy of each thread of this process, by its name."""
    threads = Path("/proc/self/task").iterdir()
    return {(each / "comm").read_text().strip(): os.sched_getscheduler(int(each.name)) for each in threads}


def test_a_running_server_does_its_io_without_preempting_decisions():
    """h2corn's threads are under SCHED_BATCH, the one that decides is as it was."""

    async def application(scope, receive, send):
        raise AssertionError

    async def main():
        server = HttpServer(lambda _: application, [listen(ANYWHERE)], grpc_config(drain_timeout_seconds=1.0))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.run())
            await server.started()
            assert policies()["tokio-rt-worker"] == os.SCHED_BATCH
            assert os.sched_getscheduler(0) == os.SCHED_OTHER
            server.stop()

    asyncio.run(main())
