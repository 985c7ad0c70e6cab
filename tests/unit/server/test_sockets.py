import os
import shutil
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.server.sockets import listen, listen_all


@pytest.fixture
def folder():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    path = Path(tempfile.mkdtemp(prefix="sockets-"))
    yield path
    shutil.rmtree(path)


def connects(address) -> bool:
    family = socket.AF_UNIX if isinstance(address, UnixAddress) else socket.AF_INET
    where = address.path if isinstance(address, UnixAddress) else (address.host, address.port)
    with socket.socket(family, socket.SOCK_STREAM) as client:
        try:
            client.connect(where)
        except OSError:
            return False
    return True


def test_port_0_becomes_the_one_that_the_system_chose():
    """And it can be connected to until it is closed."""
    listening = listen(TcpAddress("127.0.0.1", 0))
    assert not str(listening.address).endswith(":0")
    assert connects(listening.address)
    listening.close()
    assert not connects(listening.address)


def test_a_name_is_resolved():
    """`localhost` becomes an address."""
    listening = listen(TcpAddress("localhost", 0))
    assert str(listening.address).startswith(("127.0.0.1:", "[::1]:"))
    listening.close()


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6")
def test_ipv6_alone_does_not_take_the_ipv4_port():
    """Each is there exactly if it was asked for."""
    try:
        six = listen(TcpAddress("::", 0))
    except EnvironmentUnfitError:
        pytest.skip("no IPv6 on this machine")
    assert isinstance(six.address, TcpAddress)
    four = listen(TcpAddress("0.0.0.0", six.address.port))
    assert str(four.address) == f"0.0.0.0:{six.address.port}"
    four.close()
    six.close()


def test_closing_ends_duplicates_too():
    """Whoever accepts holds a descriptor of its own; nobody may wait in its backlog while it drains."""
    listening = listen(TcpAddress("127.0.0.1", 0))
    duplicate = os.dup(listening.descriptor)
    listening.close()
    assert not connects(listening.address)
    os.close(duplicate)


def test_a_port_in_use_is_one_line():
    """That says what to do."""
    listening = listen(TcpAddress("127.0.0.1", 0))
    with pytest.raises(
        EnvironmentUnfitError, match=rf"cannot listen at {listening.address}: another process"
    ) as caught:
        listen(listening.address)
    assert "\n" not in str(caught.value)
    listening.close()


@pytest.mark.parametrize(
    ("address", "part"),
    [
        (TcpAddress("192.0.2.1", 0), "no such address"),
        (TcpAddress("no-such-host.invalid", 0), "the host is unknown"),
        (UnixAddress("/no/such/folder/x.sock"), "create it first"),
    ],
)
def test_an_address_that_is_not_ours_is_one_line(address, part):
    """Whatever the reason."""
    with pytest.raises(EnvironmentUnfitError, match=part):
        listen(address)


def test_a_unix_socket_is_for_owner_and_group(folder):
    """Whatever the umask."""
    before = os.umask(0)
    try:
        listening = listen(UnixAddress(str(folder / "x.sock")))
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "x.sock").stat().st_mode) == 0o660
    listening.close()
    assert not (folder / "x.sock").exists()


def test_a_live_unix_socket_is_refused_and_left_alone(folder):
    """Its owner goes on."""
    address = UnixAddress(str(folder / "x.sock"))
    first = listen(address)
    with pytest.raises(EnvironmentUnfitError, match="another process listens there"):
        listen(address)
    assert connects(address)
    first.close()


def test_a_live_unix_socket_with_a_full_backlog_is_refused(folder):
    """It cannot be connected to at the moment, but it is alive."""
    path = str(folder / "x.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy:
        busy.bind(path)
        busy.listen(0)
        clients = [socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(3)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(path)
        with pytest.raises(EnvironmentUnfitError, match="another process listens there"):
            listen(UnixAddress(path))
        for client in clients:
            client.close()


def test_a_stale_unix_socket_is_replaced(folder):
    """Its owner was killed and could not remove it."""
    address = UnixAddress(str(folder / "x.sock"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as stale:
        stale.bind(address.path)
        stale.listen()
    listening = listen(address)
    assert connects(address)
    listening.close()


def test_a_file_that_is_no_socket_is_left_alone(folder):
    """It may be somebody's data."""
    path = folder / "x.sock"
    path.write_text("data")
    with pytest.raises(EnvironmentUnfitError, match="no socket is there"):
        listen(UnixAddress(str(path)))
    assert path.read_text() == "data"


def test_a_successors_socket_is_not_removed(folder):
    """The file is somebody else's by the time we close."""
    address = UnixAddress(str(folder / "x.sock"))
    first = listen(address)
    Path(address.path).unlink()
    second = listen(address)
    first.close()
    assert connects(address)
    second.close()


def test_closing_after_the_folder_has_gone_is_no_error(folder):
    """There is nothing to remove."""
    inner = folder / "inner"
    inner.mkdir()
    listening = listen(UnixAddress(str(inner / "x.sock")))
    shutil.rmtree(inner)
    listening.close()


def test_all_or_none(folder):
    """When one address fails, those before it are closed again."""
    address = UnixAddress(str(folder / "x.sock"))
    with pytest.raises(EnvironmentUnfitError):
        listen_all([address, TcpAddress("192.0.2.1", 0)])
    assert not Path(address.path).exists()
    for listening in listen_all([address, TcpAddress("127.0.0.1", 0)]):
        assert connects(listening.address)
        listening.close()
