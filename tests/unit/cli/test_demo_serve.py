import json
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from urllib.request import Request, urlopen

import jwt
import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_WRONG_INPUT, run


@contextmanager
def running(command, *flags):
    """The port that a command serves at, and its first line; it ends well when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = [sys.executable, "-m", "extauthz", "demo", command, "--listen", f"127.0.0.1:{port}", *flags]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            yield port, process.stderr.readline()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_the_issuer_signs_what_it_is_sent():
    """Under the name that it was given, with the keys that it publishes; its first line says what it is for."""
    with running("serve-issuer", "--url", "http://issuer:8081") as (port, line):
        with urlopen(Request(f"http://127.0.0.1:{port}/token", b'{"sub": "alice"}'), timeout=5) as response:
            token = json.load(response)["access_token"]
        with urlopen(f"http://127.0.0.1:{port}/jwks.json", timeout=5) as response:
            keys = jwt.PyJWKSet.from_dict(json.load(response))
    claims = jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["ES256"])
    assert (claims["iss"], claims["sub"]) == ("http://issuer:8081", "alice")
    assert line == f"issuer http://issuer:8081 at 127.0.0.1:{port}, for development only: it signs anything\n"


def test_the_upstream_echoes():
    """As the one inside the demo does."""
    with running("serve-upstream") as (port, line), urlopen(f"http://127.0.0.1:{port}/a?b", timeout=5) as response:
        assert json.load(response)["path"] == "/a?b"
        assert line == f"upstream at 127.0.0.1:{port}\n"


@pytest.mark.parametrize("command", ["serve-issuer", "serve-upstream"])
def test_an_address_that_is_none_or_taken_is_one_message(command, capsys):
    """Exit 3 for the first, 1 for the second."""
    assert run(["demo", command, "--listen", "unix:/tmp/socket"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == "extauthz: --listen unix:/tmp/socket: write host:port\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run(["demo", command, "--listen", address]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err.startswith(f"extauthz: cannot listen at {address}: ")


def test_certificates_are_made_once(tmp_path, capsys):
    """A second start of a stack keeps them; a folder that is not there is one message."""
    arguments = ["demo", "certificates", str(tmp_path), "proxy=localhost,127.0.0.1", "client=client"]
    assert [run(arguments), run(arguments)] == [0, 0]
    assert capsys.readouterr().err == f"made certificates in {tmp_path}\nkept certificates in {tmp_path}\n"
    assert {file.name for file in tmp_path.iterdir()} == {
        *("ca.pem", "client.key", "client.pem", "proxy.key", "proxy.pem"),
    }
    assert run(["demo", "certificates", str(tmp_path / "no"), "proxy=localhost"]) == EXIT_ENVIRONMENT
    assert "No such file or directory: name a folder that can be written" in capsys.readouterr().err
    assert run(["demo", "certificates", str(tmp_path), "proxy"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == "extauthz: 'proxy=' is no certificate: write name=host,address,...\n"
