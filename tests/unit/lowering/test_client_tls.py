import datetime as dt
import http.client
import json
import re
import shutil
import tempfile
import time
from contextlib import contextmanager
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
from extauthz.lowering.document import render
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
        with self.proxy(host, authorizer, tls) as address:
            return [status(address, path) for path in paths]

    @contextmanager
    def proxy(self, host, authorizer, tls):
        """An Envoy in front of an echo, and where it listens."""
        bootstrap = front_proxy(
            authorizer.policy_set,
            authorizer=authorizer.addresses[0],
            authorizer_tls=tls,
            upstream=host.enter(echo_upstream),
            listen=LOCAL,
            access_log=str(self.folder / "access.log"),
        )
        with EmbeddedEnvoy(bootstrap, Path(tempfile.mkdtemp(dir=self.folder))) as envoy:
            yield envoy.addresses["front"]


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


def replace(path, source):
    """As one does who never lets it be half written."""
    fresh = path.with_suffix(".new")
    shutil.copy(source, fresh)
    fresh.rename(path)


def swap(folder, **files):
    """As a kubelet does with a mounted Secret: all of them at once, by one link."""
    generation = folder / f"..{len(list(folder.iterdir()))}"
    generation.mkdir()
    for name, source in files.items():
        shutil.copy(source, generation / f"{name}.pem")
        if not (folder / f"{name}.pem").is_symlink():
            (folder / f"{name}.pem").symlink_to(f"..data/{name}.pem")
    link = folder / "..fresh"
    link.symlink_to(generation.name)
    link.rename(folder / "..data")


def test_secret_files_say_where_the_pem_files_are():
    """One for the authority, one for the proxy's own certificate; the configuration names no PEM file."""
    tls = ClientTls("/tls/ca.pem", "/tls/own.crt", "/tls/own.key", secrets="/etc/envoy/secrets")
    cluster = authorizer_cluster(TcpAddress("authz", 9000), tls=tls)
    assert "/tls/" not in json.dumps(cluster)
    common = context_of(cluster)["common_tls_context"]
    combined = common["combined_validation_context"]
    assert combined["default_validation_context"]["match_typed_subject_alt_names"], "the name is compared as before"
    references = [combined["validation_context_sds_secret_config"], *common["tls_certificate_sds_secret_configs"]]
    files = tls.secret_files()
    for reference in references:
        document = files[reference["sds_config"]["path_config_source"]["path"]]
        assert [each["name"] for each in document["resources"]] == [reference["name"]]
    assert len(files) == len(references) == 2
    assert {"/tls/ca.pem", "/tls/own.crt", "/tls/own.key"} <= set(re.findall(r'"(/tls/[^"]*)"', json.dumps(files)))


def test_without_a_certificate_only_the_authority_has_a_file():
    """And without a folder nothing has."""
    assert [*ClientTls("/ca.pem", secrets="/s").secret_files()] == ["/s/authorizer_authority.json"]
    assert ClientTls("/ca.pem", "/own.crt", "/own.key").secret_files() == {}


@pytest.mark.envoy
@pytest.mark.parametrize("way", ["rename", "swap"])
def test_envoy_takes_replaced_files_without_a_restart(place, way):
    """What it shows, and whom it believes; until they are right, it denies."""
    envoy_binary()
    (place.folder / "others").mkdir()
    others = CertificateAuthority(place.folder / "others", dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no clock
    wrong = {"own": others.issue(x509.DNSName("envoy")), "ca": others.certificate}
    right = {"own": place.authority.issue(x509.DNSName("envoy")), "ca": place.authority.certificate}
    tls_folder = place.folder / "tls"
    tls_folder.mkdir()
    if way == "swap":
        swap(tls_folder, **wrong)
    else:
        for name, source in wrong.items():
            shutil.copy(source, tls_folder / f"{name}.pem")
    own, authority = str(tls_folder / "own.pem"), str(tls_folder / "ca.pem")
    tls = ClientTls(authority, own, own, secrets=str(place.folder))
    for path, document in tls.secret_files().items():
        Path(path).write_text(render(document))
    with AsyncHost() as host:
        service = host.enter(lambda: place.service("h2corn", place.issue(x509.IPAddress(ip_address("127.0.0.1")))))
        with place.proxy(host, service, tls) as front:
            assert status(front, "/open") == 503
            if way == "swap":
                swap(tls_folder, **right)
            else:
                replace(tls_folder / "ca.pem", right["ca"])
                time.sleep(0.3)
                assert status(front, "/open") == 503, "it is not believed yet"
                replace(tls_folder / "own.pem", right["own"])
            deadline = time.monotonic() + 20
            while (found := status(front, "/open")) != 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert found == 200
