import pytest

from extauthz.languages.rego.input_document import (
    CUT_BODY,
    MAX_QUERY_PARAMETERS,
    NO_BODY,
    Body,
    InputRefusedError,
    parse_body,
    parse_query,
    parse_target,
)

MULTIPART = "multipart/form-data; boundary=x"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("", [""], {}),
        ("/", [""], {}),
        ("/a/b", ["a", "b"], {}),
        ("/a/b/", ["a", "b", ""], {}),
        ("/a//b", ["a", "", "b"], {}),
        ("//admin/x", ["admin", "x"], {}),
        ("/a%2Fb", ["a", "b"], {}),
        ("%2F%2Fa", ["a"], {}),
        ("/a+b%20c", ["a+b c"], {}),
        ("/a#b?c=1#d", ["a#b"], {"c": ["1#d"]}),
        ("/a?b?c=1", ["a"], {"b?c": ["1"]}),
        ("/%ff", ["\udcff"], {}),
        ("/a?x=1&x=2&y", ["a"], {"x": ["1", "2"], "y": [""]}),
        ("/?&&a=&=v&a+b=c+d&e=f=g", [""], {"a": [""], "": ["v"], "a b": ["c d"], "e": ["f=g"]}),
        ("/?%61=%2B", [""], {"a": ["+"]}),
        ("?", [""], {}),
    ],
)
def test_targets(target, path, query):
    """Path and query as Go reads them; nothing is an authority."""
    assert parse_target(target) == (path, query)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("/%zz", 'invalid URL escape "%zz"'),
        ("/a%", 'invalid URL escape "%"'),
        ("/a%4", 'invalid URL escape "%4"'),
        ("/?a=%4", 'invalid URL escape "%4"'),
        ("/?%=1", 'invalid URL escape "%"'),
        ("/?a;b=1", "invalid semicolon separator in query"),
        ("/?" + "&" * MAX_QUERY_PARAMETERS, "number of URL query parameters exceeded limit"),
    ],
)
def test_malformed_targets(target, message):
    """What cannot be read is refused in Go's words."""
    with pytest.raises(InputRefusedError) as refused:
        parse_target(target)
    assert str(refused.value) == message


def test_a_query_of_many_names():
    """As many pairs as Go reads."""
    assert len(parse_query("&".join(f"p{n}" for n in range(MAX_QUERY_PARAMETERS)))) == MAX_QUERY_PARAMETERS


def body_of(body, content_type=None, *, raw=b"", path=(), grpc=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if content_type is not None:
        named["content-type"] = content_type
    return parse_body(named, body, raw=raw, path=list(path), grpc=grpc)


@pytest.mark.parametrize(
    ("body", "content_type", "value"),
    [
        (b'{"a": [1, 2.50, null]}', "application/json", {"a": [1, 2.5, None]}),
        (b'{"a": 1, "a": 2}', "application/json; charset=utf-8", {"a": 2}),
        (b' "\\u00e9\\/" ', "application/json", "é/"),
        (b"12345678901234567890123", "application/json", 12345678901234567890123),
        (b'"\xff\xfe"', "application/json", "\ufffd\ufffd"),
        (b'"\\ud800"', "application/json", "\ufffd"),
        (b"null", "application/json", None),
        (b"a=1&a=2&b=", "application/x-www-form-urlencoded", {"a": ["1", "2"], "b": [""]}),
        (b"a=\xff&%fe=1", "application/x-www-form-urlencoded", {"a": ["\ufffd"], "\ufffd": ["1"]}),
        (b"<a/>", "text/xml", None),
        (b"{}", "application/JSON", None),
        (b"--x\r\n\r\n\r\n--x--", "multipart/form-data", None),
        (
            (
                b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
                b'--x\r\ncontent-disposition: form-data; name="a"\r\nContent-Type: application/json\r\n\r\n{"b": 2}\r\n'
                b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.bin"\r\n\r\n\xff\r\n'
                b"--x\r\nContent-Disposition: attachment; name=c\r\n\r\n3\r\n--x--\r\n"
            ),
            MULTIPART,
            {"a": ["1", {"b": 2}], "f": ["\ufffd"]},
        ),
    ],
)
def test_bodies(body, content_type, value):
    """A body is parsed by its content type; others are not looked at."""
    assert body_of(body, content_type) == Body(value, truncated=False)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", MULTIPART])
def test_no_body(content_type):
    """An empty body is none, whatever its content type and length."""
    assert body_of(b"", content_type, content_length="nine") == NO_BODY
    assert body_of(b"{}") == NO_BODY


@pytest.mark.parametrize(
    ("body", "content_type", "message"),
    [
        (b"{", "application/json", "invalid JSON"),
        (b"  ", "application/json", "invalid JSON"),
        (b"{} {}", "application/json", "invalid JSON"),
        (b"NaN", "application/json", "invalid JSON"),
        (b"[" * 200_000, "application/json", "invalid JSON"),
        (b"a;b", "application/x-www-form-urlencoded", "invalid semicolon"),
        (b"a=%", "application/x-www-form-urlencoded", 'invalid URL escape "%"'),
        (b"--x", "multipart/form-data; boundary", "mime"),
        (b"--x\r\n", MULTIPART, "EOF"),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\nContent-Type: application/json\r\n\r\n{\r\n--x--',
            MULTIPART,
            "invalid JSON",
        ),
    ],
)
def test_malformed_bodies(body, content_type, message):
    """What does not fit its content type is refused."""
    with pytest.raises(InputRefusedError, match=message):
        body_of(body, content_type)


@pytest.mark.parametrize("content_type", ["application/json", "application/x-www-form-urlencoded", MULTIPART])
def test_shorter_than_its_length(content_type):
    """A body that ends before its content length does is not parsed."""
    assert body_of(b"[1", content_type, content_length="3") == CUT_BODY
    assert body_of(b"[1", content_type, x_envoy_auth_partial_body="true") == CUT_BODY


@pytest.mark.parametrize("length", ["2", "-1", "+2", "0", "-5", "000000000000000000000002"])
def test_lengths_that_fit(length):
    """Bytes count, and a smaller length says nothing."""
    assert body_of(b"{}", "application/json", content_length=length) == Body({}, truncated=False)
    assert body_of('"é"'.encode(), "application/json", content_length="4").value == "é"


@pytest.mark.parametrize("length", ["", "two", " 2", "1_0", "٢", "9223372036854775808", "9" * 5000])
def test_lengths_that_are_none(length):
    """A content length that Go does not read is refused."""
    with pytest.raises(InputRefusedError, match=r"strconv\.ParseInt"):
        body_of(b"{}", "application/json", content_length=length)


def test_only_a_true_flag_is_partial():
    """Other values of Envoy's header say nothing."""
    assert body_of(b"{}", "application/json", x_envoy_auth_partial_body="True").value == {}


def test_grpc_is_left_to_its_reader():
    """It gets what was packed as bytes, whatever the length says; without it, or without bytes, there is no body."""

    def read(raw, path):
        return Body({"raw": raw.decode(), "path": path}, truncated=False)

    found = body_of(b"text", "application/grpc+proto", raw=b"m", path=("s", "m"), grpc=read, content_length="99")
    assert found.value == {"raw": "m", "path": ["s", "m"]}
    assert body_of(b"text", "application/grpc", grpc=read) == NO_BODY
    assert body_of(b"m", "application/grpc", raw=b"m") == NO_BODY
