"""The connection's peer."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network

import pytest

from extauthz.lowering.wasm.emitter import Emitter
from extauthz.lowering.wasm.rules import networks_table
from extauthz.lowering.wasm.runtime.layout import Configured
from tests.harness.machine import Machine, peer

NETWORKS = ["127.0.0.0/8", "10.1.2.3/32", "192.168.128.0/17", "0.0.0.0/0", "200.200.200.192/26", "::/0", "10.0.0.0/9"]
NETWORKS += ["::1/128", "2001:db8::/32", "2001:db8:0:8000::/49", "::ffff:0:0/96", "fe80::/10"]
ADDRESSES = ["127.0.0.1", "128.0.0.1", "10.1.2.3", "10.1.2.4", "192.168.127.255", "192.168.128.0", "255.255.255.255"]
ADDRESSES += ["200.200.200.191", "200.200.200.255", "0.0.0.0", "10.127.0.0", "10.128.0.0"]
IPV6 = [
    "::",
    "::1",
    "::2",
    "1::",
    "2001:db8::1",
    "2001:db8:0:8000::",
    "2001:db8:0:7fff:ffff::",
    "2001:db9::",
    "fe80::1:2",
]
IPV6 += [
    "1:2:3:4:5:6:7:8",
    "1::8",
    "::ffff:10.1.2.3",
    "64:ff9b::1.2.3.4",
    "1:2:3:4:5:6:7::",
    "::2:3:4:5:6:7:8",
    "a:B:c::D",
]
NONE = [
    ":",
    ":1",
    "1:",
    "1::2::3",
    ":::",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    "g::",
    "::1.2.3",
    "1.2.3.4::",
    "",
]
NONE += ["::1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:1.2.3.4", "fe80::1%eth0"]


class Asked:
    """A machine that is asked about networks."""

    def __init__(self, networks: list[str], proxies: list[str]) -> None:
        emitter = Emitter()
        self._networks = networks_table(emitter, [ip_network(n) for n in networks])
        trusted = networks_table(emitter, [ip_network(n) for n in proxies]) if proxies else 0
        emitter.module.table_index(emitter.function(b"\0"))
        self.machine = Machine(emitter, {Configured.TRUSTED_PROXIES: trusted})

    def outcome(self, source: str | None, *, direct: bool) -> object:
        self.machine.properties = {} if source is None else peer(source)
        return self.machine.value(self.machine.call("is_remote", self._networks, int(direct)))


def outcome(source: str | None, networks: list[str], proxies: list[str], *, direct: bool) -> object:
    return Asked(networks, proxies).outcome(source, direct=direct)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_holds_the_addresses_that_it_holds(network):
    """Each against Python's reading; one of IPv6 holds none of IPv4."""
    asked = Asked([network], [])
    for address in ADDRESSES:
        expected = str(ip_address(address) in ip_network(network)).lower()
        assert asked.outcome(f"{address}:1234", direct=True) == expected, address


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_of_ipv6_holds_the_addresses_that_it_holds(network):
    """A mapped address is an IPv4 address, and no other."""
    asked = Asked([network], [])
    for text in IPV6:
        address = IPv6Address(text).ipv4_mapped or IPv6Address(text)
        expected = str(address in ip_network(network)).lower()
        assert asked.outcome(f"[{text}]:80", direct=True) == expected, text


def test_an_address_of_ipv6_is_read_as_python_reads_it():
    """Octet by octet; and what is none is none."""
    machine = Machine()
    for text in IPV6:
        octets = machine.call("read_ipv6", machine.put(text.encode()), len(text))
        assert machine.read(octets, 16) == IPv6Address(text).packed, text
    for text in NONE:
        assert machine.call("read_ipv6", machine.put(text.encode()), len(text)) == 0, text


@pytest.mark.parametrize(
    "source",
    [
        "[::1:80",
        "[::1%eth0]:80",
        "/tmp/socket",
        "",
        None,
        "1.2.3:80",
        "1.2.3.4.5:80",
        "1.2.3.256:80",
        "01.2.3.4:80",
        "1.2.3.:80",
        "a.b.c.d:1",
    ],
)
def test_any_other_address_is_left(source):
    """Whatever the network is."""
    assert outcome(source, ["0.0.0.0/0", "::/0"], [], direct=True) == "left"


def test_behind_a_trusted_proxy_the_client_is_not_known_here():
    """Who stands in X-Forwarded-For is the authorizer's to read; the peer itself is known."""
    assert outcome("10.0.0.1:80", ["10.0.0.0/8"], ["10.0.0.0/8"], direct=False) == "left"
    assert outcome("10.0.0.1:80", ["10.0.0.0/8"], ["10.0.0.0/8"], direct=True) == "true"
    assert outcome("11.0.0.1:80", ["11.0.0.0/8"], ["10.0.0.0/8"], direct=False) == "true"


def test_the_peer_is_written_with_its_port():
    """As the authorizer's conditions read it."""
    machine = Machine(properties=peer("127.0.0.1:80"))
    assert machine.value(machine.call("peer_text")) == "127.0.0.1:80"
    machine.properties = peer("[::1]:80")
    assert machine.value(machine.call("peer_text")) == "[::1]:80"
    machine.properties = peer("/tmp/socket")
    assert machine.value(machine.call("peer_text")) == "left"


@pytest.mark.parametrize("told", [{"source.address": b"1.2.3.4:0"}, {"filter_state.extauthz.peer": b"5.6.7.8:80"}, {}])
def test_an_address_that_is_not_the_connections_is_left(told):
    """As one from X-Forwarded-For, or where the filter in front of the module is not there."""
    properties = {**(peer("1.2.3.4:80") if told else {"source.address": b"1.2.3.4:80"}), **told}
    machine = Machine(properties=properties)
    networks = machine.numbers(1, 0, 0, -65536, 0, 96)
    assert machine.value(machine.call("is_remote", networks, 1)) == "left"
    assert machine.value(machine.call("peer_text")) == "left"
