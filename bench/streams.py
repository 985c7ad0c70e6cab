"""A gRPC client that takes turns among messages, as bare HTTP/2 frames (RFC 9113) without a library.

A library would cost more than the server that it loads. This one sends frames built ahead, skips every header it gets,
and looks into each reply for what must be in it.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from bench.workloads import WrongReplyError
from extauthz.server.check_method import CHECK_PATH

IN_FLIGHT: Final = 64

_TIMEOUT_SECONDS: Final = 30.0
_RECEIVE_BYTES: Final = 256 * 1024

# RFC 9113 sections 3.4, 6 and 6.5.2.
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_END_STREAM: Final = 0x1
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_INITIAL_WINDOW_SIZE: Final = 0x4
_DEFAULT_WINDOW: Final = 65_535
_LARGEST_WINDOW: Final = 2**31 - 1
_FRAME_HEADER_BYTES: Final = 9


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


class _Type(IntEnum):
    """Frame types (RFC 9113 section 6)."""

    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8


class _Frame(NamedTuple):
    type: int
    flags: int
    stream: int
    payload: bytes


class _Conversation:
    """One connection's state."""

    def __init__(self, connection: socket.socket, authority: str, turns: Sequence[Turn], requests: int) -> None:
        self._connection = connection
        self._turns = turns
        self._requests = requests
        self._call_headers = _header_block(authority)
        self._data = [b"\0" + len(turn.message).to_bytes(4, "big") + turn.message for turn in turns]
        self._outgoing: deque[bytes] = deque()
        self._received = b""
        self._window = _DEFAULT_WINDOW
        self._started = 0
        self._ended = 0
        self._replies: dict[int, bytes] = {}

    def run(self) -> None:
        settings = _INITIAL_WINDOW_SIZE.to_bytes(2, "big") + _LARGEST_WINDOW.to_bytes(4, "big")
        growth = (_LARGEST_WINDOW - _DEFAULT_WINDOW).to_bytes(4, "big")
        self._outgoing += (_PREFACE, _frame(_Type.SETTINGS, 0, 0, settings), _frame(_Type.WINDOW_UPDATE, 0, 0, growth))
        while self._ended < self._requests:
            self._start_calls()
            self._connection.sendall(b"".join(self._outgoing))
            self._outgoing.clear()
            for frame in self._receive():
                self._take(frame)

    def _start_calls(self) -> None:
        while self._started < self._requests and self._started - self._ended < IN_FLIGHT:
            data = self._data[self._started % len(self._data)]
            if len(data) > self._window:  # the server will say when it can take more
                return
            stream = 2 * self._started + 1
            self._outgoing += (
                _frame(_Type.HEADERS, _END_HEADERS, stream, self._call_headers),
                _frame(_Type.DATA, _END_STREAM, stream, data),
            )
            self._window -= len(data)
            self._started += 1

    def _receive(self) -> Iterator[_Frame]:
        chunk = self._connection.recv(_RECEIVE_BYTES)
        if not chunk:
            raise WrongReplyError(f"the server closed the connection after {self._ended} replies")
        received, at = self._received + chunk, 0
        while len(received) - at >= _FRAME_HEADER_BYTES:
            end = at + _FRAME_HEADER_BYTES + int.from_bytes(received[at : at + 3], "big")
            if end > len(received):
                break
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            yield _Frame(received[at + 3], received[at + 4], stream, received[at + _FRAME_HEADER_BYTES : end])
            at = end
        self._received = received[at:]

    def _take(self, frame: _Frame) -> None:
        match frame.type:
            case _Type.DATA:
                self._replies[frame.stream] = self._replies.get(frame.stream, b"") + frame.payload
            case _Type.RST_STREAM | _Type.GOAWAY:
                raise WrongReplyError(f"the server reset stream {frame.stream} after {self._ended} replies")
            case _Type.SETTINGS | _Type.PING if not frame.flags & _ACK:
                self._outgoing.append(_frame(frame.type, _ACK, 0, frame.payload if frame.type == _Type.PING else b""))
            case _Type.WINDOW_UPDATE if frame.stream == 0:
                self._window += int.from_bytes(frame.payload, "big")
        if frame.type in {_Type.DATA, _Type.HEADERS} and frame.flags & _END_STREAM:
            self._end(frame.stream)

    def _end(self, stream: int) -> None:
        turn = self._turns[(stream - 1) // 2 % len(self._turns)]
        reply = self._replies.pop(stream, b"")
        if not reply or turn.holds not in reply:
            raise WrongReplyError(f"a reply does not hold {turn.holds!r}: {reply!r}")
        self._ended += 1


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _header_block(authority: str) -> bytes:
    """A call's headers, each a literal without indexing and with a new name (RFC 7541 section 6.2.2)."""
    headers = {
        ":method": "POST",
        ":scheme": "http",
        ":path": CHECK_PATH,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers.items())


def _literal(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) > 126:
        raise ValueError(f"{text} is too long for a length in one byte")
    return bytes((len(encoded),)) + encoded
