import json
from typing import Any

import pytest

from extauthz.languages.rego.builtins.encoding import encode_base64url
from extauthz.languages.rego.failure import BuiltinError

SECRET = "secret-secret-secret-secret-secret"
JWK = {"kty": "oct", "k": encode_base64url(SECRET.encode())}
NOW = 1_700_000_000


@pytest.fixture
def token(call):
    def signed(claims: dict[str, Any], **header: Any) -> str:
        return str(call("io.jwt.encode_sign", {"alg": "HS256", "typ": "JWT", **header}, claims, JWK))

    return signed


@pytest.mark.parametrize(
    ("claims", "constraints", "want"),
    [
        ({}, {}, True),
        ({"exp": NOW + 1}, {}, True),
        ({"exp": NOW}, {}, False),
        ({"nbf": NOW}, {}, True),
        ({"nbf": NOW + 1}, {}, False),
        ({"exp": NOW}, {"time": 5}, True),
        ({"iss": "a"}, {"iss": "a"}, True),
        ({"iss": "a"}, {"iss": "b"}, False),
        ({}, {"iss": "b"}, False),
        ({"iss": ["b"]}, {"iss": "b"}, False),
        ({"aud": "a"}, {}, False),
        ({"aud": "a"}, {"aud": "a"}, True),
        ({"aud": ["b", "a"]}, {"aud": "a"}, True),
        ({"aud": 5}, {"aud": "a"}, False),
        ({}, {"aud": "a"}, False),
        ({}, {"alg": "HS512"}, False),
    ],
)
def test_constraints(call, token, claims, constraints, want):
    """A token is valid when every constraint holds; an audience nobody asked for is none."""
    valid, header, payload = call("io.jwt.decode_verify", token(claims), {"secret": SECRET, **constraints})
    assert valid is want
    assert (payload == claims and bool(header)) if want else (payload == {} and header == {})


@pytest.mark.parametrize(
    "constraints",
    [
        {},
        {"secret": ""},
        {"secret": "a", "cert": "b"},
        {"secret": SECRET, "iat": 1},
        {"secret": 1},
        {"secret": SECRET, "time": -1},
    ],
)
def test_constraints_that_make_no_sense(call, token, constraints):
    """One key, known names, right types."""
    with pytest.raises(BuiltinError):
        call("io.jwt.decode_verify", token({}), constraints)


def test_critical_headers_must_be_understood(call, token):
    """An unknown critical header makes a token invalid, an empty list is an error."""
    assert call("io.jwt.decode_verify", token({}, crit=["exp2"], exp2=1), {"secret": SECRET})[0] is False
    with pytest.raises(BuiltinError):
        call("io.jwt.decode_verify", token({}, crit=[]), {"secret": SECRET})


def test_no_algorithm_is_no_signature(call):
    """`alg: none` verifies with nothing."""
    header = encode_base64url(json.dumps({"alg": "none"}).encode())
    unsigned = f"{header}.{encode_base64url(b'{}')}."
    assert call("io.jwt.decode", unsigned)[1] == {}
    assert call("io.jwt.decode_verify", unsigned, {"secret": SECRET})[0] is False
    assert call("io.jwt.verify_hs256", unsigned, SECRET) is False


def test_wrong_types_of_time_are_errors(call, token):
    """A time that is no number says nothing."""
    with pytest.raises(BuiltinError):
        call("io.jwt.decode_verify", token({"exp": "tomorrow"}), {"secret": SECRET})


@pytest.mark.parametrize("malformed", ["", "a.b", "a.b.c", "e30.e30", "e30.e30.e30.e30.e30", "W10.e30.", "e30.W10."])
def test_what_is_no_token(call, malformed):
    """Three parts, the first two of them objects."""
    with pytest.raises(BuiltinError):
        call("io.jwt.decode", malformed)


def test_key_by_id(call, token):
    """A key with the token's id is the only one that is tried."""
    good, bad = {**JWK, "kid": "good"}, {"kty": "oct", "k": encode_base64url(b"x"), "kid": "bad"}
    keys = json.dumps({"keys": [bad, good]})
    assert call("io.jwt.decode_verify", token({}, kid="good"), {"cert": keys})[0] is True
    assert call("io.jwt.decode_verify", token({}, kid="bad"), {"cert": keys})[0] is False
    assert call("io.jwt.decode_verify", token({}), {"cert": keys})[0] is True


def test_signing_refuses_what_it_cannot(call):
    """Unknown algorithms, keys of another kind, and payloads that are no JSON."""
    for header, payload, key in (
        ({"alg": "none"}, "{}", JWK),
        ({"alg": "RS256"}, "{}", JWK),
        ({"alg": "HS256", "typ": "JWT"}, "text", JWK),
        ({"alg": "HS256"}, "{}", {"keys": []}),
    ):
        with pytest.raises(BuiltinError):
            call("io.jwt.encode_sign_raw", json.dumps(header), payload, json.dumps(key))
