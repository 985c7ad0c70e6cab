import json

import pytest

from extauthz.lowering.formula import NotExactError
from extauthz.lowering.jwt_authn import (
    SYSTEM_CERTIFICATES,
    all_keys_named,
    filter_for,
    key_set_clusters,
    refuse_inexact,
)
from extauthz.model.provider import ClaimMapping, ClaimPath, RemoteKeys, SharedSecret, StaticKeys, TokenLocation
from tests.harness.authn import jwks, make_provider, signing_key


def provider_config(provider):
    return filter_for([provider])["typed_config"]["providers"][provider.name]


def test_a_missing_or_refused_token_passes():
    """Who may pass is decided behind the filter; here nobody is refused, and every path is looked at."""
    (rule,) = filter_for([make_provider()])["typed_config"]["rules"]
    assert rule["match"] == {"prefix": "/"}
    assert rule["requires"]["requires_any"]["requirements"] == [
        {"provider_name": "corp"},
        {"allow_missing_or_failed": {}},
    ]


def test_a_token_is_taken_until_its_last_second_and_not_for_another():
    """Envoy compares whole seconds with `>`, we refuse from exp + clock_skew on; and exp is required."""
    config = provider_config(make_provider(clock_skew_seconds=30.9))
    assert config["clock_skew_seconds"] == 29
    assert config["require_expiration"] is True


def test_tokens_are_looked_for_only_where_the_provider_says():
    """Envoy's default takes `?access_token=` as well."""
    places = (
        TokenLocation(header="authorization", scheme="Bearer"),
        TokenLocation(header="x-token"),
        TokenLocation(cookie="session"),
    )
    config = provider_config(make_provider(tokens=places))
    assert config["from_headers"] == [
        {"name": "authorization", "value_prefix": "Bearer "},
        {"name": "authorization", "value_prefix": "bearer "},
        {"name": "x-token"},
    ]
    assert config["from_cookies"] == ["session"]
    only_cookie = provider_config(make_provider(tokens=places[2:]))
    assert "from_headers" not in only_cookie


def test_keys_that_we_would_not_use_are_left_out():
    """Of another algorithm, of another use, private, broken."""
    good, other = signing_key("a", "ES256"), signing_key("b", "ES384")
    keys = [
        good.public_jwk,
        other.public_jwk,
        {**good.public_jwk, "use": "enc"},
        dict(good.private_jwk),
        {"kty": "EC", "crv": "P-256", "x": "?", "y": "?"},
        {"kty": "oct", "k": "c2VjcmV0"},
    ]
    provider = make_provider(algorithms=("ES256",), keys=StaticKeys({"keys": keys}, "inline"))
    written = json.loads(provider_config(provider)["local_jwks"]["inline_string"])["keys"]
    assert written == [dict(good.public_jwk)]


def test_a_key_without_an_id_is_known():
    """Envoy would try it for tokens that name another key."""
    unnamed = {k: v for k, v in signing_key("a", "ES256").public_jwk.items() if k != "kid"}
    assert all_keys_named(make_provider())
    assert not all_keys_named(make_provider(keys=StaticKeys({"keys": [unnamed]}, "inline")))


def test_a_fetched_key_set_has_a_cluster_that_knows_whom_it_asks():
    """The certificate must be the host's, by an authority that is known."""
    remote = make_provider(keys=RemoteKeys("https://issuer.example/jwks.json"))
    (cluster,) = key_set_clusters([remote, make_provider(name="static")])
    assert provider_config(remote)["remote_jwks"]["http_uri"]["cluster"] == cluster["name"] == "jwks_corp"
    endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert endpoint == {"address": "issuer.example", "port_value": 443}
    tls = cluster["transport_socket"]["typed_config"]
    validation = tls["common_tls_context"]["validation_context"]
    assert tls["sni"] == "issuer.example"
    assert validation["trusted_ca"]["filename"] == SYSTEM_CERTIFICATES
    assert validation["match_typed_subject_alt_names"] == [{"san_type": "DNS", "matcher": {"exact": "issuer.example"}}]


def test_a_fetched_key_set_may_have_an_authority_of_its_own_or_no_tls():
    """`ca_file`, and http for those who allow it."""
    own = make_provider(keys=RemoteKeys("https://127.0.0.1:8443/k", ca_file="/ca.pem"))
    plain = make_provider(keys=RemoteKeys("http://127.0.0.1:8080/k"))
    (tls, clear) = (key_set_clusters([p])[0] for p in (own, plain))
    validation = tls["transport_socket"]["typed_config"]["common_tls_context"]["validation_context"]
    assert validation["trusted_ca"]["filename"] == "/ca.pem"
    assert validation["match_typed_subject_alt_names"][0]["san_type"] == "IP_ADDRESS"
    assert "transport_socket" not in clear


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"keys": SharedSecret(b"s" * 40), "algorithms": ("HS256",)}, "shared secret"),
        ({"keys": RemoteKeys(None)}, "issuer's metadata"),
        ({"keys": StaticKeys(jwks(*(signing_key(str(n), "ES256") for n in range(11))), "inline")}, "more than 10 keys"),
        ({"algorithms": ("ES512",)}, "no key"),
        ({"clock_skew_seconds": 1.5}, "clock_skew below 2 s"),
        ({"claims": ClaimMapping(roles=(ClaimPath(("orgs", "*", "role")),))}, r"with \*"),
        ({"claims": ClaimMapping(groups=(ClaimPath(("a", "")),))}, "empty key"),
    ],
)
def test_what_envoy_cannot_verify_as_we_do_is_not_exact(changes, why):
    """The authorizer keeps such a provider's tokens."""
    with pytest.raises(NotExactError, match=why):
        refuse_inexact(make_provider(**changes))


def test_an_ordinary_provider_is_exact():
    """Keys in the policy or at a URI."""
    refuse_inexact(make_provider())
    refuse_inexact(make_provider(keys=RemoteKeys("https://issuer.example/jwks.json")))
