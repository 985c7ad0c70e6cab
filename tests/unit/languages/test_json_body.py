import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.json_body import MAX_BODY_DEPTH, JsonBodyError, json_body, parse_json_body
from tests.strategies import Request, make_facts


def with_body(body, content_type="application/json", **headers):
    types = {} if content_type is None else {"content-type": (content_type,)}
    return Request(body=body, headers=types | {k.replace("_", "-"): v for k, v in headers.items()})


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON; charset=UTF-8",
        'application/json;charset="utf-8"; x=y',
        "application/vnd.shop.order+json",
        "text/x+json",
    ],
)
def test_json_content_types_are_read(content_type):
    """JSON by name or by suffix, in UTF-8."""
    assert parse_json_body(with_body(b'{"a": [1, "\xc3\xa9", null, true]}', content_type)) == {
        "a": [1.0, "é", None, True]
    }


@pytest.mark.parametrize(
    "content_type",
    [None, "", "text/plain", "application/jsonx", "json", "+json", "application/json; charset=utf-16", "application/x"],
)
def test_other_content_types_are_not_read(content_type):
    """Whatever the bytes look like: the upstream goes by the content type."""
    with pytest.raises(JsonBodyError):
        parse_json_body(with_body(b"{}", content_type))


def test_two_content_types_are_not_read():
    """The upstream may follow the other one."""
    with pytest.raises(JsonBodyError):
        parse_json_body(Request(body=b"{}", headers={"content-type": ("application/json", "text/plain")}))


def test_a_coded_body_is_not_read():
    """The upstream would decode it to something else."""
    assert parse_json_body(with_body(b"{}", content_encoding=("identity",))) == {}
    with pytest.raises(JsonBodyError):
        parse_json_body(with_body(b"{}", content_encoding=("gzip",)))


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"{",
        b"{} {}",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\x00}\x00",
        b'"\xff"',
        b'{"a": 1, "a": 1}',
        b'[{"b": {"a": 1, "\\u0061": 2}}]',
        b"[NaN]",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"1" * 400,
        b'"\\u0000"',
        b'{"a\\u0000": 1}',
        b'"\\ud800"',
        b"[" * 100_000,
        b"[" * 65 + b"]" * 65,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
    ],
)
def test_a_body_that_readers_may_differ_on_is_not_read(body):
    """Partial, malformed, ambiguous or bottomless."""
    with pytest.raises(JsonBodyError):
        parse_json_body(with_body(body))


def test_the_deepest_body_is_read():
    """The limit itself is within."""
    assert parse_json_body(with_body(b"[" * MAX_BODY_DEPTH + b"]" * MAX_BODY_DEPTH))


def test_integers_of_any_length_are_doubles():
    """No slow conversion of huge integers."""
    assert parse_json_body(with_body(b"[9007199254740993, -1]")) == [9007199254740992.0, -1.0]


def test_a_request_is_parsed_once():
    """Also when the body is `null`, and when it is no JSON."""
    facts = make_facts(with_body(b"null"))
    assert json_body(facts) is None
    facts.request = Request()
    assert json_body(facts) is None
    refused = make_facts(Request())
    for _ in range(2):
        with pytest.raises(JsonBodyError, match="not here"):
            json_body(refused)
        refused.request = with_body(b"{}")


def test_messages_hold_nothing_of_the_body():
    """What a client sends is not for logs."""
    with pytest.raises(JsonBodyError) as caught:
        parse_json_body(with_body(b'{"secret": 1, "secret": 2}'))
    assert "secret" not in str(caught.value)


@given(st.binary() | st.text().map(str.encode))
def test_any_bytes_are_read_or_refused(body):
    """Nothing but our own error comes out."""
    try:
        value = parse_json_body(with_body(body))
    except JsonBodyError:
        return
    assert json.dumps(value, allow_nan=False) is not None


PLAIN = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=20,
)


@given(PLAIN)
def test_a_json_value_comes_back(value):
    """What the standard library writes is read as the same value."""
    body = json.dumps(value)
    if "\\u0000" in body:
        return
    assert parse_json_body(with_body(body.encode())) == value
