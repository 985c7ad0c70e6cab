import asyncio
import gzip
import json

import pytest

from extauthz.sources import outbound_http
from extauthz.sources.outbound_http import MAXIMUM_BYTES, Document, HttpStatusError, OutboundError, get_json, refusal
from tests.harness.http_server import certificate, serving


def get(url, *, ca_file=None, allow_http=False, addresses=None):
    """GET it, with every host name resolved to these addresses."""

    async def resolve(host, port):
        return addresses

    resolver = outbound_http.resolve if addresses is None else resolve
    return asyncio.run(get_json(url, ca_file=ca_file and str(ca_file), allow_http=allow_http, resolver=resolver))


def refused(url, match="GET", **options):
    with pytest.raises(OutboundError, match=match) as caught:
        get(url, **options)
    return caught.value


@pytest.fixture
def server():
    with serving() as server:
        server.answers["/json"] = lambda h: h.reply(body=b'{"a": 1}')
        yield server


def test_a_json_object_is_fetched(server):
    """From loopback, by address and by name."""
    assert get(server.url("/json")) == Document({"a": 1}, None)
    assert get(server.url("/json", "localhost"), addresses=["127.0.0.1"]) == Document({"a": 1}, None)
    assert server.hosts[-1] == f"localhost:{server.server_port}"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("max-age=600", 600.0),
        ("public, MAX-AGE=0, must-revalidate", 0.0),
        ("no-store", 0.0),
        ("max-age=600, no-cache", 0.0),
        ("max-age=-1", None),
        ("max-age=soon", None),
        ("max-age=9999999999999", None),
        ("private", None),
    ],
)
def test_freshness_is_what_the_server_says(server, header, seconds):
    """RFC 9111 section 5.2.2; nonsense says nothing."""
    server.answers["/aged"] = lambda h: h.reply(body=b"{}", cache_control=header)
    assert get(server.url("/aged")).fresh_seconds == seconds


@pytest.mark.parametrize("status", [204, 304, 400, 404, 500, 503])
def test_other_statuses_are_failures(server, status):
    """And say which."""
    server.answers["/x"] = lambda h: h.reply(status)
    error = refused(server.url("/x?key=secret"), f"status {status}")
    assert isinstance(error, HttpStatusError)
    assert error.status == status
    assert "secret" not in str(error)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"a": 1, "a": 2}', b"\xff"])
def test_only_json_objects_are_taken(server, body):
    """Whatever the content type says."""
    server.answers["/x"] = lambda h: h.reply(body=body, content_type="application/json")
    refused(server.url("/x"), "the answer is refused")


def test_large_answers_are_cut_off(server):
    """With a length announced, and without one."""
    server.answers["/long"] = lambda h: h.reply(body=b'{"a": "' + b"x" * MAXIMUM_BYTES + b'"}')
    refused(server.url("/long"), "more than")

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        while not server.released.is_set():
            handler.wfile.write(b" " * 65536)

    server.answers["/endless"] = endless
    refused(server.url("/endless"), "more than")


def test_compressed_answers_are_refused(server):
    """A small answer must not become a large one in memory."""
    server.answers["/gzip"] = lambda h: h.reply(body=gzip.compress(b"{}"), content_encoding="gzip")
    refused(server.url("/gzip"), "compressed")


def test_slow_answers_are_given_up(server, monkeypatch):
    """A server that drips byte by byte cannot hold a fetch up: the whole of it has one limit."""
    monkeypatch.setattr(outbound_http, "TOTAL_SECONDS", 0.5)

    def drip(handler):
        handler.send_response(200)
        handler.end_headers()
        while not server.released.wait(0.02):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    server.answers["/drip"] = drip
    server.answers["/silent"] = lambda h: server.released.wait()
    refused(server.url("/drip"), "no whole answer")
    refused(server.url("/silent"), "no whole answer|Timeout")


def test_redirects_stay_on_the_host(server):
    """Within it they are followed, a few; to elsewhere never."""
    other = {
        "/to-json": "/json",
        "/elsewhere": "http://localhost:1/json",
        "/scheme-relative": "//evil.example/json",
        "/metadata": "http://169.254.169.254/latest/meta-data",
        "/file": "file:///etc/passwd",
        "/loop": "/loop",
    }
    for path, target in other.items():
        server.answers[path] = lambda h, t=target: h.reply(302, location=t)
    assert get(server.url("/to-json")).content == {"a": 1}
    for path in ("/elsewhere", "/scheme-relative", "/metadata", "/file"):
        refused(server.url(path), "redirected to another host")
    refused(server.url("/loop"), "more than 3 redirects")
    assert server.seen.count("/loop") == 4


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/jwks",
        "ftp://127.0.0.1/jwks",
        "file:///etc/passwd",
        "https://",
        "jwks.json",
        "",
        "https://u:p@127.0.0.1/jwks",
        "http://[::1",
        "https://a b/",
        "https://\u0000/",
        "https://xn--/",
    ],
)
def test_urls_that_are_not_fetched(url):
    """Plain http to elsewhere, other schemes, credentials, and what is no URL."""
    refused(url, addresses=["192.0.2.1"])


def test_plain_http_elsewhere_has_to_be_allowed(server):
    """A name that is not loopback's is fetched over http only where the policy says so."""
    url = server.url("/json", "issuer.svc")
    refused(url, "must be https", addresses=["127.0.0.1"])
    assert get(url, allow_http=True, addresses=["127.0.0.1"]).content == {"a": 1}


