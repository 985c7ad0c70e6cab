import json

import pytest
from google.protobuf import json_format

from extauthz.check.capture import message_from_json
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.cli.sample import Sample, check_request_of, parse_header, parse_time, read_captured
from extauthz.errors import ConfigurationError

NOON = 1_769_860_800.0
PLAIN = Sample("GET", "/a?b=c", "shop.example", (), None, None)


def checked(sample: Sample) -> CheckedRequest:
    return read_check_request(check_request_of(sample, NOON))


def test_sample_reads_as_envoy_s_request():
    """Every flag arrives where the authorizer reads it."""
    headers = [("x-a", "1"), ("x-a", "2"), ("x-b", "caf\u00e9")]
    request = checked(Sample("PUT", "/a?b=c", "shop.example:8080", headers, "192.0.2.7", "spiffe://c/ns/x"))
    assert (request.method, request.target, request.host) == ("PUT", "/a?b=c", "shop.example:8080")
    assert list(request.header_values("x-a")) == ["1", "2"]
    assert list(request.header_values("x-b")) == ["caf\u00e9"]
    assert list(request.header_names()) == ["x-a", "x-b"]
    assert (request.source_address, request.peer_identity) == ("192.0.2.7", "spiffe://c/ns/x")
    assert request.received_at == NOON


def test_sample_without_peer_says_nothing_of_it():
    """What was not given is unknown, not some address."""
    request = checked(PLAIN)
    assert (request.source_address, request.peer_identity, request.body) == ("", "", None)


def test_header_bytes_are_kept():
    """An argument that is not UTF-8 reaches the policy as its bytes."""
    request = checked(Sample("GET", "/", "h", [("x-a", "\udce9")], None, None))
    assert list(request.header_values("x-a")) == ["\udce9"]


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-A: b", ("x-a", "b")),
        ("x-a:b", ("x-a", "b")),
        ("x-a:", ("x-a", "")),
        ("x-a: b: c \t", ("x-a", "b: c")),
    ],
)
def test_header_is_split_at_the_first_colon(text, header):
    """Names are lower case, outer white space is none of the value's (RFC 9110 section 5.5)."""
    assert parse_header(text) == header


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x-a", "--header: write it as 'name: value'"),
        (": b", "--header: write it as 'name: value'"),
        (":path: /b", "--header: write it as 'name: value'"),
        ("x a: b", "--header: write it as 'name: value'"),
        ("x-a: b\r\nx-c: d", "--header x-a: a value holds no line breaks or control characters"),
        ("Host: b", "--header host: use --host"),
    ],
)
def test_impossible_headers_are_refused(text, message):
    """What no request can hold is a mistake of the command line; the value, maybe a secret, is not repeated."""
    with pytest.raises(ConfigurationError) as raised:
        parse_header(text)
    assert str(raised.value) == message


@pytest.mark.parametrize("method", ["", "GET /", "G\u00c9T"])
def test_impossible_method_is_refused(method):
    """A method is a token (RFC 9110 section 9.1)."""
    with pytest.raises(ConfigurationError, match="this is no HTTP method"):
        check_request_of(Sample(method, "/", "h", (), None, None), NOON)


def test_path_that_is_not_utf8_is_refused():
    """Protobuf strings are UTF-8: such a path cannot be asked about."""
    with pytest.raises(ConfigurationError, match="the request cannot be sent"):
        check_request_of(Sample("GET", "/\udce9", "h", (), None, None), NOON)


def test_capture_is_read_in_both_forms():
    """JSON and serialised captures are told apart by their content."""
    message = check_request_of(PLAIN, NOON)
    text = json_format.MessageToJson(read_check_request(message)._attributes)
    document = json.dumps({"attributes": json.loads(text)})
    assert read_captured(message, "f") == message
    for form in (document, f"\n  {document}\n"):
        assert read_check_request(read_captured(form.encode(), "f")).target == "/a?b=c"


def test_serialised_capture_that_looks_like_json_is_read():
    """A message whose first field is 123 bytes long begins with a line feed and a brace."""
    capture = {"attributes": {"request": {"http": {"path": "/" + "x" * 116}}}}
    message = message_from_json(json.dumps(capture).encode())
    assert message.startswith(b"\n{")
    assert read_captured(message, "f") == message


def test_broken_json_capture_is_explained():
    """A typing error in a capture is one line with the file."""
    with pytest.raises(ConfigurationError, match=r"^--request c\.json: not a CheckRequest in JSON: "):
        read_captured(b'{"atributes": {}}', "c.json")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1769860800", NOON),
        ("1769860800.5", NOON + 0.5),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31T13:00:00+01:00", NOON),
    ],
)
def test_times(text, seconds):
    """RFC 3339 with an offset, and epoch seconds."""
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "noon", "2026-01-31T12:00:00", "2026-01-31", "-1", "1e9", "1960-01-01T00:00:00Z"])
def test_times_that_could_be_misread_are_refused(text):
    """A time without an offset could be any of 24."""
    with pytest.raises(ConfigurationError, match="write it as 2026-01-31T12:00:00Z"):
        parse_time(text)
