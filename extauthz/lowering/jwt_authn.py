"""Providers as `envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication`: it verifies, and refuses nobody.

A verified token leaves its payload and header in dynamic metadata; a missing or refused one leaves nothing. Who the
caller is, and whether the token says all that we ask for, is decided behind this filter (`callers.py`).

Where Envoy is laxer than we are, what it lets through is checked there or written differently here: clock skew is one
second less, since Envoy takes a token until the second after; keys that we would not use are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from extauthz.authn.keyset import HMAC_ALGORITHMS, Key, KeySetRefusedError, parse_key_set
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import cluster
from extauthz.lowering.document import JsonObject
from extauthz.lowering.formula import NotExactError
from extauthz.lowering.matchers import JWT_AUTHN
from extauthz.model.access import JsonValue
from extauthz.model.provider import ClaimPath, Provider, RemoteKeys, SharedSecret, StaticKeys, TokenLocation

SYSTEM_CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian, Alpine and Envoy's own images keep the authorities that `jwks` without `ca_file` is verified by."""

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication"
_TLS_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_MINIMUM_CLOCK_SKEW_SECONDS = 2
_MAXIMUM_KEYS = 10
_PUBLIC_MEMBERS = ("alg", "crv", "e", "kid", "kty", "n", "use", "x", "y")
_FETCH_SECONDS = "5s"
_CACHE_SECONDS = "300s"


def payload_key(provider: Provider) -> str:
    """Where in the filter's metadata the payload of a provider's token stands."""
    return f"claims_{provider.name}"


def header_key(provider: Provider) -> str:
    """Where in the filter's metadata the header of a provider's token stands."""
    return f"header_{provider.name}"


def jwks_cluster_name(provider: Provider) -> str:
    return f"jwks_{provider.name}"


def refuse_inexact(provider: Provider) -> None:
    """Check that Envoy can verify the provider's tokens as we do.

    Raises:
        NotExactError: it cannot.
    """
    match provider.keys:
        case SharedSecret():
            raise NotExactError("a shared secret does not belong in a proxy's configuration")
        case RemoteKeys(uri=None):
            raise NotExactError("Envoy does not read an issuer's metadata: name the key set by `jwks: {uri: ...}`")
        case StaticKeys():
            keys = _usable_keys(provider)
            if not keys:
                raise NotExactError("the key set has no key that Envoy verifies with")
            if len(keys) > _MAXIMUM_KEYS:
                raise NotExactError(f"the key set has more than {_MAXIMUM_KEYS} keys")
        case RemoteKeys():
            pass
    if provider.clock_skew_seconds < _MINIMUM_CLOCK_SKEW_SECONDS:
        raise NotExactError(f"Envoy cannot hold a clock_skew below {_MINIMUM_CLOCK_SKEW_SECONDS} s exactly")
    mapped = (provider.claims.subject, *provider.claims.roles, *provider.claims.groups, *provider.claims.scopes)
    if any("*" in path.keys for path in mapped):
        raise NotExactError("a claim path with * walks a list of objects, which Envoy does not")
    if any(_is_unnameable(path) for path in mapped):
        raise NotExactError("a claim path with an empty key cannot be named in Envoy")


def all_keys_named(provider: Provider) -> bool:
    """Whether each key of the provider has an id: Envoy tries one without for a token that names another."""
    return not isinstance(provider.keys, StaticKeys) or all(key.kid is not None for _, key in _usable_keys(provider))


def filter_for(providers: Sequence[Provider]) -> JsonObject:
    """The filter; a request always passes."""
    requirements: list[JsonObject] = [{"provider_name": provider.name} for provider in providers]
    requires: JsonObject = {"requires_any": {"requirements": [*requirements, {"allow_missing_or_failed": {}}]}}
    return {
        "name": JWT_AUTHN,
        "typed_config": {
            "@type": _TYPE,
            "providers": {provider.name: _provider(provider) for provider in providers},
            "rules": [{"match": {"prefix": "/"}, "requires": requires}],
        },
    }


def key_set_clusters(providers: Sequence[Provider]) -> list[JsonObject]:
    """Where Envoy fetches key sets."""
    return [_cluster(p, p.keys) for p in providers if isinstance(p.keys, RemoteKeys) and p.keys.uri is not None]


