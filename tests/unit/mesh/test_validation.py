from __future__ import annotations

import os
import socket
import sys

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh import validation
from extauthz.mesh.capture import Capture
from extauthz.mesh.validation import validate_capture
from tests.netns.namespaces import namespace


@pytest.fixture
def free_port():
    """A port of loopback where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_uncaptured_traffic_is_seen(free_port):
    """Nobody redirects here: the connection never arrives."""
    capture = Capture(inbound_port=free_port, uids=(os.geteuid(),))
    with pytest.raises(EnvironmentUnfitError, match=r"traffic is not captured: .* within 0\.1 s"):
        validate_capture(capture, (4,), timeout_seconds=0.1)


def test_a_connection_of_others_is_no_proof(free_port):
    """Somebody who connects to the port directly has not been redirected."""
    with (
        validation._listening(4, free_port) as server,
        socket.create_connection(("127.0.0.1", free_port)),
        pytest.raises(EnvironmentUnfitError, match="traffic is not captured"),
    ):
        validation._expect_redirected(server, 4, 0.1)


def test_a_proxy_that_runs_already_is_in_the_way():
    """Validation listens in its place."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        capture = Capture(inbound_port=server.getsockname()[1], uids=(os.geteuid(),))
        with pytest.raises(EnvironmentUnfitError, match="validate before the proxy runs"):
            validate_capture(capture, (4,), timeout_seconds=0.1)


# What the checking init container is: the proxy's user, who may not even be able to read the interpreter.
AS_PROXY = """
import contextlib, io, os, sys
import extauthz.mesh.initialise, extauthz.mesh.validation
from extauthz.cli import run
with contextlib.redirect_stdout(io.StringIO()):
    run(["mesh", "init", "--dry-run"])  # imports what is imported late
os.setgroups([]); os.setresgid(1337, 1337, 1337); os.setresuid(1337, 1337, 1337)
sys.exit(run(["mesh", "init", "--skip-rule-apply", "--run-validation", *sys.argv[1:]]))
"""


@pytest.mark.netns
@pytest.mark.parametrize("flags", [["--family", "both"], ["-m", "TPROXY", "--redirect-dns", "--capture-all-dns"]])
def test_captured_traffic_is_validated(flags):
    """Right after the rules are applied, as root; and alone, as the proxy's user without any capability."""
    with namespace() as pod:
        assert pod.mesh_init(*flags, "--run-validation").stderr.endswith("capture validated\n")
        done = pod.run(sys.executable, "-c", AS_PROXY, *flags, check=False)
        assert (done.returncode, done.stderr.endswith("capture validated\n")) == (0, True), done.stderr


@pytest.mark.netns
def test_another_user_cannot_tell():
    """The rules look at who made a connection; whoever cannot become the proxy's user is told so."""
    with namespace() as pod:
        done = pod.run(sys.executable, "-c", AS_PROXY, "-u", "1338", "-g", "1338", check=False)
        assert done.returncode == 1
        assert "run this as user 1338, not 1337" in done.stderr
