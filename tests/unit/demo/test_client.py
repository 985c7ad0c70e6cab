import asyncio
import datetime as dt
import json
import re
import ssl
import threading
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address

import jwt
import pytest
from cryptography import x509

from extauthz.demo.client import DemoClient, Server, mint_at, parse_server
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.demo.table import CUSTOMER, EXPIRED, FORGER, MACHINE, DemoRequest, Expected
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from tests.harness.certificates import CertificateAuthority

NOW = 1_800_000_000.0


@pytest.fixture
def issuer():
    with DevelopmentIssuer(clock=lambda: NOW) as running:
        yield running


def client(proxy, issuer):
    """A client whose tokens this issuer signs in the same process."""
    return DemoClient(proxy, issuer.sign, lambda: NOW)


def claims(token):
    """What a token says, unverified."""
    return jwt.decode(token, options={"verify_signature": False})


def ask(request, issuer):
    """The reply to a request that goes straight to an echo."""

    async def scenario():
        async with echo_upstream() as address:
            return await asyncio.to_thread(client(Server(address), issuer).send, request, "agent/7")

    return asyncio.run(scenario())


def test_a_request_is_sent_as_it_is_written(issuer):
    """Path, headers and body arrive untouched, with the caller's token."""
    request = DemoRequest(
        *("POST", "/a%2Fb;c?d", CUSTOMER, Expected("200", None)), headers=(("x-user", "root"),), body='{"total": 1}'
    )
    reply = ask(request, issuer)
    echo = json.loads(reply.echo)
    assert (reply.status, reply.user) == ("200", "root")
    assert (echo["method"], echo["path"]) == ("POST", "/a%2Fb;c?d")
    assert (echo["headers"]["user-agent"], echo["headers"]["content-length"]) == ("agent/7", "12")
    assert claims(echo["headers"]["authorization"].removeprefix("Bearer "))["orders"] == ["1001", "1003"]


def test_a_grpc_call_is_made_as_one(issuer):
    """The status is gRPC's, the message the upstream's echo."""
    reply = ask(DemoRequest("POST", "/shop.Orders/Get", MACHINE, Expected("grpc 0", None)), issuer)
    assert (reply.status, json.loads(reply.echo)["path"]) == ("grpc 0", "/shop.Orders/Get")


def test_tokens_say_what_the_callers_say(issuer):
    """Times from the clock, an expired one in the past, the audience and the claims of the table."""
    tokens = client(Server(TcpAddress("127.0.0.1", 1)), issuer)
    assert claims(tokens.token(CUSTOMER)) == {
        "iss": issuer.url,
        "sub": "carol",
        "aud": "shop",
        "iat": NOW,
        "exp": NOW + 3600,
        "roles": ["customer"],
        "orders": ["1001", "1003"],
    }
    assert claims(tokens.token(EXPIRED))["exp"] == NOW - 3600


def test_a_tampered_token_has_other_claims_under_the_same_signature(issuer):
    """The forger's row tests the signature, not the encoding."""
    tokens = client(Server(TcpAddress("127.0.0.1", 1)), issuer)
    forged = tokens.token(FORGER)
    assert claims(forged)["roles"] == ["admin"]
    key = jwt.PyJWKSet.from_dict(json.loads(_get(issuer.address, "/jwks.json")))[
        jwt.get_unverified_header(forged)["kid"]
    ]
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(forged, key, algorithms=["ES256"], audience="shop")


def _get(address, path):
    connection = HTTPConnection(address.host, address.port, timeout=5)
    connection.request("GET", path)
    content = connection.getresponse().read()
    connection.close()
    return content


def test_tokens_come_from_an_issuer_that_runs_elsewhere(issuer):
    """The same claims and algorithm, minted over HTTP."""
    token = mint_at(parse_server(issuer.url))({"sub": "alice"}, "RS256")
    assert (claims(token)["sub"], claims(token)["iss"]) == ("alice", issuer.url)
    assert jwt.get_unverified_header(token)["alg"] == "RS256"


def test_no_token_is_one_message(issuer):
    """Where it was asked for, and what came."""
    silent = TcpAddress("127.0.0.1", 1)
    with pytest.raises(EnvironmentUnfitError, match=r"^no token from http://127.0.0.1:1/token: ConnectionRefused"):
        mint_at(Server(silent))({}, "ES256")
    with pytest.raises(EnvironmentUnfitError, match=r"/token: status 400$"):
        mint_at(Server(issuer.address))({}, "HS256")
    with pytest.raises(EnvironmentUnfitError, match="GET / got no answer"):
        client(Server(silent), issuer).send(DemoRequest("GET", "/", None, Expected("200", None)), "agent")


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8080", TcpAddress("localhost", 8080)),
        ("http://localhost/", TcpAddress("localhost", 80)),
        ("http://[::1]:8080", TcpAddress("::1", 8080)),
    ],
)
def test_servers_are_read(url, address):
    """The port is the scheme's unless it is written."""
    assert parse_server(url) == Server(address)


@pytest.mark.parametrize("url", ["localhost:8080", "http://", "ftp://a", "http://a:b", "http://a/b", "http://u@a"])
def test_what_is_no_server_is_refused(url):
    """With the form that is expected."""
    with pytest.raises(ConfigurationError, match=re.escape(f"'{url}' is no address of a server: write http://")):
        parse_server(url)


def test_authorities_go_with_https_alone(tmp_path):
    """A stack in containers has authorities of its own; a file that is not there is named."""
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigurationError, match="there is no such file"):
        parse_server("https://localhost:8443", file)
    file.touch()
    assert parse_server("https://localhost:8443", file) == Server(TcpAddress("localhost", 8443), file)
    for url, given in (("http://localhost", file), ("https://localhost", None)):
        with pytest.raises(ConfigurationError, match="--ca FILE goes with https"):
            parse_server(url, given)


class _Ok(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"headers": {"x-user": "alice"}}')

    def log_message(self, *args):
        pass


def test_tls_is_verified_by_the_authorities_given(tmp_path, issuer):
    """A certificate of theirs is accepted, one of somebody else's is no answer."""
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - certificates are checked against the real clock
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    ours, theirs = (CertificateAuthority(tmp_path / name, now) for name in ("ours", "theirs"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(ours.issue(x509.IPAddress(ip_address("127.0.0.1"))))
    request = DemoRequest("GET", "/", None, Expected("200", None))
    with HTTPServer(("127.0.0.1", 0), _Ok) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            url = f"https://127.0.0.1:{server.server_port}"
            reply = client(parse_server(url, ours.certificate), issuer).send(request, "agent")
            with pytest.raises(EnvironmentUnfitError, match="CERTIFICATE_VERIFY_FAILED"):
                client(parse_server(url, theirs.certificate), issuer).send(request, "agent")
        finally:
            server.shutdown()
            thread.join()
    assert (reply.status, reply.user) == ("200", "alice")
