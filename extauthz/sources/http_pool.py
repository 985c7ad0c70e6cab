"""Small POSTs to one server over connections that stay open.

h11 (the protocol layer below httpx) on asyncio streams, without httpx above it: a decision waits for this, and httpx
takes twenty times the CPU for the same exchange (measured: 1,285 us against 66). HTTP/1.1 (RFC 9112), one request at a
time on a connection, no redirects, no proxies, no compression.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import h11

MAXIMUM_HEADER_BYTES: Final = 16 * 1024
_READ_BYTES: Final = 64 * 1024

Headers = Sequence[tuple[bytes, bytes]]


class ExchangeError(Exception):
    """No whole answer came; the message says why, and holds nothing of the request."""


class ReplyTooLargeError(Exception):
    """An answer came, and is larger than we read."""


class _ConnectionStaleError(Exception):
    """A connection that had been open ended before a byte of the answer: the server had closed it meanwhile."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server."""

    host: str
    port: int
    host_header: bytes
    tls: Callable[[], ssl.SSLContext] | None
    """Called for every new connection, so that files that changed count; None for plain http."""


class ConnectionPool:
    """Connections to one server. For one event loop."""

    def __init__(self, endpoint: Endpoint, *, size: int, maximum_bytes: int) -> None:
        """Connect when there is something to send.

        Args:
            endpoint: the server.
            size: how many connections there may be; who needs another waits.
            maximum_bytes: the largest body that is read.
        """
        self._endpoint = endpoint
        self._places = asyncio.Semaphore(size)
        self._idle: list[_Connection] = []
        self._maximum_bytes = maximum_bytes

    async def post(self, target: bytes, headers: Headers, body: bytes) -> Reply:
        """Send and read the answer. For requests that change nothing: it may be sent twice.

        Cancelling closes the connection that was used, and no other.

        Raises:
            ExchangeError: no whole answer.
            ReplyTooLargeError: the answer is too large.
        """
        request = h11.Request(
            method=b"POST",
            target=target,
            headers=[
                (b"host", self._endpoint.host_header),
                (b"accept-encoding", b"identity"),
                (b"content-length", b"%d" % len(body)),
                *headers,
            ],
        )
        async with self._places:
            while self._idle:
                try:
                    return await self._exchange(self._idle.pop(), request, body)
                except _ConnectionStaleError:
                    continue
            return await self._exchange(await self._connect(), request, body)

    def close(self) -> None:
        """Close what is idle; what is in use closes with its request."""
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> _Connection:
        endpoint = self._endpoint
        try:
            context = None if endpoint.tls is None else endpoint.tls()
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
        except OSError as error:  # ssl.SSLError is one
            raise ExchangeError(f"cannot connect: {_described(error)}") from None
        return _Connection(reader, writer)

    async def _exchange(self, connection: _Connection, request: h11.Request, body: bytes) -> Reply:
        reusable = False
        try:
            reply = await connection.exchange(request, body, self._maximum_bytes)
            reusable = connection.begin_next()
            return reply
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()


class _Connection:
    """One connection, and how far its current exchange is."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAXIMUM_HEADER_BYTES)
        self._is_fresh = True
        self._has_heard = False
        """Whether a byte of the current answer has come."""

    async def exchange(self, request: h11.Request, body: bytes, maximum_bytes: int) -> Reply:
        """Send and read the answer.

        Raises:
            ExchangeError: no whole answer.
            ReplyTooLargeError: the answer is too large.
            _ConnectionStaleError: nothing of an answer, on a connection that has been used before.
        """
        was_fresh, self._is_fresh = self._is_fresh, False
        self._has_heard = False
        try:
            parts = [self._protocol.send(part) for part in (request, h11.Data(data=body), h11.EndOfMessage())]
            self._writer.write(b"".join(part for part in parts if part))
            return await self._receive(maximum_bytes)
        except (OSError, h11.RemoteProtocolError) as error:
            if not self._has_heard and not was_fresh:
                raise _ConnectionStaleError from None
            raise ExchangeError(_described(error)) from None

    async def _receive(self, maximum_bytes: int) -> Reply:
        head, content = None, bytearray()
        while True:
            event = self._protocol.next_event()
            if event is h11.NEED_DATA:
                received = await self._reader.read(_READ_BYTES)
                self._has_heard = self._has_heard or bool(received)
                self._protocol.receive_data(received)  # nothing is the end, which h11 refuses where it is too early
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                content += event.data
                if len(content) > maximum_bytes:
                    raise ReplyTooLargeError(f"more than {maximum_bytes} bytes")
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                return Reply(head.status_code, tuple(head.headers), bytes(content))

    def begin_next(self) -> bool:
        """Whether another exchange can follow on this connection."""
        if self._protocol.our_state is not h11.DONE or self._protocol.their_state is not h11.DONE:
            return False
        if self._writer.is_closing() or self._reader.at_eof() or self._protocol.trailing_data[0]:
            return False  # what came unasked must not be taken for the next answer
        self._protocol.start_next_cycle()
        return True

    def close(self) -> None:
        self._writer.transport.abort()


def _described(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) or type(error).__name__
