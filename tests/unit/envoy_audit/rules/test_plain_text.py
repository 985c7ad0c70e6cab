import pytest

from extauthz.envoy_audit.rules import plain_text
from tests.envoy_configurations import found


@pytest.mark.parametrize(
    ("address", "number"),
    [
        ("socket_address: {address: 10.0.0.7}", 1),
        ("socket_address: {address: authz.internal}", 1),
        ("socket_address: {address: 127.0.0.1}", 0),
        ("socket_address: {address: '::1'}", 0),
        ("socket_address: {address: localhost}", 0),
        ("pipe: {path: /run/x.sock}", 0),
    ],
)
def test_the_authorizer_is_asked_over_tls_or_here(address, number):
    """By name or by address; loopback and Unix sockets stay on this machine."""
    text = plain_text.RULE.wrong.replace("socket_address: {address: 10.0.0.7, port_value: 9000}", address)
    assert len(found("EAE501", text)) == number
    assert found("EAE501", text.replace("    - name: authz\n", "    - name: authz\n      transport_socket: {}\n")) == []


def test_other_clusters_are_not_its_concern():
    """Nor one that comes by discovery."""
    assert found("EAE501", plain_text.RULE.wrong.replace("    - name: authz\n", "    - name: upstream\n")) == []
