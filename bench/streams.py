"""A gRPC client that takes turns among messages.

It sends frames built ahead, skips every header it gets, and looks into each reply for what must be in it.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from bench.http2 import (
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    Frame,
    FrameReader,
    FrameType,
    acknowledgement,
    frame,
    grpc_headers,
    header_block,
    opening,
)
from bench.workloads import WrongReplyError
from extauthz.server.check_method import CHECK_PATH

IN_FLIGHT: Final = 64

_TIMEOUT_SECONDS: Final = 30.0
_RECEIVE_BYTES: Final = 256 * 1024


class Turn(NamedTuple):
    """One message and what its reply must hold."""

    message: bytes
    holds: bytes


def ask_in_turn(address: str, turns: Sequence[Turn], requests: int) -> None:
    """Send `requests` calls over one connection, always `IN_FLIGHT` at once, and read every reply.

    Raises:
        WrongReplyError: a reply does not hold what it must, or a stream or the connection was reset.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), _TIMEOUT_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _Conversation(connection, address, turns, requests).run()


class _Conversation:
    """One connection's state."""

    def __init__(self, connection: socket.socket, authority: str, turns: Sequence[Turn], requests: int) -> None:
        self._connection = connection
        self._turns = turns
        self._requests = requests
        self._call_headers = header_block(grpc_headers(authority, CHECK_PATH))
        self._data = [b"\0" + len(turn.message).to_bytes(4, "big") + turn.message for turn in turns]
        self._outgoing: deque[bytes] = deque()
        self._reader = FrameReader()
        self._window = DEFAULT_WINDOW
        self._started = 0
        self._ended = 0
        self._replies: dict[int, bytes] = {}

    def run(self) -> None:
        self._outgoing.append(opening())
        while self._ended < self._requests:
            self._start_calls()
            self._connection.sendall(b"".join(self._outgoing))
            self._outgoing.clear()
            chunk = self._connection.recv(_RECEIVE_BYTES)
            if not chunk:
                raise WrongReplyError(f"the server closed the connection after {self._ended} replies")
            for received in self._reader.feed(chunk):
                self._take(received)

    def _start_calls(self) -> None:
        while self._started < self._requests and self._started - self._ended < IN_FLIGHT:
            data = self._data[self._started % len(self._data)]
            if len(data) > self._window:  # the server will say when it can take more
                return
            stream = 2 * self._started + 1
            self._outgoing += (
                frame(FrameType.HEADERS, END_HEADERS, stream, self._call_headers),
                frame(FrameType.DATA, END_STREAM, stream, data),
            )
            self._window -= len(data)
            self._started += 1

    def _take(self, received: Frame) -> None:
        match received.type:
            case FrameType.DATA:
                self._replies[received.stream] = self._replies.get(received.stream, b"") + received.payload
            case FrameType.RST_STREAM | FrameType.GOAWAY:
                raise WrongReplyError(f"the server reset stream {received.stream} after {self._ended} replies")
            case FrameType.WINDOW_UPDATE if received.stream == 0:
                self._window += int.from_bytes(received.payload, "big")
            case _:
                self._outgoing.append(acknowledgement(received) or b"")
        if received.type in {FrameType.DATA, FrameType.HEADERS} and received.flags & END_STREAM:
            self._end(received.stream)

    def _end(self, stream: int) -> None:
        turn = self._turns[(stream - 1) // 2 % len(self._turns)]
        reply = self._replies.pop(stream, b"")
        if not reply or turn.holds not in reply:
            raise WrongReplyError(f"a reply does not hold {turn.holds!r}: {reply!r}")
        self._ended += 1
