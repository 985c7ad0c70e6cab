"""Whether capture is in force: a connection that only the rules can bring to the proxy's port.

The proxy's user connects to 127.0.0.6 (::6), where nobody listens. The rule for calls of the proxy to its own pod
sends it to the inbound port, where this module listens in the proxy's place; the kernel tells where it was meant to
go. It must run before the proxy does.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.capture import Capture

PROBE_PORT: Final = 15002
TIMEOUT_SECONDS: Final = 5.0

_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}
_PROBED: Final = {4: "127.0.0.6", 6: "::6"}
_FAMILIES: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_SO_ORIGINAL_DST: Final = 80  # linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST has the same number
_LEVELS: Final = {4: socket.SOL_IP, 6: socket.IPPROTO_IPV6}
_SOCKADDR_BYTES: Final = {4: 16, 6: 28}


def validate_capture(capture: Capture, versions: tuple[int, ...], *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
    """Connect as the proxy would, for each address family.

    Raises:
        EnvironmentUnfitError: traffic is not captured, or this user is not the proxy's and cannot become it.
    """
    for version in versions:
        with _listening(version, capture.inbound_port) as server, _probe(version, capture):
            _expect_redirected(server, version, timeout_seconds)


def _expect_redirected(server: socket.socket, version: int, timeout_seconds: float) -> None:
    deadline = time.monotonic() + timeout_seconds
    while (left := deadline - time.monotonic()) > 0:
        server.settimeout(left)
        try:
            accepted, _ = server.accept()
        except TimeoutError:
            break
        with accepted:
            # Others may connect to the port, too; ours was meant for another one.
            if _original_port(accepted, version) == PROBE_PORT:
                return
    raise EnvironmentUnfitError(
        f"traffic is not captured: a connection of the proxy's to {_PROBED[version]} port {PROBE_PORT} did not reach "
        f"port {server.getsockname()[1]} within {timeout_seconds:g} s"
    )


@contextmanager
def _listening(version: int, port: int) -> Iterator[socket.socket]:
    try:
        server = socket.create_server((_LOOPBACK[version], port), family=_FAMILIES[version])
    except OSError as error:
        raise EnvironmentUnfitError(
            f"cannot listen at port {port} to see what is captured: {error.strerror}: validate before the proxy runs"
        ) from None
    with server:
        yield server


@contextmanager
def _probe(version: int, capture: Capture) -> Iterator[None]:
    """A connection of the proxy's to where nobody listens, under way."""
    with _as_proxy(capture), socket.socket(_FAMILIES[version]) as client:
        client.bind((_LOOPBACK[version], 0))
        client.settimeout(0)
        client.connect_ex((_PROBED[version], PROBE_PORT))
        yield


@contextmanager
def _as_proxy(capture: Capture) -> Iterator[None]:
    """Rules on owners look at who made the socket."""
    mine = os.geteuid()
    if mine in capture.uids or os.getegid() in capture.gids:
        yield
        return
    uid = capture.uids[0]
    try:
        os.seteuid(uid)
    except PermissionError:
        raise EnvironmentUnfitError(
            f"only the proxy's user can tell whether traffic is captured: run this as user {uid}, not {mine}"
        ) from None
    try:
        yield
    finally:
        os.seteuid(mine)


def _original_port(accepted: socket.socket, version: int) -> int:
    """Where the client meant to connect to."""
    try:
        address = accepted.getsockopt(_LEVELS[version], _SO_ORIGINAL_DST, _SOCKADDR_BYTES[version])
    except OSError:  # ENOENT: connections are not tracked, so none was redirected
        port: int = accepted.getsockname()[1]
        return port
    (port,) = struct.unpack_from("!H", address, 2)
    return port
