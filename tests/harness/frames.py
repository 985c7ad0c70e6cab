"""HTTP/2 frames as an attacker writes them (RFC 9113), without a library that would keep to the rules."""

from __future__ import annotations

import socket

from extauthz.lowering.address import TcpAddress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION = 0x0, 0x1, 0x3, 0x4, 0x6, 0x9
END_STREAM, END_HEADERS = 0x1, 0x4
INITIAL_WINDOW_SIZE = (4).to_bytes(2, "big")
"""A setting; its value, four bytes, comes after it."""
CANCEL = (8).to_bytes(4, "big")


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def call_headers(path: str) -> bytes:
    """The header block of a call, every field a literal without indexing (RFC 7541 section 6.2.2)."""
    fields = {
        ":method": "POST",
        ":scheme": "http",
        ":path": path,
        ":authority": "localhost",
        "content-type": "application/grpc",
        "te": "trailers",
    }
    return b"".join(b"\0" + _literal(name) + _literal(value) for name, value in fields.items())


def large_field(length: int) -> bytes:
    """A field whose value is announced to be so long, up to where the value begins."""
    rest = length - 127
    announced = bytearray(b"\x7f")
    while rest >= 128:
        announced.append(rest % 128 + 128)
        rest //= 128
    announced.append(rest)
    return b"\0" + _literal("x-large") + bytes(announced)


def connect(address: TcpAddress, opening: bytes = PREFACE + frame(SETTINGS, 0, 0, b"")) -> socket.socket:
    """A connection on which this was sent."""
    connection = socket.create_connection((address.host, address.port), 20)
    connection.sendall(opening)
    return connection


def closes(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side closes the connection in this time, whatever it says before."""
    connection.settimeout(seconds)
    try:
        while connection.recv(65536):
            pass
    except TimeoutError:
        return False
    except OSError:
        pass  # reset
    return True


def _literal(text: str) -> bytes:
    encoded = text.encode()
    assert len(encoded) < 127
    return bytes((len(encoded),)) + encoded
