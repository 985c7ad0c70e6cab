"""An HTTP/1.1 server in the test's own event loop, whose every byte the test writes itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Asked:
    """A request, as it came."""

    head: bytes
    body: bytes

    @property
    def target(self) -> str:
        return self.head.split(b" ")[1].decode()

    def header(self, name: str) -> str | None:
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return next((value.strip().decode() for key, _, value in lines if key.decode().lower() == name), None)


Answer: TypeAlias = Callable[[Asked, asyncio.StreamWriter], Awaitable[None]]


class ScriptedServer:
    """Answers each request on a connection by `answer`, which writes whatever it likes, and may close."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.connections = 0
        self.port = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._ending = asyncio.Event()
        self._serving: set[asyncio.Task[object]] = set()

    def drop(self) -> None:
        """Close all connections, as a server does that is started anew."""
        for writer in self._open:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        async with asyncio.TaskGroup() as tasks:
            answering = tasks.create_task(self._answer_all(reader, writer))
            ending = tasks.create_task(self._ending.wait())
            await asyncio.wait([answering, ending], return_when=asyncio.FIRST_COMPLETED)
            answering.cancel()
            ending.cancel()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                asked = Asked(head, b"")
                body = await reader.readexactly(int(asked.header("content-length") or 0))
                self.asked.append(Asked(head, body))
                await self.answer(self.asked[-1], writer)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client has gone, which some tests want
        finally:
            self._open.discard(writer)
            writer.close()

    @asynccontextmanager
    async def serving(self, tls: ssl.SSLContext | None = None, port: int = 0) -> AsyncIterator[ScriptedServer]:
        """On a port of loopback, inside the block."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            self._ending.set()
            self.drop()
            await server.wait_closed()
            await asyncio.gather(*self._serving)


def replies(status: int = 200, body: bytes = b"{}", *headers: bytes) -> Answer:
    """Always this."""

    async def answer(_: Asked, writer: asyncio.StreamWriter) -> None:
        lines = [b"HTTP/1.1 %d x" % status, b"content-length: %d" % len(body), *headers, b"", b""]
        writer.write(b"\r\n".join(lines) + body)

    return answer
