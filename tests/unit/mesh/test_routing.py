from __future__ import annotations

import pytest

from extauthz.mesh.capture import Capture, Mode
from extauthz.mesh.routing import kernel_entries
from tests.netns.namespaces import namespace


def test_redirect_needs_no_routes():
    """IPv4: nothing at all; IPv6: the address that the proxy's inbound side binds."""
    assert kernel_entries(Capture(), 4) == []
    (address,) = kernel_entries(Capture(), 6)
    assert list(address.add) == ["-6", "addr", "add", "::6/128", "dev", "lo"]


def test_tproxy_routes_marked_packets_to_lo():
    """The route first: a rule for a table that is empty would change nothing yet."""
    assert [" ".join(entry.add) for entry in kernel_entries(Capture(mode=Mode.TPROXY), 4)] == [
        "-4 route add local 0.0.0.0/0 dev lo table 133",
        "-4 rule add fwmark 1337 lookup 133",
    ]


@pytest.mark.netns
@pytest.mark.parametrize("version", [4, 6])
def test_entries_are_recognised_once_they_are_there(version, monkeypatch):
    """As the kernel lists them, and not before; taken away, they are gone."""
    with namespace() as pod:
        monkeypatch.setattr("extauthz.mesh.routing._ip", lambda *arguments: pod.run("ip", *arguments).stdout)
        for entry in kernel_entries(Capture(mode=Mode.TPROXY), version):
            assert not entry.is_there()
            entry.put()
            assert entry.is_there()
            entry.take_away()
            assert not entry.is_there()
