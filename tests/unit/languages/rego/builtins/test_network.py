import pytest

from extauthz.languages.rego.failure import BuiltinError, RegoLimitError


@pytest.mark.parametrize(
    "cidr",
    [
        "",
        "10.0.0.0",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0/8",
        "::/129",
        "fe80::%eth0/64",
        "010.0.0.1/8",
        "10.0.0.0/255.0.0.0",
    ],
)
def test_what_is_no_network(call, cidr):
    """A network needs an address and a prefix length that fits it."""
    assert not call("net.cidr_is_valid", cidr)
    with pytest.raises(BuiltinError):
        call("net.cidr_contains", cidr, "10.0.0.1")


@pytest.mark.parametrize("other", ["", "10.0.0", "localhost", "10.0.0.1%1", "1.2.3.4.5"])
def test_what_is_no_address(call, other):
    """What is asked about must be an address or a network: an error, never just `false`."""
    with pytest.raises(BuiltinError):
        call("net.cidr_contains", "10.0.0.0/8", other)


def test_addresses_in_both_writings(call):
    """An IPv4 address written as IPv6 is the IPv4 address."""
    assert call("net.cidr_contains", "10.0.0.0/8", "::ffff:10.1.1.1")
    assert not call("net.cidr_contains", "::/0", "10.1.1.1")
    assert not call("net.cidr_intersects", "10.0.0.0/8", "::/0")


def test_expansion_is_bounded(call):
    """A whole IPv6 network has too many addresses, and a large one is paid for."""
    with pytest.raises(BuiltinError):
        call("net.cidr_expand", "fd00::/64")
    with pytest.raises(RegoLimitError):
        call("net.cidr_expand", "10.0.0.0/16", budget=10_000)


def test_merging(call):
    """Neighbours become one; an address alone is taken for its class."""
    assert list(call("net.cidr_merge", ["10.0.0.0/9", "10.128.0.0/9", "fd00::/127"])) == ["10.0.0.0/8", "fd00::/127"]
    assert list(call("net.cidr_merge", ["192.168.1.1"])) == ["192.168.1.1/24"]
    with pytest.raises(BuiltinError):
        call("net.cidr_merge", ["fd00::1"])
