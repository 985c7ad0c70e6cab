import datetime as dt
import ssl
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from cryptography import x509

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_WRONG_INPUT, run
from tests.harness.certificates import CertificateAuthority


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path in {"/readyz", "/other"} else 503)
        self.end_headers()
        self.wfile.write(b"key set missing\n")

    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def no_address(monkeypatch):
    """Tests do not depend on the environment they run in."""
    for name in ("EXTAUTHZ_ADMIN", "EXTAUTHZ_ADMIN_TLS_CERT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def port():
    """Of a service that is ready, and also answers elsewhere."""
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no clock


@pytest.fixture
def tls_port(authority):
    """Of the same, over TLS, with a certificate for `localhost`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue(x509.DNSName("localhost")))
    with HTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_the_services_own_listener_may_speak_tls(tls_port, monkeypatch):
    """Its certificate names another host than this container's loopback."""
    monkeypatch.setenv("EXTAUTHZ_ADMIN", f"0.0.0.0:{tls_port}")
    assert run(["probe"]) == EXIT_ENVIRONMENT
    monkeypatch.setenv("EXTAUTHZ_ADMIN_TLS_CERT", "/etc/certificates/admin.pem")
    assert run(["probe"]) == 0


def test_who_answers_elsewhere_has_to_be_believed(authority, tls_port, capsys, tmp_path):
    """By an authority that is named, or one of the system's; and by its name."""
    ca = ["--ca", str(authority.certificate)]
    assert run(["probe", f"https://localhost:{tls_port}/readyz", *ca]) == 0
    assert run(["probe", f"https://localhost:{tls_port}/readyz"]) == EXIT_ENVIRONMENT
    assert run(["probe", f"https://127.0.0.1:{tls_port}/readyz", *ca]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err.count("certificate verify failed") == 2
    assert run(["probe", f"https://localhost:{tls_port}/readyz", "--ca", "absent.pem"]) == EXIT_WRONG_INPUT
    (tmp_path / "bad.pem").write_text("no certificate")
    assert run(["probe", f"https://localhost:{tls_port}/readyz", "--ca", str(tmp_path / "bad.pem")]) == EXIT_WRONG_INPUT


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_the_services_own_settings_say_where(port, host, monkeypatch):
    """A container that listens everywhere is asked at its own loopback; no proxy is asked."""
    monkeypatch.setenv("EXTAUTHZ_ADMIN", f"{host}:{port}")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert run(["probe"]) == 0


def test_another_address_is_asked_when_given(port):
    """Issuer and upstream are probed with the same command."""
    assert run(["probe", f"http://127.0.0.1:{port}/other"]) == 0


def test_not_ready_says_why(port, capsys):
    """Docker keeps the output with the container's health."""
    assert run(["probe", f"http://127.0.0.1:{port}/bad"]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err == f"http://127.0.0.1:{port}/bad: 503 key set missing\n"


def test_nobody_there_is_one_line(monkeypatch, capsys):
    """Exit 1, no traceback."""
    monkeypatch.setenv("EXTAUTHZ_ADMIN", "127.0.0.1:1")
    assert run(["probe"]) == EXIT_ENVIRONMENT
    assert capsys.readouterr().err == "http://127.0.0.1:1/readyz: [Errno 111] Connection refused\n"


def test_what_cannot_be_probed_is_refused(monkeypatch, capsys):
    """With the form that is expected."""
    assert run(["probe", "ftp://a"]) == EXIT_WRONG_INPUT
    monkeypatch.setenv("EXTAUTHZ_ADMIN", "unix:/run/admin.sock")
    assert run(["probe"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.count("http://host:port/path") == 2
