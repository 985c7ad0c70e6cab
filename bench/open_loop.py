"""A client that sends requests at a fixed rate, whether the last ones were answered or not.

Latency counts from the time at which a request should have been sent, not from when it was: a server that stalls delays
the requests behind, and a client that waited for it would not see that. The client spins on a CPU of its own, since no
timer is exact enough.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.http2 import (
    DEFAULT_WINDOW,
    END_HEADERS,
    END_STREAM,
    Frame,
    FrameReader,
    FrameType,
    acknowledgement,
    frame,
    header_block,
    opening,
)
from bench.workloads import WrongReplyError

IN_FLIGHT: Final = 64

_START_SECONDS: Final = 0.05
_PATIENCE_SECONDS: Final = 10.0
"""After the last request is due: then answers are missing."""
_RECEIVE_BYTES: Final = 256 * 1024
_STATUS_200: Final = b"\x88"
"""RFC 7541 appendix A, index 8, which is how Envoy writes it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent again and again."""

    headers: dict[str, str]
    body: bytes
    """Empty: none, and headers end the request."""
    holds: bytes
    """What the body of an answer must hold; empty: the answer is known by its status, 200, alone."""


def latencies(address: str, request: Request, *, rate: int, requests: int, in_flight: int | None = None) -> list[float]:
    """Send so many a second and return how long each took since it was due, in seconds, sorted.

    Args:
        in_flight: under way at once at most; without, as many as are due.

    Raises:
        WrongReplyError: an answer is wrong, or does not come.
    """
    return sorted(_run(address, request, 1 / rate, requests, in_flight or requests))


def peak_rate(address: str, request: Request, requests: int) -> float:
    """How many a second are answered when so many are always under way as keep the server busy.

    Raises:
        WrongReplyError: as `latencies`.
    """
    return requests / max(_run(address, request, 0.0, requests, IN_FLIGHT))


def _run(address: str, request: Request, interval: float, requests: int, in_flight: int) -> Sequence[float]:
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), _PATIENCE_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(opening())
        connection.settimeout(0)
        return _Schedule(connection, request, interval, requests, in_flight).run()


class _Schedule:
    """One connection, and what is due on it."""

    def __init__(
        self, connection: socket.socket, request: Request, interval: float, requests: int, in_flight: int
    ) -> None:
        self._connection = connection
        self._request = request
        self._headers = header_block(request.headers)
        self._interval = interval
        """Seconds between two that are due; 0: all are due at the start."""
        self._requests = requests
        self._in_flight = in_flight
        self._sent = 0
        self._ended = 0
        self._window = DEFAULT_WINDOW
        self._outgoing = bytearray()
        self._reader = FrameReader()
        self._bodies: dict[int, bytes] = {}
        self._latencies: list[float] = []

    def run(self) -> Sequence[float]:
        self._start = time.perf_counter() + _START_SECONDS
        give_up = self._start + self._requests * self._interval + _PATIENCE_SECONDS
        while self._ended < self._requests:
            now = time.perf_counter()
            if now > give_up:
                raise WrongReplyError(f"{self._requests - self._ended} of {self._requests} requests got no answer")
            self._send_due(now)
            self._receive()
        return self._latencies

    def _send_due(self, now: float) -> None:
        due = min(self._due(now), self._ended + self._in_flight)
        body = self._request.body
        while self._sent < due and len(body) <= self._window:
            stream = 2 * self._sent + 1
            flags = END_HEADERS if body else END_HEADERS | END_STREAM
            self._outgoing += frame(FrameType.HEADERS, flags, stream, self._headers)
            if body:
                self._outgoing += frame(FrameType.DATA, END_STREAM, stream, body)
                self._window -= len(body)
            self._sent += 1
        if self._outgoing:
            try:
                del self._outgoing[: self._connection.send(self._outgoing)]
            except BlockingIOError:
                return

    def _due(self, now: float) -> int:
        if now < self._start:
            return 0
        return min(self._requests, int((now - self._start) / self._interval) + 1) if self._interval else self._requests

    def _receive(self) -> None:
        try:
            chunk = self._connection.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        now = time.perf_counter()
        if not chunk:
            raise WrongReplyError(f"the server closed the connection after {self._ended} answers")
        for received in self._reader.feed(chunk):
            self._take(received, now)

    def _take(self, received: Frame, now: float) -> None:
        match received.type:
            case FrameType.HEADERS:
                if not self._request.holds and not received.payload.startswith(_STATUS_200):
                    raise WrongReplyError(f"an answer without status 200: {received.payload!r}")
            case FrameType.DATA:
                self._bodies[received.stream] = self._bodies.get(received.stream, b"") + received.payload
            case FrameType.RST_STREAM | FrameType.GOAWAY:
                raise WrongReplyError(f"the server reset stream {received.stream} after {self._ended} answers")
            case FrameType.WINDOW_UPDATE if received.stream == 0:
                self._window += int.from_bytes(received.payload, "big")
            case _:
                self._outgoing += acknowledgement(received) or b""
        if received.type in {FrameType.DATA, FrameType.HEADERS} and received.flags & END_STREAM:
            body = self._bodies.pop(received.stream, b"")
            if self._request.holds not in body:
                raise WrongReplyError(f"an answer does not hold {self._request.holds!r}: {body!r}")
            self._ended += 1
            self._latencies.append(now - self._start - (received.stream - 1) // 2 * self._interval)
