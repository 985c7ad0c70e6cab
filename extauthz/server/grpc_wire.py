"""gRPC over HTTP/2 as ASGI events (gRPC's PROTOCOL-HTTP2.md), pure but for `receive`.

The events that are the same for every call are built once; h2corn only reads them.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from typing import Any, Final, TypeAlias
from urllib.parse import quote

from extauthz.server.call import CallError, ClientGoneError, GrpcStatus, MessageTooLargeError

Event: TypeAlias = dict[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Event]]
Send: TypeAlias = Callable[[Event], Awaitable[None]]
Metadata: TypeAlias = Mapping[bytes, bytes]
"""A call's headers by lower-case name; of a repeated one the last value."""

PREFIX_LENGTH: Final = 5
"""A message is preceded by its compressed flag, one byte, and its length, four bytes big-endian."""


_CONTENT_TYPE = (b"content-type", b"application/grpc")

RESPONSE_START: Final[Event] = {
    "type": "http.response.start",
    "status": 200,
    "headers": [_CONTENT_TYPE],
    "trailers": True,
}
RESPONSE_TRAILERS: Final[Event] = {"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]}
_EMPTY_BODY: Final[Event] = {"type": "http.response.body"}


async def send_message(send: Send, message: bytes) -> None:
    """Answer a call with one message and status OK."""
    await send(RESPONSE_START)
    await send({"type": "http.response.body", "body": _framed(message)})
    await send(RESPONSE_TRAILERS)


def _framed(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _status_headers(status: GrpcStatus, message: str) -> list[tuple[bytes, bytes]]:
    return [
        (b"grpc-status", str(int(status)).encode()),
        (b"grpc-message", quote(message, safe=" !\"#$&'()*+,/:;<=>?@[\\]^`{|}").encode()),
    ]


async def send_status(send: Send, status: GrpcStatus, message: str) -> None:
    """Answer a call with a status alone ("Trailers-Only"); `message` is percent-encoded as grpc-message asks."""
    headers = [
        _CONTENT_TYPE,
        *_status_headers(status, message),
        # Sent whatever the status: a caller that compressed its message learns here what to use.
        (b"grpc-accept-encoding", b"identity"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send(_EMPTY_BODY)


class MessageStream:
    """The answer to a call by any number of messages."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._has_begun = False

    async def send(self, message: bytes) -> None:
        """One message, on its way when this returns."""
        if not self._has_begun:
            self._has_begun = True
            await self._send(RESPONSE_START)
        await self._send({"type": "http.response.body", "body": _framed(message), "more_body": True})

    async def end(self, status: GrpcStatus, message: str) -> None:
        """No further message."""
        if not self._has_begun:
            await send_status(self._send, status, message)
            return
        await self._send(_EMPTY_BODY)
        await self._send({"type": "http.response.trailers", "headers": _status_headers(status, message)})


async def send_http_status(send: Send, status: int) -> None:
    """Answer a request that is no gRPC call at all."""
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send(_EMPTY_BODY)


async def read_message(receive: Receive, max_bytes: int) -> bytes:
    """The call's one message, uncompressed; what follows it is not waited for.

    Raises:
        CallError: compressed, cut short, or more than one message.
        MessageTooLargeError: more than `max_bytes`, told by its prefix and not read.
        ClientGoneError: the stream ended early.
    """
    event = await receive()
    body: bytes = event.get("body", b"")
    if len(body) < PREFIX_LENGTH or len(body) != PREFIX_LENGTH + int.from_bytes(body[1:PREFIX_LENGTH], "big"):
        body = await _read_parts(receive, event, max_bytes)
    if body[0]:
        raise CallError(GrpcStatus.UNIMPLEMENTED, "compressed messages are not supported: send identity encoding")
    if len(body) - PREFIX_LENGTH > max_bytes:
        raise MessageTooLargeError
    return body[PREFIX_LENGTH:]


async def _read_parts(receive: Receive, event: Event, max_bytes: int) -> bytes:
    """The prefix and the message, from a first event that is not exactly both."""
    body = bytearray(event.get("body", b""))
    wanted: int | None = None
    while True:
        if wanted is None and len(body) >= PREFIX_LENGTH:
            wanted = PREFIX_LENGTH + int.from_bytes(body[1:PREFIX_LENGTH], "big")
            if wanted > PREFIX_LENGTH + max_bytes:
                raise MessageTooLargeError
        if wanted is not None and len(body) >= wanted:
            break
        if event["type"] == "http.disconnect":
            raise ClientGoneError
        if not event.get("more_body", False):
            raise CallError(GrpcStatus.INTERNAL, "the message is shorter than its prefix says")
        event = await receive()
        body += event.get("body", b"")
    if len(body) > wanted:
        raise CallError(GrpcStatus.INTERNAL, "more than one message in a unary call")
    return bytes(body)


async def await_end(receive: Receive) -> None:
    """Wait until the stream of an answered call is closed."""
    while (await receive())["type"] != "http.disconnect":
        pass  # the end of its body


_TIMEOUT = re.compile(rb"([0-9]{1,8})([HMSmun])")
_UNIT_SECONDS = {b"H": 3600.0, b"M": 60.0, b"S": 1.0, b"m": 1e-3, b"u": 1e-6, b"n": 1e-9}


@lru_cache(maxsize=256)
def parse_timeout(value: bytes) -> float | None:
    """The seconds that a grpc-timeout header grants; None when it is malformed and so grants nothing certain."""
    match = _TIMEOUT.fullmatch(value)
    if match is None:
        return None
    return int(match[1]) * _UNIT_SECONDS[match[2]]
