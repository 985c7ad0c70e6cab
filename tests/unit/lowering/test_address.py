import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, UnixAddress, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9000", TcpAddress("127.0.0.1", 9000)),
        ("authz.shop.svc:0", TcpAddress("authz.shop.svc", 0)),
        ("[::1]:65535", TcpAddress("::1", 65535)),
        ("unix:/run/extauthz.sock", UnixAddress("/run/extauthz.sock")),
    ],
)
def test_an_address_reads_as_it_is_written(text, address):
    """Each form is read, and written back as the same text."""
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "9000", ":9000", "::1:9000", "[::1]", "[host]:1", "[]:1", "host:", "host:65536", "host:-1", "a b:1"),
        *("host:\uff11", "http://host:80", "user@host:1", "unix:", "unix:run/x", "unix:/" + "x" * 107, "unix:/a\0b"),
    ],
)
def test_what_is_no_address_is_refused(text):
    """Anything else is the operator's mistake, named in the message."""
    with pytest.raises(ConfigurationError, match="is no address"):
        parse_address(text)


@given(st.text())
def test_no_text_raises_anything_else(text):
    """Whatever is on the command line, the outcome is an address or a message."""
    try:
        address = parse_address(text)
    except ConfigurationError:
        return
    assert parse_address(str(address)) == address


def test_only_names_need_resolution():
    """Envoy resolves names; addresses and sockets are used as they are."""
    literal = [parse_address(text).is_literal for text in ("10.0.0.1:1", "[::1]:1", "unix:/x", "authz:1")]
    assert literal == [True, True, True, False]


def test_envoy_addresses_are_sockets_or_pipes():
    """The two forms of envoy.config.core.v3.Address."""
    assert TcpAddress("::1", 7).to_envoy() == {"socket_address": {"address": "::1", "port_value": 7}}
    assert UnixAddress("/x").to_envoy() == {"pipe": {"path": "/x"}}
