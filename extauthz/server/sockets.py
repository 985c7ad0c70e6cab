"""Listening sockets: bound by us, handed to the HTTP servers as descriptors.

h2corn would unlink any Unix socket in its way, a live one included, and fail with several lines. Here a path in use
is refused, a stale one is replaced, and every failure is one line that says what to do.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress, UnixAddress

BACKLOG: Final = 1024
UNIX_MODE: Final = 0o660
"""Owner and group: the proxy runs as either."""

_REMEDIES: Final = {
    errno.EADDRINUSE: "another process listens there: stop it, or choose another address",
    errno.EACCES: "permission denied: choose a port above 1023, or a folder that this user may write to",
    errno.EPERM: "permission denied",
    errno.EADDRNOTAVAIL: "this machine has no such address",
    errno.ENOENT: "its folder does not exist: create it first",
    errno.ENOTDIR: "its folder is no folder",
}


class ListeningSocket:
    """A bound, listening socket. `address` is the real one: port 0 has become what the system chose."""

    def __init__(self, bound: socket.socket, address: Address) -> None:
        self.address = address
        self._socket = bound
        self._inode = _inode(address.path) if isinstance(address, UnixAddress) else None

    @property
    def descriptor(self) -> int:
        """Its file descriptor, which stays ours."""
        return self._socket.fileno()

    def close(self) -> None:
        """Stop listening, duplicates included, and remove a Unix socket's file if it is still ours."""
        with suppress(OSError):  # not listening any more
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if isinstance(self.address, UnixAddress) and self._inode is not None:
            with suppress(FileNotFoundError), _locked_folder(self.address.path):  # its folder may be gone
                if _inode(self.address.path) == self._inode:
                    Path(self.address.path).unlink()
        self._inode = None


def listen(address: Address) -> ListeningSocket:
    """Bind and listen.

    Raises:
        EnvironmentUnfitError: the address is in use, not ours, or not permitted.
    """
    try:
        return _listen_unix(address) if isinstance(address, UnixAddress) else _listen_tcp(address)
    except OSError as error:
        raise _unfit(address, error) from None


def _unfit(address: Address, error: OSError) -> EnvironmentUnfitError:
    reason = _REMEDIES.get(error.errno or 0, error.strerror or str(error))
    return EnvironmentUnfitError(f"cannot listen at {address}: {reason}")


def bound_by_others(address: Address, bind: Callable[[Address], bool]) -> Address:
    """Have a library listen that takes no descriptors, with the checks, the errors and the file mode of `listen`.

    Args:
        address: where.
        bind: makes the library listen at this address, in which names and port 0 are resolved; whether it does.

    Returns:
        The real address.

    Raises:
        EnvironmentUnfitError: as `listen`.
    """
    try:
        bound = _bind_unix(address, bind) if isinstance(address, UnixAddress) else _bind_tcp(address, bind)
    except OSError as error:
        raise _unfit(address, error) from None
    if bound is None:
        raise EnvironmentUnfitError(f"cannot listen at {address}: the gRPC library refuses it: choose another address")
    return bound


def _bind_tcp(address: TcpAddress, bind: Callable[[Address], bool]) -> TcpAddress | None:
    # A socket that is bound and does not listen reserves the port: with SO_REUSEADDR on both, another may join it,
    # but not where somebody listens (socket(7)).
    with _bound_tcp(address) as reservation:
        host, port, *_ = reservation.getsockname()
        resolved = TcpAddress(host, port)
        return resolved if bind(resolved) else None


def _bind_unix(address: UnixAddress, bind: Callable[[Address], bool]) -> UnixAddress | None:
    with _locked_folder(address.path):
        _make_way(address)
        # The library listens as soon as it has bound: nobody else may connect before the mode is right.
        before = os.umask(0o077)
        try:
            if not bind(address):
                return None
        finally:
            os.umask(before)
        Path(address.path).chmod(UNIX_MODE)
    return address


def listen_all(addresses: Sequence[Address]) -> list[ListeningSocket]:
    """Listen at every address, or at none.

    Raises:
        EnvironmentUnfitError: as `listen`.
    """
    listening: list[ListeningSocket] = []
    try:
        listening.extend(listen(address) for address in addresses)
    except BaseException:
        for each in listening:
            each.close()
        raise
    return listening


def _listen_tcp(address: TcpAddress) -> ListeningSocket:
    bound = _bound_tcp(address)
    try:
        bound.listen(BACKLOG)
    except BaseException:
        bound.close()
        raise
    host, port, *_ = bound.getsockname()
    return ListeningSocket(bound, TcpAddress(host, port))


def _bound_tcp(address: TcpAddress) -> socket.socket:
    """A socket that does not listen yet."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise EnvironmentUnfitError(f"cannot listen at {address}: the host is unknown ({error.strerror})") from None
    family, kind, protocol, _, where = found[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.settimeout(0)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # [::] and 0.0.0.0 are two listeners, so that each is there exactly if it was asked for.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
    except BaseException:
        bound.close()
        raise
    return bound


def _listen_unix(address: UnixAddress) -> ListeningSocket:
    with _locked_folder(address.path):
        _make_way(address)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.settimeout(0)
            bound.bind(address.path)
            # Before `listen`: until then nobody can connect, whatever the umask gave the file.
            Path(address.path).chmod(UNIX_MODE)
            bound.listen(BACKLOG)
        except BaseException:
            bound.close()
            raise
        return ListeningSocket(bound, address)


def _make_way(address: UnixAddress) -> None:
    """Remove a socket file that nobody listens behind."""
    try:
        mode = os.lstat(address.path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise EnvironmentUnfitError(f"cannot listen at {address}: a file that is no socket is there: move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(0)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            Path(address.path).unlink()
            return
        except BlockingIOError:
            pass  # its backlog is full: somebody listens
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


@contextmanager
def _locked_folder(path: str) -> Iterator[None]:
    """Keep other processes of ours from looking at the same socket file at the same time."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
