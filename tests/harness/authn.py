"""Providers, keys and forged tokens for the tests of authentication.

Tokens here are put together byte by byte, because most of what must be refused no library would write.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import jwt
from jwt.utils import base64url_encode

from extauthz.authn.authenticator import Authenticator, KeySets, VerifiedTokens
from extauthz.demo.issuer import SigningKey, generate_key, public_key_set
from extauthz.model.access import Principal
from extauthz.model.provider import (
    ApiKey,
    ApiKeyProvider,
    ClaimMapping,
    ClaimPath,
    MayAssert,
    Provider,
    RemoteKeys,
    StaticKeys,
    TokenLocation,
)
from tests.strategies import SPAN, Request

NOW = 1_800_000_000.0
ISSUER = "https://issuer.example"
AUTHORIZATION = TokenLocation(header="authorization", scheme="Bearer")
REMOTE = RemoteKeys("https://issuer.example/jwks.json")
ROLES = frozenset({"reader", "editor"})


@cache
def signing_key(name: str, algorithm: str = "RS256") -> SigningKey:
    """The key of this name: made once a process, since RSA keys take a while."""
    del name  # of the cache's key only
    return generate_key(algorithm)


def jwks(*keys: SigningKey) -> dict[str, Any]:
    """What an issuer with these keys publishes."""
    return public_key_set(keys)


CORP = signing_key("corp")
CLAIM_MAPPING = ClaimMapping(
    roles=(ClaimPath(("roles",)),), groups=(ClaimPath(("groups",)),), scopes=(ClaimPath(("scope",)),)
)


def make_provider(**changes: Any) -> Provider:
    """`corp`, which signs with CORP."""
    provider = Provider(
        name="corp",
        issuer=ISSUER,
        audiences=("shop",),
        algorithms=("RS256", "ES256"),
        keys=StaticKeys(jwks(CORP), "inline"),
        tokens=(AUTHORIZATION,),
        claims=CLAIM_MAPPING,
        may_assert=MayAssert(),
        clock_skew_seconds=30.0,
        span=SPAN,
    )
    return dataclasses.replace(provider, **changes)


def make_api_keys(name: str = "machines", header: str = "x-api-key", **holders: str) -> ApiKeyProvider:
    """A provider of API keys, given as subject=key."""
    keys = tuple(
        ApiKey(hashlib.sha256(key.encode()).hexdigest(), subject, roles=("reader",)) for subject, key in holders.items()
    )
    return ApiKeyProvider(name, header, keys, SPAN)


def make_authenticator(
    *providers: Provider, api_keys: Sequence[ApiKeyProvider] = (), key_sets: KeySets | None = None
) -> Authenticator:
    """An authenticator with caches of its own, under a policy set that declares ROLES."""
    return Authenticator(providers, api_keys, ROLES, key_sets or KeySets(), VerifiedTokens())


def make_claims(**changes: Any) -> dict[str, Any]:
    """The payload of a good token; `...` as a value leaves a claim out."""
    claims = {"iss": ISSUER, "aud": "shop", "sub": "alice", "iat": int(NOW), "exp": int(NOW) + 600, **changes}
    return {name: value for name, value in claims.items() if value is not ...}


def forge(header: Mapping[str, Any] | bytes, payload: Mapping[str, Any] | bytes, sign: Callable[[bytes], bytes]) -> str:
    """A token of exactly this header and payload."""
    parts = [part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)]
    signing_input = b".".join(base64url_encode(part) for part in parts)
    return (signing_input + b"." + base64url_encode(sign(signing_input))).decode()


@cache
def signer(key: SigningKey, algorithm: str = "") -> Callable[[bytes], bytes]:
    """Signs as the key's owner would, under the key's own algorithm or another one."""
    implementation = jwt.PyJWS().get_algorithm_by_name(algorithm or key.algorithm)
    private = jwt.PyJWK(dict(key.private_jwk)).key
    return lambda message: implementation.sign(message, private)


def token(key: SigningKey = CORP, header: Mapping[str, Any] | None = None, **claims: Any) -> str:
    """A token signed by the key, with changes to its header and claims."""
    whole = {"alg": key.algorithm, "kid": key.kid, **(header or {})}
    kept = {name: value for name, value in whole.items() if value is not ...}
    return forge(kept, make_claims(**claims), signer(key))


def bearer(*tokens: str, **headers: Sequence[str]) -> Request:
    """A request with these tokens in `authorization`."""
    return Request(headers={"authorization": [f"Bearer {text}" for text in tokens], **headers})


def caller(authenticator: Authenticator, request: Request, now: float = NOW) -> Principal:
    """Who sends the request, where no key set has to be fetched."""
    principal = authenticator.authenticate(request, now)
    assert isinstance(principal, Principal)
    return principal


def authenticate(text: str, provider: Provider | None = None, now: float = NOW) -> Principal:
    """Who a token proves its bearer to be."""
    return caller(make_authenticator(provider or make_provider()), bearer(text), now)