def _provider(provider: Provider) -> JsonObject:
    config: JsonObject = {
        "issuer": provider.issuer,
        # The default would look for tokens in `?access_token=` as well.
        **_locations(provider.tokens),
        # The authorizer and the upstream still read the token.
        "forward": True,
        "require_expiration": True,
        # Accepted until `now > exp + clock_skew`, in whole seconds; we refuse from `exp + clock_skew` on. 0 means 60.
        "clock_skew_seconds": math.floor(provider.clock_skew_seconds) - 1,
        "payload_in_metadata": payload_key(provider),
        "header_in_metadata": header_key(provider),
    }
    if provider.audiences is not None:
        # Compared without scheme and final slash: `callers.py` compares exactly.
        config["audiences"] = sorted(provider.audiences)
    match provider.keys:
        case StaticKeys():
            jwks = {"keys": [entry for entry, _ in _usable_keys(provider)]}
            config["local_jwks"] = {"inline_string": json.dumps(jwks, sort_keys=True)}
        case RemoteKeys(uri=uri):
            http_uri = {"uri": uri, "cluster": jwks_cluster_name(provider), "timeout": _FETCH_SECONDS}
            config["remote_jwks"] = {"http_uri": http_uri, "cache_duration": _CACHE_SECONDS, "async_fetch": {}}
        case SharedSecret():
            raise AssertionError("such a provider is not exact")
    return config


def _locations(locations: Sequence[TokenLocation]) -> JsonObject:
    headers: list[JsonObject] = []
    cookies: list[str] = []
    for location in locations:
        if location.cookie is not None:
            cookies.append(location.cookie)
        elif location.scheme is None:
            headers.append({"name": location.header})
        else:
            headers += [
                {"name": location.header, "value_prefix": f"{spelling} "} for spelling in spellings(location.scheme)
            ]
    return {**({"from_headers": headers} if headers else {}), **({"from_cookies": cookies} if cookies else {})}


def spellings(scheme: str) -> tuple[str, ...]:
    """How Envoy takes a scheme, which it compares with case: as written, and in lower case."""
    return tuple(dict.fromkeys((scheme, scheme.lower())))


def _usable_keys(provider: Provider) -> list[tuple[Mapping[str, JsonValue], Key]]:
    """The public keys of a static set that we would verify with under the provider's algorithms, as JWKs."""
    assert isinstance(provider.keys, StaticKeys)  # noqa: S101 - the callers match on it
    entries = provider.keys.jwks.get("keys")
    assert isinstance(entries, Sequence)  # noqa: S101 - the set was read before it was served
    usable: list[tuple[Mapping[str, JsonValue], Key]] = []
    for entry in entries:
        key = _read_key(entry)
        if key is None or not isinstance(entry, Mapping):
            continue
        algorithms = [a for a in key.algorithms if a in provider.algorithms and a not in HMAC_ALGORITHMS]
        if algorithms and entry.get("crv") != "Ed448":  # BoringSSL has no Ed448
            usable.append(({name: entry[name] for name in _PUBLIC_MEMBERS if name in entry}, key))
    return usable


def _read_key(entry: JsonValue) -> Key | None:
    try:
        (key,) = parse_key_set({"keys": [entry]}).keys
    except KeySetRefusedError:
        return None  # the loader has told its author which and why
    return key


def _is_unnameable(path: ClaimPath) -> bool:
    return any(not key for key in path.keys)


def _cluster(provider: Provider, keys: RemoteKeys) -> JsonObject:
    parts = urlsplit(keys.uri or "")
    host = parts.hostname or ""
    is_tls = parts.scheme == "https"
    address = TcpAddress(host, parts.port or (443 if is_tls else 80))
    whole = cluster(jwks_cluster_name(provider), address)
    if is_tls:
        whole["transport_socket"] = {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": _TLS_TYPE,
                "sni": host,
                "common_tls_context": {
                    "validation_context": {
                        "trusted_ca": {"filename": keys.ca_file or SYSTEM_CERTIFICATES},
                        "match_typed_subject_alt_names": [_alternative_name(address)],
                    }
                },
            },
        }
    return whole


def _alternative_name(address: TcpAddress) -> JsonObject:
    """Who the server's certificate must be for; without it any certificate of a known authority would do."""
    kind = "IP_ADDRESS" if address.is_literal else "DNS"
    return {"san_type": kind, "matcher": {"exact": address.host}}
