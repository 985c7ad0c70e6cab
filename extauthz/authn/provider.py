"""What can be said of a provider before any token: its digests, and what is wrong with its keys.

A digest changes with everything that a verified token depends on; where the provider stands in which file does not.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from collections.abc import Mapping
from urllib.parse import urlsplit

from extauthz.authn.keyset import (
    ALGORITHMS,
    HMAC_ALGORITHMS,
    KeySet,
    KeySetRefusedError,
    parse_key_set,
    secret_key_set,
    secret_problem,
)
from extauthz.model.access import JsonValue
from extauthz.model.provider import ClaimPath, Provider, RemoteKeys, SharedSecret, StaticKeys


def check_provider_keys(provider: Provider) -> list[str]:
    """What must be changed about a provider's algorithms and keys; empty when it can be served."""
    problems = [f"algorithm {a!r} is not supported" for a in provider.algorithms if a not in ALGORITHMS]
    symmetric = [a for a in provider.algorithms if a in HMAC_ALGORITHMS]
    if not provider.algorithms:
        problems.append("no algorithm is listed")
    if symmetric and len(symmetric) < len(provider.algorithms):
        problems.append("HMAC never stands beside other algorithms: a public key could be used as the secret")
    match provider.keys:
        case SharedSecret(secret):
            if not symmetric:
                problems.append("a shared secret needs an HMAC algorithm, as HS256")
            found = (secret_problem(secret, algorithm) for algorithm in symmetric)
            problems += [f"the secret {problem}" for problem in found if problem]
        case StaticKeys() as keys:
            problems += _static_problems(provider, keys)
        case RemoteKeys() as keys:
            problems += _remote_problems(provider, keys)
    if symmetric and not isinstance(provider.keys, SharedSecret):
        problems.append("HMAC needs a shared secret, which no key set holds")
    return problems


def fixed_key_set(provider: Provider) -> KeySet | None:
    """The keys of a provider that need no fetching, None for a remote set.

    Raises:
        KeySetRefusedError: `check_provider_keys` would have said so.
    """
    match provider.keys:
        case SharedSecret(secret):
            return secret_key_set(secret, [a for a in provider.algorithms if a in HMAC_ALGORITHMS])
        case StaticKeys(jwks):
            return parse_key_set(jwks)
        case RemoteKeys():
            return None


def key_source_digest(provider: Provider) -> bytes:
    """Of all that decides which keys the provider has: two with the same digest share them."""
    return _digest([provider.name, provider.issuer, _key_source(provider)])


def configuration_digest(provider: Provider) -> bytes:
    """Of the whole provider: what was verified under one digest says nothing under another."""
    claims, may_assert = provider.claims, provider.may_assert
    return _digest(
        [
            provider.name,
            provider.issuer,
            provider.audiences,
            provider.algorithms,
            _key_source(provider),
            [[t.header, t.scheme, t.cookie] for t in provider.tokens],
            [claims.subject.keys, *([_keys(path) for path in p] for p in (claims.roles, claims.groups, claims.scopes))],
            [None if a is None else sorted(a) for a in (may_assert.roles, may_assert.groups, may_assert.scopes)],
            provider.clock_skew_seconds,
        ]
    )


def origin_problem(scheme: str, host: str, *, allow_http: bool) -> str | None:
    """Why keys must not be fetched from this origin, None when they may."""
    if not host:
        return "it names no host"
    if scheme == "https" or (scheme == "http" and (allow_http or is_loopback(host))):
        return None
    return "it must be https; http is for loopback addresses, or where `allow_http` is set"


def is_loopback(host: str) -> bool:
    """Whether a host, a name or an address, is this machine by what it is called."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def _static_problems(provider: Provider, keys: StaticKeys) -> list[str]:
    try:
        key_set = parse_key_set(keys.jwks)
    except KeySetRefusedError as error:
        return [f"the key set ({keys.origin}) {error}"]
    problems = [f"the key set ({keys.origin}): {refused}" for refused in key_set.refused]
    if not any(key_set.fitting(key.kid, a) for key in key_set.keys for a in provider.algorithms):
        problems.append(f"the key set ({keys.origin}) has no key for {', '.join(provider.algorithms)}")
    return problems


def _remote_problems(provider: Provider, keys: RemoteKeys) -> list[str]:
    what, url = ("the issuer", provider.issuer) if keys.uri is None else ("the URI of the key set", keys.uri)
    try:
        parts = urlsplit(url)
        host, has_user = parts.hostname or "", parts.username is not None
        _ = parts.port  # raises on a port that is none
    except ValueError:
        return [f"{what} is no URL"]
    if has_user:
        return [f"{what} must not hold a user name or password"]
    if keys.uri is None and (parts.query or parts.fragment):
        return [f"{what} must have no query or fragment, as its metadata is looked up below it (RFC 8414 section 2)"]
    problem = origin_problem(parts.scheme, host, allow_http=keys.allow_http)
    return [f"{what} cannot be used: {problem}"] if problem else []


def _key_source(provider: Provider) -> JsonValue:
    match provider.keys:
        case SharedSecret(secret):
            return ["secret", hashlib.sha256(secret).hexdigest(), provider.algorithms]
        case StaticKeys(jwks):
            return ["static", jwks]
        case RemoteKeys(uri, ca_file, allow_http):
            return ["remote", uri, ca_file, allow_http]


def _keys(path: ClaimPath) -> JsonValue:
    return path.keys


def _digest(value: JsonValue) -> bytes:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=_plain).encode()).digest()


def _plain(value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return dict(value)
