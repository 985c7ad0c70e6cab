from __future__ import annotations

import os
import socket

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


@pytest.mark.netns
@pytest.mark.parametrize("flags", [["--family", "both"], ["-m", "TPROXY", "--redirect-dns", "--capture-all-dns"]])
def test_captured_traffic_is_validated(flags):
    """Right after the rules are applied, and alone."""
    with namespace() as pod:
        assert pod.mesh_init(*flags, "--run-validation").stderr.endswith("capture validated\n")
        done = pod.mesh_init(*flags, "--skip-rule-apply", "--run-validation")
        assert done.returncode == 0, done.stderr
        assert pod.mesh_init(*flags, "--cleanup-only").returncode == 0
