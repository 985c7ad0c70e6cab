import datetime as dt
import http.client
import ssl
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import listener
from extauthz.lowering.document import render
from extauthz.lowering.server_tls import ServerTls
from tests.harness.certificates import CertificateAuthority

LOCAL = TcpAddress("127.0.0.1", 0)
HEALTH = {
    "name": "envoy.filters.http.health_check",
    "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.health_check.v3.HealthCheck",
        "pass_through_mode": False,
        "headers": [{"name": ":path", "string_match": {"exact": "/healthz"}}],
    },
}


@pytest.mark.envoy
def test_envoy_serves_over_tls_with_the_certificate(tmp_path):
    """A client that believes its authority is answered, in the protocol that both speak; clear text is not."""
    authority = CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - certificates are checked now
    own = str(authority.issue(x509.IPAddress(ip_address("127.0.0.1"))))
    made = listener("front", LOCAL, [HEALTH], {}, routes=[], tls=ServerTls(own, own))
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


@pytest.mark.envoy
def test_a_replaced_certificate_is_shown_without_a_restart(tmp_path):
    """To new connections, when it is moved into the old one's place."""
    authority = CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - certificates are checked now
    name = x509.IPAddress(ip_address("127.0.0.1"))
    own = authority.issue(name).rename(tmp_path / "own.pem")
    tls = ServerTls(str(own), str(own), secrets=str(tmp_path))
    for path, document in tls.secret_files().items():
        Path(path).write_text(render(document))
    made = listener("front", LOCAL, [HEALTH], {}, routes=[], tls=tls)
    node = {"id": "front", "cluster": "test"}
    with EmbeddedEnvoy({"node": node, "static_resources": {"listeners": [made]}}, tmp_path) as envoy:
        address = envoy.addresses["front"]
        assert isinstance(address, TcpAddress)
        before = ssl.get_server_certificate((address.host, address.port))
        authority.issue(name).rename(own)
        deadline = time.monotonic() + 20
        while (after := ssl.get_server_certificate((address.host, address.port))) == before:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert after in own.read_text()


def test_a_listener_is_clear_text_without():
    """Nothing is served over TLS that nobody asked for."""
    (chain,) = listener("front", LOCAL, [], {}, routes=[])["filter_chains"]
    assert "transport_socket" not in chain
