import json
import time

import pytest

from extauthz.model.access import Claims
from extauthz.telemetry.redaction import REDACTED, Redaction, is_secret_name

JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


def redaction() -> Redaction:
    return Redaction({"authorization", "x-caller"})


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "X-Auth-Token", "x-csrf-token"),
        *("apikey", "access_token", "client_secret", "password", "passwd", "sessionid", "x-amz-security-token"),
        *("code", "sig", "x-goog-signature", "client_assertion", "private-key"),
    ],
)
def test_secrets_are_known_by_their_names(name):
    """Of headers, parameters and members, in any case."""
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["accept", "user-agent", "author", "authority", "x-request-id", "keyword", "encoder"])
def test_other_names_are_not_secrets(name):
    """What conditions read stays readable."""
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("accept", "text/html, application/json", "text/html, application/json"),
        ("cookie", "a=b", REDACTED),
        ("x-caller", "whatever", REDACTED),
        ("x-note", f"see {JWT}, please", f"see {REDACTED}, please"),
        ("x-note", f"t={JWT}", f"t={REDACTED}"),
        ("x-note", "Basic dXNlcjpwYXNz", f"Basic {REDACTED}"),
        ("x-note", "bearer\topaque-token, x", f"bearer {REDACTED}, x"),
        ("x-note", "eyJ is how tokens begin", "eyJ is how tokens begin"),
        ("x-note", "basic", "basic"),
    ],
)
def test_headers(name, value, kept):
    """By name, by what a provider reads, by what it looks like."""
    found = redaction()
    assert found.header(name, value) == kept
    assert found.places == ([] if kept == value else [f"header:{name}"])


@pytest.mark.parametrize(
    ("target", "kept"),
    [
        ("/orders/7?page=2&sort=a=b", "/orders/7?page=2&sort=a=b"),
        ("/login?code=123&state=x&page=2", f"/login?code={REDACTED}&state={REDACTED}&page=2"),
        ("/x?access%5Ftoken=abc", f"/x?access%5Ftoken={REDACTED}"),
        ("/x?token", "/x?token"),
        ("/x?token=", "/x?token="),
        (f"/x?q={JWT}&r", f"/x?q={REDACTED}&r"),
        (f"/reset/{JWT}/now", f"/reset/{REDACTED}/now"),
        ("/x?", "/x?"),
    ],
)
def test_targets(target, kept):
    """Parameters by their names, decoded; what looks like a token wherever it stands."""
    assert redaction().target(target) == kept


def test_claims_lose_tokens_alone():
    """`auth_time` and `session_state` are no secrets; a token within a token is one."""
    claims: Claims = {
        "sub": "alice",
        "auth_time": 7,
        "session_state": "s",
        "act": {"access_token": "opaque", "list": [JWT, 1, None, True]},
    }
    found = redaction()
    assert found.claims(claims) == {
        "sub": "alice",
        "auth_time": 7,
        "session_state": "s",
        "act": {"access_token": REDACTED, "list": [REDACTED, 1, None, True]},
    }
    assert set(found.places) == {"claim:act"}


def test_bodies_lose_members_by_name():
    """At any depth, with whatever they hold; a body without secrets stays byte by byte."""
    body = b'{ "total": 1.50, "items": [{"name": "a"}] }'
    assert redaction().body(body) == body
    found = redaction()
    kept = found.body(b'{"user": "a", "password": "p", "deep": [{"api_key": [1, {"x": 2}]}], "token": null}')
    assert kept is not None
    assert json.loads(kept) == {"user": "a", "password": REDACTED, "deep": [{"api_key": REDACTED}], "token": None}
    assert found.places == ["body:password", "body:api_key"]


@pytest.mark.parametrize("body", [b"password=p", b"[1]", b'{"a": 1, "a": 2}', b"\xff", b"--boundary", b""])
def test_other_bodies_are_left_out(body):
    """Nobody knows what they hold."""
    found = redaction()
    assert found.body(body) is None
    assert found.places == ["body"]


def test_texts_of_the_proxy():
    """By name and by look."""
    assert redaction().text("tier", "gold") == "gold"
    assert redaction().text("api_key", "gold") == REDACTED


@pytest.mark.parametrize("value", ["eyJ" * 20_000, "eyJ" * 20_000 + ".", "basic " * 10_000, "basic" + " " * 60_000])
def test_hostile_values_take_no_time(value):
    """Linear in their length."""
    began = time.process_time()
    redaction().header("x", value)
    assert time.process_time() - began < 0.5
