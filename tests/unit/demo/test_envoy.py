import contextlib
import os
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError

import pytest

from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import listener
from extauthz.lowering.document import JsonObject

ANSWER: JsonObject = {"match": {"prefix": "/"}, "direct_response": {"status": 418, "body": {"inline_string": "teapot"}}}


def bootstrap(*addresses: Address):
    """An Envoy that answers by itself on each of these addresses."""
    listeners = [
        listener(f"l{number}", address, [], {}, routes=[ANSWER]) for number, address in enumerate(addresses, start=1)
    ]
    return {"static_resources": {"listeners": listeners}}


@pytest.mark.envoy
def test_listeners_are_ready_and_named_inside_the_block(tmp_path):
    """Ports chosen by the system are read back, Unix sockets too, and accept at once."""
    socket = UnixAddress(str(tmp_path / "envoy.sock"))
    with EmbeddedEnvoy(bootstrap(TcpAddress("127.0.0.1", 0), socket), tmp_path) as envoy:
        first = envoy.addresses["l1"]
        assert isinstance(first, TcpAddress)
        connection = HTTPConnection(first.host, first.port, timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 418
        connection.close()
        assert envoy.addresses["l2"] == socket
        assert "server.live: 1" in envoy.get_admin("/stats?filter=server.live")


@pytest.mark.envoy
def test_nothing_is_left_when_the_block_ends(tmp_path):
    """The process is gone and its port is closed, after an exception too."""
    envoy = EmbeddedEnvoy(bootstrap(TcpAddress("127.0.0.1", 0)), tmp_path)
    with contextlib.suppress(KeyError), envoy:
        process = envoy._process
        raise KeyError
    assert process is not None
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    with pytest.raises(ConnectionRefusedError):
        envoy.get_admin("/ready")
    envoy.stop()


@pytest.mark.envoy
def test_two_envoys_run_side_by_side(tmp_path):
    """They share no memory and no socket."""
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    one, two = (EmbeddedEnvoy(bootstrap(TcpAddress("127.0.0.1", 0)), folder) for folder in folders)
    with one, two:
        assert one.addresses["l1"] != two.addresses["l1"]


@pytest.mark.envoy
def test_a_configuration_that_envoy_refuses_is_shown_with_its_log(tmp_path):
    """The message holds what Envoy said about it."""
    refused = EmbeddedEnvoy({"static_resources": {"listeners": [{"name": "x", "nonsense": 1}]}}, tmp_path)
    with pytest.raises(EnvironmentUnfitError, match=r"(?s)ended with status 1:.*nonsense"):
        refused.start()


@pytest.mark.envoy
def test_an_envoy_that_is_not_ready_in_time_is_ended(tmp_path):
    """A start that hangs is an error, and leaves no process."""
    slow = EmbeddedEnvoy(bootstrap(TcpAddress("127.0.0.1", 0)), tmp_path, start_seconds=0.0)
    with pytest.raises(EnvironmentUnfitError, match="not ready in"):
        slow.start()
    assert slow._process is None


def test_an_address_file_that_is_created_and_not_yet_written_is_waited_for(tmp_path):
    """Envoy creates the file before it writes the address into it."""
    envoy = EmbeddedEnvoy(bootstrap(TcpAddress("127.0.0.1", 0)), tmp_path)
    path = tmp_path / "admin-address"
    assert not envoy._is_ready(path)
    path.touch()
    assert not envoy._is_ready(path)
    path.write_text("127.0.0.1:1")  # nobody listens there yet
    assert not envoy._is_ready(path)


@pytest.mark.envoy
def test_an_administration_request_that_fails_says_why(tmp_path):
    """An unknown page is an error, not an empty answer."""
    with EmbeddedEnvoy(bootstrap(TcpAddress("127.0.0.1", 0)), tmp_path) as envoy, pytest.raises(HTTPException):
        envoy.get_admin("/nonsense")


@pytest.mark.parametrize("locate", ["missing package", "missing file"])
def test_without_the_extra_the_message_names_it(monkeypatch, tmp_path, locate):
    """The remedy is one command."""

    class Empty:
        def locate_file(self, name):
            return tmp_path / name

    def distribution(name):
        if locate == "missing package":
            raise PackageNotFoundError(name)
        return Empty()

    monkeypatch.setattr("extauthz.demo.envoy.distribution", distribution)
    with pytest.raises(EnvironmentUnfitError, match=r"extauthz\[envoy\]"):
        envoy_binary()
