import pytest
from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf import json_format

from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.errors import RequestMalformedError


def check_request(http, **attributes):
    fields = {"attributes": {"request": {"http": http}, **attributes}}
    return json_format.ParseDict(fields, external_auth_pb2.CheckRequest())


def read(http, **attributes):
    return CheckedRequest(check_request(http, **attributes))


def header_map(*entries):
    return {"headerMap": {"headers": [{"key": k, "rawValue": v} for k, v in entries]}}


def test_it_reads_what_the_proxy_saw():
    """Method, target with query, host, scheme, protocol, both ends of the connection, the peer's identity, the time."""
    request = read_check_request(
        json_format.ParseDict(
            {
                "attributes": {
                    "source": {
                        "address": {"socketAddress": {"address": "192.0.2.7", "portValue": 4711}},
                        "principal": "spiffe://cluster.local/ns/a",
                    },
                    "destination": {"address": {"socketAddress": {"address": "2001:db8::1", "portValue": 443}}},
                    "request": {
                        "time": "2027-01-15T08:00:00.500Z",
                        "http": {
                            "method": "PUT",
                            "path": "/a?b=c",
                            "host": "Shop.example:443",
                            "scheme": "https",
                            "protocol": "HTTP/2",
                        },
                    },
                    "contextExtensions": {"virtual_host": "v"},
                }
            },
            external_auth_pb2.CheckRequest(),
        ).SerializeToString()
    )
    assert (request.method, request.target, request.host) == ("PUT", "/a?b=c", "Shop.example:443")
    assert (request.scheme, request.protocol) == ("https", "HTTP/2")
    assert (request.source_address, request.source_port) == ("192.0.2.7", 4711)
    assert (request.destination_address, request.destination_port) == ("2001:db8::1", 443)
    assert request.peer_identity == "spiffe://cluster.local/ns/a"
    assert request.context_extensions == {"virtual_host": "v"}
    assert request.received_at == 1800000000.5


def test_what_the_proxy_did_not_say_is_empty():
    """No address of a Unix socket's peer, no time, no body."""
    request = read({"method": "GET"})
    assert (request.source_address, request.source_port, request.peer_identity) == ("", 0, "")
    assert (request.received_at, request.body) == (None, None)
    assert (list(request.header_values("x")), list(request.header_names())) == ([], [])


def test_the_header_map_wins_and_keeps_repeated_headers_apart():
    """`headers` has them joined by commas, which nobody can take apart again."""
    http = {
        "headers": {"x-a": "1,2", "x-b": "only in headers"},
        **header_map(("x-a", "MQ=="), ("x-c", "Yw=="), ("x-a", "Mg=="), (":path", "Lw==")),
    }
    request = read(http)
    assert list(request.header_values("x-a")) == ["1", "2"]
    assert list(request.header_values("x-c")) == ["c"]
    assert list(request.header_values("x-b")) == []
    assert list(request.header_names()) == ["x-a", "x-c"]


def test_from_headers_alone_a_comma_is_part_of_the_value():
    """One value, as sent by a proxy that does not encode raw headers."""
    request = read({"headers": {"x-a": "1,2", ":path": "/"}})
    assert list(request.header_values("x-a")) == ["1,2"]
    assert list(request.header_names()) == ["x-a"]


def test_bytes_that_are_no_text_stay_recognisable():
    """As lone surrogates, which every reader of text refuses; a value in `value` counts when `raw_value` is empty."""
    request = read(header_map(("x-a", "YWL/"), ("x-b", "")) | {})
    assert list(request.header_values("x-a")) == ["ab\udcff"]
    assert list(request.header_values("x-b")) == [""]


@pytest.mark.parametrize(
    ("http", "body"),
    [
        ({"body": "{}"}, b"{}"),
        ({"body": "{}", "size": 2}, b"{}"),
        ({"rawBody": "e30=", "size": -1}, b"{}"),
        ({"body": "{}", "size": 200}, None),
        ({"body": "{}", "headers": {"x-envoy-auth-partial-body": "true"}}, None),
        ({"body": "{}", "headers": {"x-envoy-auth-partial-body": "false"}}, b"{}"),
        ({"size": 0}, None),
    ],
)
def test_a_body_is_whole_or_none(http, body):
    """A truncated one is none, by Envoy's word or by its length."""
    assert read(http).body == body


@pytest.mark.parametrize(
    "message", [b"\xff", b"\x0a\x05ab", b"", check_request({}).SerializeToString()[:1], b"\x0a\x02\x0a\x00"]
)
def test_what_is_no_http_check_is_malformed(message):
    """Garbage, a truncated message, one without HTTP attributes."""
    with pytest.raises(RequestMalformedError):
        read_check_request(message)


def test_a_path_that_is_no_utf8_is_malformed():
    """proto3 strings are UTF-8: such a message cannot be parsed, and is refused rather than failed."""
    message = check_request({"method": "GET", "path": "/xx"}).SerializeToString().replace(b"/xx", b"/\xff\xfe")
    with pytest.raises(RequestMalformedError):
        read_check_request(message)
