"""The ASGI application behind h2corn: gRPC calls by path.

h2corn speaks HTTP/2 and no gRPC: path, method, content type, framing, size, deadline and status are ours. It answers
an application that raises with HTTP 500, which a proxy may take for an error to let through; so nothing is raised
here but the cancellation of the task.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from contextlib import aclosing
from typing import Final

from extauthz.server.call import CallError, ClientGoneError, GrpcStatus, Methods, StreamingMethod
from extauthz.server.grpc_wire import (
    Event,
    MessageStream,
    Metadata,
    Receive,
    Send,
    await_end,
    parse_timeout,
    read_message,
    send_http_status,
    send_message,
    send_status,
)
from extauthz.server.streams import Streams


class AsgiCall:
    """A call that arrived as ASGI events."""

    __slots__ = ("_metadata", "_receive", "_send")

    def __init__(self, metadata: Metadata, receive: Receive, send: Send) -> None:
        self._metadata = metadata
        self._receive = receive
        self._send = send

    def granted_seconds(self) -> float | None:
        """As `Call` says; a malformed grpc-timeout grants nothing certain."""
        grpc_timeout = self._metadata.get(b"grpc-timeout")
        return None if grpc_timeout is None else parse_timeout(grpc_timeout)

    def metadata(self, name: str) -> str | None:
        """As `Call` says."""
        value = self._metadata.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def read(self, max_bytes: int) -> Awaitable[bytes]:
        """As `Call` says."""
        return read_message(self._receive, max_bytes)

    def reply(self, message: bytes) -> Awaitable[None]:
        """As `Call` says."""
        return send_message(self._send, message)

    def refuse(self, status: GrpcStatus, message: str) -> Awaitable[None]:
        """As `Call` says."""
        return send_status(self._send, status, message)

    def over(self) -> Coroutine[None, None, None]:
        """As `Call` says."""
        return await_end(self._receive)


class GrpcApplication:
    """Routes calls to methods by their path; everything else is refused as gRPC says."""

    def __init__(self, methods: Methods, streams: Streams) -> None:
        """Answer by `methods`; what they stream is ended with `streams`."""
        self._methods = methods
        self._streams = streams

    async def __call__(self, scope: Event, receive: Receive, send: Send) -> None:
        metadata: Metadata = dict(scope["headers"])
        method = self._methods.get(scope["path"])
        if (
            method is not None
            and scope["method"] == "POST"
            and metadata.get(b"content-type") in _GRPC_TYPES
            and metadata.get(b"te") == b"trailers"
        ):
            call = AsgiCall(metadata, receive, send)
            if isinstance(method, StreamingMethod):
                await self._stream(method, call, MessageStream(send))
            else:
                await method(call)
        else:
            await _refuse_call(scope, metadata, send)

    async def _stream(self, method: StreamingMethod, call: AsgiCall, stream: MessageStream) -> None:
        try:
            async with self._streams.opened(), aclosing(method.answer(call)) as messages:
                async for message in messages:
                    await stream.send(message)
        except CallError as error:
            await stream.end(error.status, str(error))
        except ClientGoneError:
            return
        else:
            await stream.end(GrpcStatus.OK, "")


_GRPC_TYPES: Final = (b"application/grpc", b"application/grpc+proto")


async def _refuse_call(scope: Event, metadata: Metadata, send: Send) -> None:
    """Say what is wrong with a call that reaches no method."""
    if scope["method"] != "POST":
        await send_http_status(send, 405)
    elif metadata.get(b"content-type") not in _GRPC_TYPES:
        await send_http_status(send, 415)
    elif metadata.get(b"te") != b"trailers":
        await send_status(send, GrpcStatus.INTERNAL, "te: trailers is missing: a proxy in between dropped it")
    else:
        await send_status(send, GrpcStatus.UNIMPLEMENTED, f"unknown method {scope['path']}")
