"""Port 15053, where captured DNS queries arrive: each goes on to a server of resolv.conf, the answer comes back.

Queries are not read, only forwarded: over UDP one datagram each way (RFC 1035 section 4.2.1), over TCP the stream as it
is (RFC 7766). The proxy's user is not captured, so that these go out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from extauthz.errors import EnvironmentUnfitError

DNS_PORT: Final = 15053
_MAX_QUERIES: Final = 512
"""In flight; more are dropped, as a busy server would."""
_UDP_SECONDS: Final = 5.0
_TCP_SECONDS: Final = 30.0
_PORT: Final = 53


class DnsForwarder:
    """For one event loop; forwards to the first server, and to the next one where that does not answer."""

    def __init__(self, servers: Sequence[str], *, host: str = "127.0.0.1", port: int = DNS_PORT) -> None:
        self._servers = [(server, _PORT) for server in servers]
        self._host = host
        self._port = port
        self._queries: set[asyncio.Task[None]] = set()
        self.port = port

    async def run(self, started: asyncio.Event) -> None:
        """Serve until cancelled.

        Raises:
            EnvironmentUnfitError: the port is taken.
        """
        loop = asyncio.get_running_loop()
        try:
            server = await asyncio.start_server(self._serve_stream, self._host, self._port)
            self.port = server.sockets[0].getsockname()[1]
            transport, _ = await loop.create_datagram_endpoint(
                lambda: _Queries(self), local_addr=(self._host, self.port)
            )
        except OSError as error:
            raise EnvironmentUnfitError(f"cannot listen at {self._host}:{self._port}: {error.strerror}") from None
        try:
            async with server:
                started.set()
                await server.serve_forever()
        finally:
            transport.close()
            for task in self._queries:
                task.cancel()

    def accept(self, query: bytes, client: tuple[Any, ...], transport: asyncio.DatagramTransport) -> None:
        """Take a query over UDP."""
        if len(self._queries) < _MAX_QUERIES:
            task = asyncio.ensure_future(self._forward(query, client, transport))
            self._queries.add(task)
            task.add_done_callback(self._queries.discard)

    async def _forward(self, query: bytes, client: tuple[Any, ...], transport: asyncio.DatagramTransport) -> None:
        loop = asyncio.get_running_loop()
        for server in self._servers:
            answer: asyncio.Future[bytes] = loop.create_future()
            try:
                asking, _ = await loop.create_datagram_endpoint(_answering(answer), remote_addr=server)
            except OSError:
                continue  # no route to it: the next one
            try:
                asking.sendto(query)
                transport.sendto(await asyncio.wait_for(answer, _UDP_SECONDS), client)
                return
            except (TimeoutError, OSError):
                continue  # the client asks again, or the next server answers
            finally:
                asking.close()

    async def _serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = await self._connect()
        try:
            if upstream is not None:
                from_server, to_server = upstream
                async with asyncio.timeout(_TCP_SECONDS):
                    await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))
        except (TimeoutError, OSError):
            return  # either end is gone, or silent for too long: DNS over TCP is asked again
        finally:
            writer.close()
            if upstream is not None:
                upstream[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for server in self._servers:
            try:
                return await asyncio.wait_for(asyncio.open_connection(*server), _UDP_SECONDS)
            except (TimeoutError, OSError):
                continue
        return None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()


class _Queries(asyncio.DatagramProtocol):
    def __init__(self, forwarder: DnsForwarder) -> None:
        self._forwarder = forwarder

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.DatagramTransport = transport

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._forwarder.accept(data, addr, self._transport)


class _Answer(asyncio.DatagramProtocol):
    def __init__(self, answer: asyncio.Future[bytes]) -> None:
        self._answer = answer

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:  # noqa: ARG002 - asyncio's signature
        if not self._answer.done():
            self._answer.set_result(data)

    def error_received(self, exc: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(exc)


def _answering(answer: asyncio.Future[bytes]) -> Any:
    return lambda: _Answer(answer)
