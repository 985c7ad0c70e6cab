import datetime as dt
import http.client
import shutil
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from extauthz.app import Service
from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import authorizer_cluster, front_proxy, snippet
from extauthz.lowering.client_tls import ClientTls
from extauthz.settings import Settings
from tests.harness.async_host import AsyncHost
from tests.harness.certificates import CertificateAuthority

POLICY = "version: 1\nname: tls\nroutes:\n  - {name: open, path: /open, public: true}\n"
LOCAL = TcpAddress("127.0.0.1", 0)


def context_of(cluster):
    return cluster["transport_socket"]["typed_config"]


def test_a_name_is_compared_and_sent():
    """Any other certificate of the authority would do otherwise."""
    context = context_of(authorizer_cluster(TcpAddress("authz.shop.svc", 9000), tls=ClientTls("/ca.pem")))
    names = context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "DNS", "matcher": {"exact": "authz.shop.svc"}}]
    assert context["sni"] == "authz.shop.svc"
    assert "tls_certificates" not in context["common_tls_context"]


def test_an_address_is_compared_as_one():
    """And is no server name (RFC 6066 section 3)."""
    context = context_of(authorizer_cluster(TcpAddress("::1", 9000), tls=ClientTls("/ca.pem", "/own.crt", "/own.key")))
    names = context["common_tls_context"]["validation_context"]["match_typed_subject_alt_names"]
    assert names == [{"san_type": "IP_ADDRESS", "matcher": {"exact": "::1"}}]
    assert "sni" not in context
    (own,) = context["common_tls_context"]["tls_certificates"]
    assert own == {"certificate_chain": {"filename": "/own.crt"}, "private_key": {"filename": "/own.key"}}


def test_nobody_speaks_tls_at_a_unix_socket():
    """The authorizer does not."""
    with pytest.raises(ConfigurationError, match=r"unix:/run/x\.sock: the authorizer speaks TLS at host:port only"):
        authorizer_cluster(UnixAddress("/run/x.sock"), tls=ClientTls("/ca.pem"))


@pytest.mark.parametrize("half", [("/own.crt", None), (None, "/own.key")])
def test_half_of_an_identity_is_refused(half):
    """Envoy would not start."""
    with pytest.raises(ConfigurationError, match="go together"):
        ClientTls("/ca.pem", *half)


def test_a_snippet_speaks_tls_too(policy_set):
    """As the whole configuration does."""
    parts = snippet(policy_set(), authorizer=TcpAddress("authz", 9000), authorizer_tls=ClientTls("/ca.pem"))
    assert context_of(parts["clusters"][0])["sni"] == "authz"


class Place:
    """Certificates, a policy, and the service and the proxy between which they count."""

    def __init__(self, folder):
        self.folder = folder
        self.authority = CertificateAuthority(folder, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no app.py
        (folder / "policy.yaml").write_text(POLICY)

    def issue(self, name):
        return str(self.authority.issue(name))

    def service(self, transport, own):
        given: dict[str, Any] = {"paths": (str(self.folder / "policy.yaml"),), "listen": (LOCAL,), "admin": LOCAL}
        tls = {"tls_cert": own, "tls_key": own, "client_ca": str(self.authority.certificate)}
        return Service(Settings(**given, **tls, transport=transport, log_level="error"))

    def statuses(self, host, authorizer, tls, paths):
        """What a client of the proxy gets."""
        bootstrap = front_proxy(
            authorizer.policy_set,
            authorizer=authorizer.addresses[0],
            authorizer_tls=tls,
            upstream=host.enter(echo_upstream),
            listen=LOCAL,
            access_log=str(self.folder / "access.log"),
        )
        with EmbeddedEnvoy(bootstrap, Path(tempfile.mkdtemp(dir=self.folder))) as envoy:
            address = envoy.addresses["front"]
            return [status(address, path) for path in paths]


def status(address, path):
    connection = http.client.HTTPConnection(address.host, address.port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.fixture
def place():
    folder = Path(tempfile.mkdtemp(prefix="tls-"))
    yield Place(folder)
    shutil.rmtree(folder)


@pytest.mark.envoy
@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
def test_envoy_asks_over_mutual_tls(place, transport):
    """A proxy with a certificate is answered; without one, or in front of a certificate for another name, it denies."""
    envoy_binary()
    authority = str(place.authority.certificate)
    own = place.issue(x509.IPAddress(ip_address("127.0.0.1")))
    elsewhere = place.issue(x509.DNSName("elsewhere"))
    proxy = place.issue(x509.DNSName("envoy"))
    proven = ClientTls(authority, proxy, proxy)
    with AsyncHost() as host:
        service = host.enter(lambda: place.service(transport, own))
        impostor = host.enter(lambda: place.service(transport, elsewhere))
        assert place.statuses(host, service, proven, ["/open", "/other"]) == [200, 401]
        assert place.statuses(host, service, ClientTls(authority), ["/open"]) == [503]
        assert place.statuses(host, service, None, ["/open"]) == [503]
        assert place.statuses(host, impostor, proven, ["/open"]) == [503]
