from ipaddress import ip_address, ip_network

import pytest

from extauthz.pdp.remote_ip import direct_remote_ip, in_networks, parse_address, remote_ip
from tests.strategies import Request

PROXIES = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


@pytest.mark.parametrize(
    ("source", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.7"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.7, 10.2.2.2"], "198.51.100.7"),
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("10.0.0.1", ["203.0.113.9, unknown"], None),
        ("10.0.0.1", ["203.0.113.9,"], None),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.7:80"], None),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["2001:db8::1"], "2001:db8::1"),
        ("", ["198.51.100.7"], None),
    ],
)
def test_the_client_is_the_first_untrusted_hop_from_the_right(source, forwarded, client):
    """What an untrusted hop wrote to its left is never believed; garbage where a proxy wrote is no address."""
    request = Request(source_address=source, headers={"x-forwarded-for": forwarded})
    assert remote_ip(request, PROXIES) == (ip_address(client) if client else None)


def test_the_direct_address_ignores_headers():
    """It is the connection's peer, whatever X-Forwarded-For says."""
    request = Request(source_address="10.0.0.1", headers={"x-forwarded-for": ["198.51.100.7"]})
    assert direct_remote_ip(request) == ip_address("10.0.0.1")


def test_versions_do_not_mix():
    """An IPv6 address is in no IPv4 network, but for IPv4-mapped ones, which are IPv4."""
    mapped, six = parse_address("::ffff:192.0.2.1"), parse_address("2001:db8::1")
    assert mapped is not None
    assert six is not None
    assert in_networks(mapped, [ip_network("192.0.2.0/24")])
    assert not in_networks(six, [ip_network("0.0.0.0/0")])
    assert parse_address("fe80::1%eth0") is None
