import http.client
import json
import urllib.request
from urllib.error import HTTPError

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from extauthz.demo.issuer import (
    ALGORITHMS,
    DevelopmentIssuer,
    SigningKey,
    generate_key,
    private_key_set,
    public_key_set,
    read_keys,
)
from extauthz.errors import ConfigurationError, EnvironmentUnfitError

NOW = 1_800_000_000.0


def fetch(url):
    """The JSON at a URL."""
    with urllib.request.urlopen(url, timeout=5) as response:
        return json.load(response)


def verify(token, key_set):
    """The claims of a token whose key is in the set, its times not looked at."""
    kid = jwt.get_unverified_header(token)["kid"]
    key = jwt.PyJWKSet.from_dict(key_set)[kid]
    return jwt.decode(
        token,
        key,
        algorithms=list(ALGORITHMS),
        options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
    )


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_minted_token_verifies_with_the_published_keys(algorithm):
    """What a verifier fetches is enough to check what the issuer signs."""
    with DevelopmentIssuer() as issuer:
        token = issuer.mint("alice", now=NOW, audience="shop", algorithm=algorithm, claims={"roles": ["clerk"]})
        claims = verify(token, fetch(issuer.jwks_uri))
    assert claims == {
        "iss": issuer.url,
        "sub": "alice",
        "aud": "shop",
        "iat": NOW,
        "exp": NOW + 3600,
        "roles": ["clerk"],
    }


def test_claims_win_over_arguments():
    """A test may need a token that is wrong in one place."""
    with DevelopmentIssuer() as issuer:
        token = issuer.mint("alice", now=NOW, claims={"exp": 1, "iss": "https://other"})
        claims = verify(token, fetch(issuer.jwks_uri))
    assert (claims["exp"], claims["iss"]) == (1, "https://other")
    assert "aud" not in claims


def test_discovery_names_the_keys():
    """OpenID Connect Discovery and RFC 8414 metadata say the same; other paths are not found."""
    with DevelopmentIssuer() as issuer:
        openid = fetch(f"{issuer.url}/.well-known/openid-configuration")
        assert fetch(f"{issuer.url}/.well-known/oauth-authorization-server") == openid
        with pytest.raises(HTTPError) as error:
            fetch(f"{issuer.url}/other")
        error.value.close()
    assert (openid["issuer"], openid["jwks_uri"]) == (issuer.url, issuer.jwks_uri)


def test_rotation_keeps_old_keys_published_or_drops_them():
    """A rotation in two steps, as issuers do it, and one in an emergency."""
    with DevelopmentIssuer() as issuer:
        old = issuer.mint("alice", now=NOW)
        issuer.rotate()
        new = issuer.mint("alice", now=NOW)
        assert verify(old, fetch(issuer.jwks_uri)) == verify(new, fetch(issuer.jwks_uri))
        issuer.rotate(keep_published=False)
        kids = {key["kid"] for key in fetch(issuer.jwks_uri)["keys"]}
    assert len(kids) == len(ALGORITHMS)
    assert not kids & {jwt.get_unverified_header(token)["kid"] for token in (old, new)}


