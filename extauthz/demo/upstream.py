"""An upstream that says what reached it: HTTP/1.1 and gRPC (HTTP/2 in clear text) on one port.

Every answer is JSON: `{"method", "path", "headers"}`. A gRPC call, of whatever method, is answered with one message
that holds the same text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from h2corn import Config

from extauthz.lowering.address import TcpAddress
from extauthz.server.http_server import RUNTIME_THREADS, HttpServer
from extauthz.server.sockets import listen

_GRPC_HEADERS = [(b"content-type", b"application/grpc")]
_GRPC_TRAILERS = [(b"grpc-status", b"0")]
_ANY_PORT = TcpAddress("127.0.0.1", 0)

_CONFIG = Config(runtime_threads=RUNTIME_THREADS, grpc=True, http1=True, access_log=False, lifespan="off")


@asynccontextmanager
async def echo_upstream(address: TcpAddress = _ANY_PORT) -> AsyncIterator[TcpAddress]:
    """Serve the echo for as long as the block lasts, on a free loopback port unless told otherwise.

    Yields its address.

    Raises:
        EnvironmentUnfitError: The address is in use or not ours.
    """
    socket = listen(address)
    server = HttpServer(lambda _streams: _echo, [socket], _CONFIG)
    # Awaited below, on every way out. A TaskGroup would wrap the block's own exceptions into a group.
    serving = asyncio.ensure_future(server.run())
    try:
        await server.started()
        assert isinstance(socket.address, TcpAddress)  # noqa: S101 - bound above
        yield socket.address
    finally:
        server.stop()
        await serving


async def _echo(scope: Any, receive: Any, send: Any) -> None:
    await _read_to_end(receive)
    body = json.dumps(_description(scope), sort_keys=True).encode()
    headers = dict(scope["headers"])
    if headers.get(b"content-type", b"").startswith(b"application/grpc"):
        await send({"type": "http.response.start", "status": 200, "headers": _GRPC_HEADERS, "trailers": True})
        # gRPC over HTTP/2, Length-Prefixed-Message: a compression flag, four bytes of length, the message.
        await send({"type": "http.response.body", "body": b"\0" + len(body).to_bytes(4, "big") + body})
        await send({"type": "http.response.trailers", "headers": _GRPC_TRAILERS})
        return
    content = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": content})
    await send({"type": "http.response.body", "body": body})


def _description(scope: Any) -> dict[str, object]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    query = f"?{scope['query_string'].decode('latin-1')}" if scope["query_string"] else ""
    return {"method": scope["method"], "path": scope["raw_path"].decode("latin-1") + query, "headers": headers}


async def _read_to_end(receive: Any) -> None:
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
