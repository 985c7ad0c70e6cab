"""An HTTP/1.1 client that sends what it is told: no library between the test and the wire to normalise anything."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from http.client import HTTPResponse
from typing import NamedTuple

from extauthz.lowering.address import TcpAddress

_SECONDS = 10.0


class Response(NamedTuple):
    """What came back, and the address it was asked from."""

    status: int
    headers: dict[str, list[str]]
    body: bytes
    peer: str
    """`address:port` of the client."""


def request_bytes(method: str, target: str, host: str, headers: Sequence[tuple[str, str]], body: bytes = b"") -> bytes:
    """One request as it goes over the wire; text that is not ASCII is sent as UTF-8."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", *(f"{name}: {value}" for name, value in headers)]
    if body:
        lines.append(f"content-length: {len(body)}")
    lines += ["connection: close", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def exchange(
    address: TcpAddress,
    message: bytes,
    *,
    method: str = "GET",
    client: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> Response:
    """Send one message on a connection of its own from the address `client`, and read the response."""
    connection = socket.create_connection((address.host, address.port), _SECONDS, source_address=(client, 0))
    with connection if tls is None else tls.wrap_socket(connection, server_hostname="localhost") as stream:
        peer = "{}:{}".format(*stream.getsockname())
        stream.sendall(message)
        response = HTTPResponse(stream, method=method)
        response.begin()
        headers: dict[str, list[str]] = {}
        for name, value in response.getheaders():
            headers.setdefault(name.lower(), []).append(value)
        return Response(response.status, headers, response.read(), peer)
