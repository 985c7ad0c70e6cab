import jwt

from extauthz.cli.throwaway import ThrowAwayIssuer
from extauthz.model.provider import RemoteKeys, StaticKeys
from tests.policies import TWO_PROVIDERS, policy_set
from tests.suites import SHOP

ROUTE = "routes: [{name: a, path: /a, allow: [{authenticated: true}]}]\n"


def test_every_provider_trusts_the_run_and_fetches_nothing():
    """Keys at an issuer are replaced: a test run needs no network."""
    tested = policy_set(TWO_PROVIDERS + ROUTE)
    issuer = ThrowAwayIssuer(tested)
    assert all(isinstance(provider.keys, RemoteKeys) for provider in tested.providers)
    assert all(isinstance(provider.keys, StaticKeys) for provider in issuer.trusted.providers)


def test_keys_of_the_policy_stay_trusted():
    """A token in a captured request still verifies by the key that the policy holds."""
    jwk = '{"kty": "EC", "crv": "P-256", "kid": "k", "x": "A", "y": "B"}'
    tested = policy_set(SHOP.replace("{uri: https://issuer.example/jwks.json}", f"{{inline: {{keys: [{jwk}]}}}}"))
    (provider,) = ThrowAwayIssuer(tested).trusted.providers
    assert isinstance(provider.keys, StaticKeys)
    kids = [key["kid"] for key in provider.keys.jwks["keys"]]  # type: ignore[index, union-attr, call-overload]
    assert kids[0] == "k"
    assert len(kids) == 2


def test_quickest_key_that_the_provider_accepts_is_made():
    """RSA keys are slow to make: they are a last resort."""
    tested = policy_set(SHOP.replace("[ES256]", "[RS256, ES384]"))
    token = ThrowAwayIssuer(tested).sign(tested.providers[0], {"sub": "a"})
    assert jwt.get_unverified_header(token)["alg"] == "ES384"
