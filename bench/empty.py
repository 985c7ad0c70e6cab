"""`python -m bench.empty`: reads a call's message and answers with an empty one, as cheaply as the transport allows."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Final

import uvloop

from extauthz.lowering.address import TcpAddress
from extauthz.server.grpc_wire import RESPONSE_START, RESPONSE_TRAILERS, Event, Receive, Send
from extauthz.server.http_server import HttpServer, grpc_config
from extauthz.server.sockets import listen_all

_EMPTY_MESSAGE: Final[Event] = {"type": "http.response.body", "body": bytes(5)}


async def answer_empty(scope: Event, receive: Receive, send: Send) -> None:  # noqa: ARG001 - ASGI's signature
    await receive()
    await send(RESPONSE_START)
    await send(_EMPTY_MESSAGE)
    await send(RESPONSE_TRAILERS)


async def serve() -> None:
    sockets = listen_all([TcpAddress("127.0.0.1", 0)])
    server = HttpServer(lambda _streams: answer_empty, sockets, grpc_config(drain_timeout_seconds=1.0))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        await server.started()
        print(f"empty handler at {sockets[0].address}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve())
