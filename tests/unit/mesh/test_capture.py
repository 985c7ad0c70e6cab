from __future__ import annotations

from ipaddress import ip_network

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh.capture import (
    Mode,
    Ports,
    Ranges,
    parse_ids,
    parse_interfaces,
    parse_mode,
    parse_port,
    parse_ports,
    parse_ranges,
)


def test_lists_are_read_as_written():
    """Both address families in one list, spaces around commas, host bits cut; empty means none, `*` everything."""
    assert parse_ranges("10.1.2.3/8, 2001:db8::/32", "-i") == Ranges(
        (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    )
    assert parse_ranges("*", "-i", takes_all=True) == Ranges(everything=True)
    assert parse_ranges("", "-i") == Ranges()
    assert parse_ports("80, 443", "-b") == Ports((80, 443))
    assert parse_ports("*", "-b", takes_all=True) == Ports(everything=True)
    assert not parse_ports("", "-b")
    assert parse_ids("1337,0,1337", "-u") == (1337, 0)
    assert parse_interfaces("eth0,tap-1.2@x", "-c") == ("eth0", "tap-1.2@x")
    assert parse_mode("TPROXY", "-m") is Mode.TPROXY


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.0/33", "nonsense", "10.0.0.0/8,", ",", "*", "10.0.0.0/8,*"])
def test_what_is_no_range_is_an_error(text):
    """A range that was skipped would let traffic past the proxy."""
    with pytest.raises(ConfigurationError, match=r"^-x: "):
        parse_ranges(text, "-x")


@pytest.mark.parametrize("text", ["0", "65536", "-1", "80,", "1e3", "http", "*", "\uff18\uff10", "080000", "80:90"])
def test_what_is_no_port_is_an_error(text):
    """Likewise a port; ranges of ports are none."""
    with pytest.raises(ConfigurationError, match=r"^-d: "):
        parse_ports(text, "-d")


@pytest.mark.parametrize("text", ["", "root", "-1", "4294967295", "1337,"])
def test_the_proxy_has_at_least_one_id(text):
    """Without one, nothing would keep its own connections from coming back to it."""
    with pytest.raises(ConfigurationError, match=r"^-u: "):
        parse_ids(text, "-u")


@pytest.mark.parametrize("text", ["eth+", "a b", "-j", "!eth0", "eth0 -j ACCEPT", "averyverylongname", "a/b", "eth0,"])
def test_an_interface_is_a_name_and_nothing_else(text):
    """It becomes a word of a rule: no option, no wildcard."""
    with pytest.raises(ConfigurationError, match=r"^-c: "):
        parse_interfaces(text, "-c")


@pytest.mark.parametrize("text", ["NONE", "redirect", ""])
def test_an_unknown_mode_is_an_error(text):
    """NONE is for injectors: there is nothing to initialise."""
    with pytest.raises(ConfigurationError, match="give REDIRECT or TPROXY"):
        parse_mode(text, "-m")


def test_a_port_is_one_number():
    """The proxy's ports are no lists."""
    assert parse_port("15001", "-p") == 15001
    with pytest.raises(ConfigurationError, match="'15001,15006' is no port"):
        parse_port("15001,15006", "-p")


def test_ranges_know_loopback():
    """An application's calls to itself are captured only if a range says so."""
    assert parse_ranges("127.0.0.1/32", "-i").has_loopback
    assert parse_ranges("::1/128", "-i").has_loopback
    assert not parse_ranges("10.0.0.0/8", "-i").has_loopback
