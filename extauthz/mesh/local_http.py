"""One GET to something on this pod: the proxy's administration interface, the authorizer's, the application.

What goes to the application comes from the address that the capture leaves alone, so that it reaches the application
itself and not the proxy in front of it.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress, UnixAddress

_MAX_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: bytes
    content_type: str = ""


def get(
    address: Address,
    path: str,
    *,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    source: str | None = None,
    is_tls: bool = False,
    timeout_seconds: float = 3.0,
) -> Answer:
    """Send a request without a body.

    Args:
        address: Where.
        path: With the query.
        method: GET, or POST where it changes something.
        headers: More of them, by name; a Host among them replaces the address.
        source: The address to come from; any when None.
        is_tls: As a kubelet's: the certificate is not verified.
        timeout_seconds: For each step.

    Raises:
        EnvironmentUnfitError: no answer came; one line.
    """
    connection = _connection(address, source, timeout_seconds, is_tls=is_tls)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, response.read(_MAX_BYTES), response.getheader("content-type", ""))
    except (OSError, HTTPException, ValueError) as error:
        raise EnvironmentUnfitError(f"{address}: no answer: {str(error) or type(error).__name__}") from None
    finally:
        connection.close()


def connects(address: TcpAddress, *, source: str | None, timeout_seconds: float) -> bool:
    """Whether somebody accepts connections there."""
    bound = None if source is None else (source, 0)
    try:
        with socket.create_connection((address.host, address.port), timeout_seconds, bound):
            return True
    except OSError:
        return False


def _connection(address: Address, source: str | None, timeout_seconds: float, *, is_tls: bool) -> HTTPConnection:
    if isinstance(address, UnixAddress):
        return _UnixConnection(address.path, timeout_seconds)
    bound = None if source is None else (source, 0)
    if not is_tls:
        return HTTPConnection(address.host, address.port, timeout=timeout_seconds, source_address=bound)
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return HTTPSConnection(address.host, address.port, timeout=timeout_seconds, source_address=bound, context=context)


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
