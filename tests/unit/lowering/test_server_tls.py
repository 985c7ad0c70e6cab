import datetime as dt
import http.client
import ssl
from ipaddress import ip_address

import pytest
from cryptography import x509

from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import listener
from extauthz.lowering.server_tls import ServerTls
from tests.harness.certificates import CertificateAuthority

LOCAL = TcpAddress("127.0.0.1", 0)


@pytest.mark.envoy
def test_envoy_serves_over_tls_with_the_certificate(tmp_path):
    """A client that believes its authority is answered, in the protocol that both speak; clear text is not."""
    authority = CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - certificates are checked now
    own = str(authority.issue(x509.IPAddress(ip_address("127.0.0.1"))))
    health = {
        "name": "envoy.filters.http.health_check",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
            "pass_through_mode": False,
            "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}],
        },
    }
    made = listener("front", LOCAL, [health], {}, routes=[], tls=ServerTls(own, own))
    with EmbeddedEnvoy({"static_resources": {"listeners": [made]}}, tmp_path) as envoy:
        address = envoy.addresses["front"]
        assert isinstance(address, TcpAddress)
        context = ssl.create_default_context(cafile=str(authority.certificate))
        context.set_alpn_protocols(["http/1.1"])
        connection = http.client.HTTPSConnection(address.host, address.port, context=context, timeout=5)
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        assert connection.sock.selected_alpn_protocol() == "http/1.1"
        connection.close()
        clear = http.client.HTTPConnection(address.host, address.port, timeout=5)
        clear.request("GET", "/healthz")
        with pytest.raises((http.client.HTTPException, OSError)):
            clear.getresponse()
        clear.close()


def test_a_listener_is_clear_text_without():
    """Nothing is served over TLS that nobody asked for."""
    (chain,) = listener("front", LOCAL, [], {}, routes=[])["filter_chains"]
    assert "transport_socket" not in chain
