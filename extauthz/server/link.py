"""A private socket between two processes of ours: messages in order, and calls that are answered.

Frames are a length, four bytes big-endian, and a pickle. That is safe only because both ends are the same program, and
the socket is inherited: nobody else can write to it.
"""

from __future__ import annotations

import asyncio
import copyreg
import io
import itertools
import pickle
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from enum import Enum, auto
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

_LENGTH_BYTES: Final = 4
_PROTOCOL: Final = 5
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class LinkClosedError(Exception):
    """The process at the other end has gone."""


class _Kind(Enum):
    TOLD = auto()
    CALLED = auto()
    REPLIED = auto()


class LinkHandler(Protocol):
    """What one end does with the messages of the other. An exception ends the link, and whoever runs it."""

    def told(self, message: Any) -> None:
        """A message that needs no answer. They come in the order in which they were sent, replies included."""

    def called(self, message: Any) -> Awaitable[Any]:
        """A message whose answer is sent back. Several may be under way."""


class Link:
    """One end. For one event loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._is_closed = False

    @classmethod
    async def over(cls, connected: socket.socket) -> Link:
        """The end that is this socket."""
        return cls(*await asyncio.open_unix_connection(sock=connected))

    async def run(self, handler: LinkHandler) -> None:
        """Handle what arrives, until the other end has finished or gone; then close this one."""
        async with asyncio.TaskGroup() as tasks:
            while (frame := await self._read()) is not None:
                self._handle(frame, handler, tasks)
            self.close()
            for answering in self._answering:  # nobody waits for it any more
                answering.cancel()

    def tell(self, message: Any) -> None:
        """Send without waiting for anything; lost when the other process has gone."""
        self._send(_Kind.TOLD, 0, message)

    async def call(self, message: Any) -> Any:
        """Send, and wait for the answer.

        Raises:
            LinkClosedError: the other process has gone, or goes before it has answered.
        """
        if self._is_closed:
            raise LinkClosedError
        number = next(self._numbers)
        answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answered
        try:
            self._send(_Kind.CALLED, number, message)
            return await answered
        finally:
            del self._waiting[number]

    async def finish(self) -> None:
        """Say nothing more; returns when what was said is on its way. What the other end says is still heard."""
        self._is_closed = True
        self._writer.transport.set_write_buffer_limits(0)
        with suppress(ConnectionError):
            await self._writer.drain()
            self._writer.write_eof()

    def close(self) -> None:
        """Neither say nor hear anything more."""
        self._is_closed = True
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(LinkClosedError())
        self._writer.close()

    def _handle(self, frame: bytes, handler: LinkHandler, tasks: asyncio.TaskGroup) -> None:
        kind: _Kind
        kind, number, message = unpack(frame)
        match kind:
            case _Kind.TOLD:
                handler.told(message)
            case _Kind.CALLED:
                answering = tasks.create_task(self._answer(handler, number, message))
                self._answering.add(answering)
                answering.add_done_callback(self._answering.discard)
            case _Kind.REPLIED:
                answered = self._waiting.get(number)
                if answered is not None and not answered.done():  # else the caller has given up
                    answered.set_result(message)

    async def _answer(self, handler: LinkHandler, number: int, message: Any) -> None:
        self._send(_Kind.REPLIED, number, await handler.called(message))

    async def _read(self) -> bytes | None:
        try:
            length = int.from_bytes(await self._reader.readexactly(_LENGTH_BYTES), "big")
            return await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def _send(self, kind: _Kind, number: int, message: Any) -> None:
        if not self._is_closed:
            frame = pack((kind, number, message))
            self._writer.write(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)


def _proxy_of(plain: dict[_Key, _Value]) -> Mapping[_Key, _Value]:
    return MappingProxyType(plain)


def _reduce_proxy(
    proxy: Mapping[_Key, _Value],
) -> tuple[Callable[[dict[_Key, _Value]], Mapping[_Key, _Value]], tuple[dict[_Key, _Value]]]:
    return _proxy_of, (dict(proxy),)


class _Pickler(pickle.Pickler):
    # Read-only maps, which policy sets are full of, do not pickle by themselves.
    dispatch_table: Mapping[type, Callable[[Any], Any]] = {**copyreg.dispatch_table, MappingProxyType: _reduce_proxy}


def pack(value: Any) -> bytes:
    """The value for another process of ours, read-only maps included."""
    buffer = io.BytesIO()
    _Pickler(buffer, _PROTOCOL).dump(value)
    return buffer.getvalue()


def unpack(packed: bytes) -> Any:
    """What `pack` was given."""
    return pickle.loads(packed)  # noqa: S301 - see the module's first lines
