"""HTTP/2 as bare frames (RFC 9113), without a library: one would cost more than the server that is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import IntEnum
from typing import Final, NamedTuple

# RFC 9113 sections 3.4, 6 and 6.5.2.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
DEFAULT_WINDOW: Final = 65_535
_INITIAL_WINDOW_SIZE: Final = 0x4
_LARGEST_WINDOW: Final = 2**31 - 1
_FRAME_HEADER_BYTES: Final = 9


class FrameType(IntEnum):
    """Section 6."""

    DATA = 0x0
    HEADERS = 0x1
    RST_STREAM = 0x3
    SETTINGS = 0x4
    PING = 0x6
    GOAWAY = 0x7
    WINDOW_UPDATE = 0x8


class Frame(NamedTuple):
    """One, as it came."""

    type: int
    flags: int
    stream: int
    payload: bytes


class FrameReader:
    """Cuts what is received into frames."""

    def __init__(self) -> None:
        self._received = b""

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that are whole now."""
        received, at = self._received + chunk, 0
        while len(received) - at >= _FRAME_HEADER_BYTES:
            end = at + _FRAME_HEADER_BYTES + int.from_bytes(received[at : at + 3], "big")
            if end > len(received):
                break
            stream = int.from_bytes(received[at + 5 : at + 9], "big")
            yield Frame(received[at + 3], received[at + 4], stream, received[at + _FRAME_HEADER_BYTES : end])
            at = end
        self._received = received[at:]


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """A frame, as it is sent."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def opening() -> bytes:
    """What a client sends first: it takes as much as the server has to say."""
    settings = _INITIAL_WINDOW_SIZE.to_bytes(2, "big") + _LARGEST_WINDOW.to_bytes(4, "big")
    growth = (_LARGEST_WINDOW - DEFAULT_WINDOW).to_bytes(4, "big")
    return PREFACE + frame(FrameType.SETTINGS, 0, 0, settings) + frame(FrameType.WINDOW_UPDATE, 0, 0, growth)


def acknowledgement(received: Frame) -> bytes | None:
    """What a SETTINGS or PING is answered with; None for all others."""
    if received.type not in {FrameType.SETTINGS, FrameType.PING} or received.flags & ACK:
        return None
    return frame(received.type, ACK, 0, received.payload if received.type == FrameType.PING else b"")


def header_block(headers: Mapping[str, str]) -> bytes:
    """Headers, each a literal without indexing and with a new name (RFC 7541 section 6.2.2)."""
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in headers.items())


def grpc_headers(authority: str, path: str) -> dict[str, str]:
    """Of a call."""
    return {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": authority,
        "content-type": "application/grpc",
        "te": "trailers",
    }


def _literal(text: str) -> bytes:
    encoded = text.encode()
    if len(encoded) < 127:  # section 5.1: a length that fits into the prefix of 7 bits
        return bytes((len(encoded),)) + encoded
    length, rest = [127], len(encoded) - 127
    while rest >= 128:
        length.append(rest % 128 + 128)
        rest //= 128
    return bytes((*length, rest)) + encoded
