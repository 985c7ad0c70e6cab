from __future__ import annotations

from ipaddress import ip_address

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.machine import (
    NET_ADMIN,
    NET_RAW,
    has_ipv6_address,
    proxy_user,
    read_name_servers,
    require_capabilities,
)

LO = "00000000000000000000000000000001 01 80 10 80       lo\n"
SOURCE = "00000000000000000000000000000006 01 80 00 80       lo\n"
LINK_LOCAL = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n"
GLOBAL = "fd000000000000000000000000000002 04 40 00 82     eth0\n"


@pytest.mark.parametrize(("effective", "missing"), [("0", "NET_ADMIN and NET_RAW"), ("1000", "NET_RAW"), ("3000", "")])
def test_missing_capabilities_are_named(tmp_path, effective, missing):
    """What the kernel says is in effect, not who the user is."""
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapPrm:\t00000000ffffffff\nCapEff:\t{effective:0>16}\n")
    if missing:
        with pytest.raises(EnvironmentUnfitError, match=rf"missing capability {missing}: "):
            require_capabilities(NET_ADMIN, NET_RAW, status=status)
    else:
        require_capabilities(NET_ADMIN, NET_RAW, status=status)


@pytest.mark.parametrize(
    ("interfaces", "expected"), [(LO + LINK_LOCAL, False), (LO + SOURCE, False), (LO + LINK_LOCAL + GLOBAL, True)]
)
def test_an_ipv6_address_that_others_reach(tmp_path, interfaces, expected):
    """Neither loopback nor link-local ones count, nor the one that capture itself adds."""
    file = tmp_path / "if_inet6"
    file.write_text(interfaces)
    assert has_ipv6_address(file) is expected
    assert not has_ipv6_address(tmp_path / "absent")


def test_name_servers_of_both_families(tmp_path):
    """As resolv.conf(5) has them, zone indices cut."""
    file = tmp_path / "resolv.conf"
    file.write_text(
        "search shop\nnameserver 10.0.0.10\n# nameserver 1.1.1.1\nnameserver fe80::1%eth0\noptions ndots:5\n"
    )
    assert read_name_servers(file) == (ip_address("10.0.0.10"), ip_address("fe80::1"))
    file.write_text("nameserver dns.example\n")
    with pytest.raises(EnvironmentUnfitError, match="is no IP address"):
        read_name_servers(file)
    with pytest.raises(EnvironmentUnfitError, match="cannot be read"):
        read_name_servers(tmp_path / "absent")


def test_the_proxys_user_is_the_well_known_one_where_it_has_no_name():
    """This machine has no user istio-proxy."""
    assert proxy_user() == 1337
