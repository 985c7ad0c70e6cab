from __future__ import annotations

import os
import socket
import subprocess

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.mesh.demo.network import OUTSIDE, network
from extauthz.mesh.local_http import connects
from tests.netns.namespaces import require_namespaces


def test_it_needs_root(monkeypatch):
    """Told before anything is made."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(EnvironmentUnfitError, match="need root"), network(["a"]):
        raise AssertionError


@pytest.mark.netns
def test_pods_reach_each_other_and_are_gone_afterwards():
    """Over the bridge; what is done inside a pod is done in its network, and this thread stays where it was."""
    require_namespaces()
    with network(["a", "b"]) as made:
        assert set(made.namespaces) == {OUTSIDE, "a", "b"}
        listening = made.inside("b", lambda: socket.create_server(("0.0.0.0", 0)))
        with listening:
            where = TcpAddress(made.addresses["b"], listening.getsockname()[1])
            for pod in ("a", OUTSIDE):
                assert made.inside(pod, lambda: connects(where, source=None, timeout_seconds=5))
            assert not connects(where, source=None, timeout_seconds=0.1)
        done = subprocess.run(made.command("a", "ip", "-br", "addr"), capture_output=True, text=True, check=True)
        assert made.addresses["a"] in done.stdout
    left = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert not any(name in left for name in made.namespaces.values())