def test_loopback_must_be_loopback(server):
    """A `localhost` that resolves to elsewhere is not fetched over http."""
    refused(server.url("/json", "localhost"), "is no loopback address", addresses=["192.0.2.1"])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "169.254.0.1",
        "fe80::1",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::",
        "not an address",
    ],
)
def test_refused_addresses(address):
    """Link-local, metadata, multicast and unspecified, also where IPv6 hides them."""
    assert refusal(address)
    refused("https://issuer.example/jwks", addresses=[address])
    refused("http://issuer.example/jwks", allow_http=True, addresses=[address])


@pytest.mark.parametrize(
    "address", ["10.0.0.1", "192.168.1.1", "127.0.0.1", "::1", "8.8.8.8", "fd00::1", "2001:db8::1"]
)
def test_other_addresses_are_not_refused(address):
    """Issuers in private networks are what in-cluster policies name."""
    assert refusal(address) is None


def test_an_address_is_checked_before_anything_is_sent(server):
    """A refused one among several ends the attempt, and one without a listener leads to the next."""
    url = server.url("/json", "issuer.svc")
    refused(url, "169.254.169.254 is a link-local", allow_http=True, addresses=["169.254.169.254", "127.0.0.1"])
    assert server.seen == []
    assert get(url, allow_http=True, addresses=["127.0.0.2", "127.0.0.1"]).content == {"a": 1}
    refused(url, "the host has no address", allow_http=True, addresses=[])


def test_names_are_resolved_once(server):
    """The address that was checked is the one that is connected to: no second look-up to rebind."""
    asked = []

    async def rebinding(host, port):
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    document = asyncio.run(
        get_json(server.url("/json", "issuer.svc"), ca_file=None, allow_http=True, resolver=rebinding)
    )
    assert document.content == {"a": 1}
    assert asked == ["issuer.svc"]


def test_proxies_of_the_environment_are_not_used(server, monkeypatch):
    """Whoever sets a variable must not come between us and the issuer."""
    with serving() as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, proxy.url())
        assert get(server.url("/json")).content == {"a": 1}
        assert proxy.seen == []


def test_tls_is_verified_by_name(tmp_path):
    """Against the authorities given, for the name in the URL although an address is connected to."""
    context, ca_file = certificate(tmp_path, "issuer.example")
    with serving(context) as server:
        server.answers["/json"] = lambda h: h.reply(body=b'{"a": 1}')
        good, other = server.url("/json", "issuer.example"), server.url("/json", "other.example")
        assert get(good, ca_file=ca_file, addresses=["127.0.0.1"]).content == {"a": 1}
        assert server.hosts == [f"issuer.example:{server.server_port}"]
        refused(other, "(?i)hostname mismatch", ca_file=ca_file, addresses=["127.0.0.1"])
        refused(good, "(?i)certificate verify failed", addresses=["127.0.0.1"])
        refused(server.url("/json"), "(?i)certificate verify failed", ca_file=ca_file)


def test_tls_is_verified_by_address(tmp_path):
    """An issuer that is named by its address needs a certificate for it."""
    context, ca_file = certificate(tmp_path, "127.0.0.1")
    with serving(context) as server:
        server.answers["/json"] = lambda h: h.reply(body=b'{"a": 1}')
        assert get(server.url("/json"), ca_file=ca_file).content == {"a": 1}


def test_https_is_not_left_by_a_redirect(tmp_path):
    """Not even to the same host."""
    context, ca_file = certificate(tmp_path, "127.0.0.1")
    with serving(context) as server:
        plain = server.url("/json").replace("https", "http")
        server.answers["/down"] = lambda h: h.reply(302, location=plain)
        refused(server.url("/down"), "redirected from https to http", ca_file=ca_file, allow_http=True)


def test_a_missing_ca_file_is_a_failure(server, tmp_path):
    """Reported like any other, and looked for again the next time."""
    refused("https://127.0.0.1:1/json", "No such file", ca_file=tmp_path / "missing.pem")
    (tmp_path / "broken.pem").write_text("nothing")
    refused("https://127.0.0.1:1/json", ca_file=tmp_path / "broken.pem")


def test_a_server_that_is_not_there_is_a_failure():
    """Refused connections and names that do not resolve."""
    refused("http://127.0.0.1:1/json", "GET http://127.0.0.1:1/json: ")

    async def unknown(host, port):
        raise OSError("Name or service not known")

    with pytest.raises(OutboundError, match="Name or service not known"):
        asyncio.run(get_json("https://issuer.example", ca_file=None, allow_http=False, resolver=unknown))


def test_the_system_resolver():
    """Yields addresses."""
    assert "127.0.0.1" in asyncio.run(outbound_http.resolve("127.0.0.1", 80))


def test_a_server_that_hangs_up_is_a_failure(server):
    """In the middle of an answer, or without any."""

    def short(handler):
        handler.send_response(200)
        handler.send_header("content-length", "100")
        handler.end_headers()
        handler.wfile.write(b"{")

    server.answers["/short"] = short
    server.answers["/none"] = lambda h: None
    refused(server.url("/short"))
    refused(server.url("/none"))


def test_documents_are_json(server):
    """What is fetched is what was published."""
    published = {"keys": [{"kty": "RSA", "n": "x" * 500_000}]}
    server.answers["/big"] = lambda h: h.reply(body=json.dumps(published).encode())
    assert get(server.url("/big")).content == published
