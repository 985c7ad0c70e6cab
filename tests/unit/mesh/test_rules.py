from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path

import pytest

from extauthz.mesh.capture import Capture, Mode, Ports, Ranges, parse_ranges
from extauthz.mesh.rules import build_rules

EXPECTED = Path(__file__).parent / "rules_of_istio_iptables"
SERVERS = [ip_address("10.77.0.1"), ip_address("fd00::53")]


def lines(capture, version=4):
    """The rules, one a line."""
    return build_rules(capture, version, SERVERS).render().splitlines()


@pytest.mark.parametrize(
    ("name", "capture"),
    [
        ("redirect", Capture()),
        ("tproxy", Capture(mode=Mode.TPROXY)),
        ("dns", Capture(redirects_dns=True)),
    ],
)
def test_rule_for_rule_that_of_istio_iptables(name, capture):
    """The rule sets that istio-iptables makes for the same flags, word for word."""
    assert build_rules(capture, 4, SERVERS).render() == (EXPECTED / f"{name}.rules").read_text()


def test_ipv6_differs_in_addresses_alone():
    """The same rules, with ::1 and ::6."""
    v4 = build_rules(Capture(), 4).render()
    assert build_rules(Capture(), 6).render() == v4.replace("127.0.0.1/32", "::1/128").replace(
        "127.0.0.6/32", "::6/128"
    )


def test_included_inbound_ports():
    """A list of ports captures those; exclusions have no meaning then; no port means no jump at all."""
    listed = lines(Capture(inbound_ports=Ports((80, 443))))
    assert "-A ISTIO_INBOUND -p tcp --dport 80 -j ISTIO_IN_REDIRECT" in listed
    assert "-A ISTIO_INBOUND -p tcp --dport 443 -j ISTIO_IN_REDIRECT" in listed
    assert "-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT" not in listed
    assert not [line for line in listed if "15090" in line]
    assert not [line for line in lines(Capture(inbound_ports=Ports())) if line.startswith("-A PREROUTING")]


def test_outbound_ranges_and_ports_in_the_order_that_decides():
    """Excluded ports before all, then excluded ranges, included ports, included ranges; each family has its own."""
    capture = Capture(
        outbound=parse_ranges("10.0.0.0/8,2001:db8::/32", "-i"),
        outbound_except=parse_ranges("10.1.0.0/16,2001:db8:1::/48", "-x"),
        outbound_ports=Ports((5432,)),
        outbound_ports_except=Ports((22,)),
    )
    output = [line.removeprefix("-A ISTIO_OUTPUT ") for line in lines(capture) if line.startswith("-A ISTIO_OUTPUT")]
    assert output[:3] == [
        "-p tcp --dport 22 -j RETURN",
        "-p udp --dport 22 -j RETURN",
        "-o lo -s 127.0.0.6/32 -j RETURN",
    ]
    assert output[-4:] == [
        "-d 127.0.0.1/32 -j RETURN",
        "-d 10.1.0.0/16 -j RETURN",
        "-p tcp --dport 5432 -j ISTIO_REDIRECT",
        "-d 10.0.0.0/8 -j ISTIO_REDIRECT",
    ]
    v6 = lines(capture, 6)
    assert "-A ISTIO_OUTPUT -d 2001:db8::/32 -j ISTIO_REDIRECT" in v6
    assert not [line for line in v6 if "10.1.0.0" in line]


def test_no_outbound_destination_captures_nothing_outbound():
    """Of either family: an empty list is none, not all."""
    for version in (4, 6):
        assert not [line for line in lines(Capture(outbound=Ranges()), version) if line.endswith("-j ISTIO_REDIRECT")]


def test_a_captured_loopback_range_captures_calls_to_oneself():
    """The rule that lets them pass is left out."""
    kept = "-A ISTIO_OUTPUT -o lo -m owner ! --uid-owner 1337 -j RETURN"
    assert kept in lines(Capture())
    assert kept not in lines(Capture(outbound=parse_ranges("127.0.0.1/32", "-i")))


def test_interfaces():
    """Virtual ones are outbound before anything else, excluded ones return; TPROXY excludes in mangle as well."""
    virtual = lines(Capture(virtual_interfaces=("tap0", "tap1"), outbound=parse_ranges("10.0.0.0/8", "-i")))
    assert [line for line in virtual if line.startswith("-I")] == [
        "-I PREROUTING 1 -i tap0 -j RETURN",
        "-I PREROUTING 1 -i tap1 -j RETURN",
        "-I PREROUTING 1 -i tap0 -d 10.0.0.0/8 -j ISTIO_REDIRECT",
        "-I PREROUTING 1 -i tap1 -d 10.0.0.0/8 -j ISTIO_REDIRECT",
    ]
    excluded = Capture(excluded_interfaces=("eth1",))
    assert lines(excluded).count("-A PREROUTING -i eth1 -j RETURN") == 1
    assert lines(Capture(excluded_interfaces=("eth1",), mode=Mode.TPROXY)).count("-A OUTPUT -o eth1 -j RETURN") == 2


def test_every_proxy_user_and_group_is_left_alone():
    """Several may run parts of the proxy."""
    owned = [line for line in lines(Capture(uids=(1, 2), gids=(3,))) if line.endswith("-j RETURN") and "owner" in line]
    assert "-A ISTIO_OUTPUT -m owner --uid-owner 1 -j RETURN" in owned
    assert "-A ISTIO_OUTPUT -m owner --uid-owner 2 -j RETURN" in owned
    assert "-A ISTIO_OUTPUT -m owner --gid-owner 3 -j RETURN" in owned
    assert len(owned) == 6