def ask(url, body):
    """Status and document that the token endpoint answers."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=5) as response:
            return response.status, json.load(response)
    except HTTPError as error:
        with error:
            content = error.read()
            is_json = error.headers["content-type"] == "application/json"
            return error.code, json.loads(content) if is_json else None


def test_tokens_are_minted_on_request():
    """Claims are sent, the rest is filled in, and what is sent wins (RFC 6749 section 5.1 writes the answer)."""
    with DevelopmentIssuer(url="http://issuer.example", clock=lambda: NOW) as issuer:
        at = f"http://{issuer.address}/token"
        status, answer = ask(at, b'{"sub": "alice", "roles": ["clerk"]}')
        _, other = ask(f"{at}?alg=RS256", b'{"exp": 7, "iss": "https://other"}')
        keys = fetch(f"http://{issuer.address}/jwks.json")
    assert (status, answer["token_type"], answer["expires_in"]) == (200, "Bearer", 3600)
    times = {"iat": NOW, "exp": NOW + 3600}
    assert verify(answer["access_token"], keys) == {
        "iss": "http://issuer.example",
        "sub": "alice",
        "roles": ["clerk"],
        **times,
    }
    assert jwt.get_unverified_header(other["access_token"])["alg"] == "RS256"
    assert verify(other["access_token"], keys) == {"iss": "https://other", "iat": NOW, "exp": 7}


@pytest.mark.parametrize(
    ("query", "body", "says"),
    [
        ("", b"[]", "JSON object"),
        ("", b"{", "Expecting"),
        ("", b"\xff", "decode"),
        ("", b"[" * 60_000, "recursion"),
        ("", b'{"iss": 7}', "iss"),
        ("?alg=HS256", b"{}", "alg is one of ES256, RS256"),
    ],
)
def test_what_is_no_token_request_is_refused(query, body, says):
    """With the reason (RFC 6749 section 5.2), and the issuer serves on."""
    with DevelopmentIssuer(clock=lambda: NOW) as issuer:
        status, answer = ask(f"{issuer.url}/token{query}", body)
        assert ask(f"{issuer.url}/token", b"{}")[0] == 200
    assert (status, answer["error"]) == (400, "invalid_request")
    assert says in answer["error_description"]


def test_a_long_request_is_refused_unread():
    """64 KiB of claims are enough."""
    with DevelopmentIssuer(clock=lambda: NOW) as issuer:
        connection = http.client.HTTPConnection(issuer.address.host, issuer.address.port, timeout=5)
        connection.request("POST", "/token", headers={"content-length": "65537"})
        assert connection.getresponse().status == 413
        connection.close()


def test_tokens_are_minted_only_where_that_was_asked_for():
    """The issuer of a test signs for that test alone."""
    with DevelopmentIssuer() as issuer:
        assert ask(f"{issuer.url}/token", b"{}") == (404, None)


def test_an_address_in_use_is_one_message():
    """And no traceback."""
    with DevelopmentIssuer() as issuer, pytest.raises(EnvironmentUnfitError, match=r"^cannot listen at 127.0.0.1:\d+"):
        DevelopmentIssuer(issuer.address)


def test_nothing_private_is_published():
    """The public set lacks every private member of RFC 7518 section 6."""
    for key in public_key_set([generate_key(algorithm) for algorithm in ALGORITHMS])["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "oth", "k"} & set(key)


def test_kept_keys_are_read_back():
    """A set written with private_key_set signs as before, under the same kid."""
    keys = [generate_key(algorithm) for algorithm in ALGORITHMS]
    again = read_keys(json.dumps(private_key_set(keys)), "keys.json")
    assert [(key.kid, key.algorithm) for key in again] == [(key.kid, key.algorithm) for key in keys]
    assert verify(again[0].sign({"sub": "a"}), public_key_set(keys)) == {"sub": "a"}


def test_a_single_key_is_a_set_of_one():
    """Other tools write one JWK; its kid, when absent, is its thumbprint (RFC 7638)."""
    key = generate_key("ES256")
    jwk = {name: value for name, value in key.private_jwk.items() if name in {"kty", "crv", "x", "y", "d"}}
    assert read_keys(json.dumps(jwk), "key.json")[0].kid == key.kid


def small_rsa_key():
    """An RSA key that RFC 7518 section 3.3 forbids."""
    return RSAAlgorithm.to_jwk(rsa.generate_private_key(public_exponent=65537, key_size=1024), as_dict=True)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "no JWK Set"),
        ("[" * 100_000, "no JWK Set"),
        ("[]", "no JWK Set"),
        ('{"keys": []}', "no JWK Set"),
        ('{"keys": [1]}', "no JWK Set"),
        ('{"kty": "oct", "k": "c2VjcmV0"}', "key 1 is no RSA, EC or OKP key"),
        (json.dumps(generate_key("ES256").public_jwk), "key 1 is a public key"),
        ('{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "d": "c2VjcmV0"}', "key 1 is malformed"),
        ('{"kty": "RSA", "d": 7}', "key 1 is malformed"),
        (json.dumps(small_rsa_key()), "less than 2048 bits"),
    ],
)
def test_what_cannot_sign_is_refused_without_quoting_it(document, message):
    """One line says which key and why; a private value never gets into it."""
    with pytest.raises(ConfigurationError, match=message) as error:
        read_keys(document, "keys.json")
    assert str(error.value).startswith("keys.json")
    assert "c2VjcmV0" not in str(error.value)


def test_a_key_does_not_show_itself():
    """A traceback or a log shows its kid."""
    key = generate_key("ES256")
    assert key.private_jwk["d"] not in repr(key)
    assert repr(key) == f"SigningKey(kid='{key.kid}', algorithm='ES256')"
    assert isinstance(key, SigningKey)
