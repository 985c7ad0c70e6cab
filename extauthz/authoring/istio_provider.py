"""A jwtRule of Istio's RequestAuthentication as a provider of a policy set.

Source: https://istio.io/latest/docs/reference/config/security/jwt/. Without a place of its own a token is looked for
in `Authorization: Bearer` and in the query's `access_token`; places that cannot be read here make a deny rule: a
request that has something there is refused, not taken for one without a token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from extauthz.authoring.istio_read import texts_of
from extauthz.errors import ConfigurationError

# All that Envoy's JWT filter verifies with public keys; the keys that there are decide.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9._-]*) ")


@dataclass(slots=True)
class Provider:
    """A provider, and what its rule implies besides."""

    place: str
    issuer: str
    document: dict[str, object]
    """As it is written into the set."""
    unread_parameters: list[str] = field(default_factory=list)
    unread_headers: list[str] = field(default_factory=list)
    hidden_headers: set[str] = field(default_factory=set)
    """Headers that the rules of Istio see changed: with a token that is taken away, or with what is put there."""

    def denies(self) -> Iterator[str]:
        """Deny rules, for requests with a token where none is read."""
        for kind, names in (("query", self.unread_parameters), ("headers", self.unread_headers)):
            for name in names:
                rule = {"when": f"{json.dumps(name)} in request.{kind}"}
                yield f"  # A token may stand here for Istio.\n  - {json.dumps(rule)}\n"


def read_provider(rule: Mapping[str, Any], place: str, told: Callable[[str], None]) -> Provider:
    """The provider.

    Args:
        rule: a jwtRule with known keys.
        place: of it, for messages.
        told: is told what is not expressed.

    Raises:
        ConfigurationError: it is malformed.
    """
    issuer = _text(rule, "issuer", place)
    if issuer is None:
        raise ConfigurationError(f"{place}: issuer is missing: without one no provider can be chosen by a token")
    document: dict[str, object] = {
        "issuer": issuer,
        "audiences": list(texts_of(rule, "audiences", place)) or "any",
        "algorithms": list(_ALGORITHMS),
        "jwks": _keys(rule, place),
        "clock_skew": "60s",  # Envoy's
        "may_assert": "none",
    }
    provider = Provider(place, issuer, document)
    _read_places(rule, provider, told)
    if rule.get("forwardOriginalToken") is not True:
        told(f"{place}: the token is passed on; have it removed by upstream_headers: {{remove: [...]}}")
    for key in ("outputPayloadToHeader", "outputClaimToHeaders"):
        if key in rule:
            told(f"{place}: {key}: no header is set; have it set by upstream_headers: {{set: ...}}")
            provider.hidden_headers.update(_outputs(rule[key], f"{place}: {key}"))
    return provider


def _keys(rule: Mapping[str, Any], place: str) -> dict[str, object]:
    inline = _text(rule, "jwks", place)
    uri = _text(rule, "jwksUri", place) or _text(rule, "jwks_uri", place)
    if inline is not None:
        try:
            keys = json.loads(inline)
        except ValueError:
            keys = None
        if not isinstance(keys, dict):
            raise ConfigurationError(f"{place}: jwks is no JWK Set: a JSON object as text is needed")
        return {"inline": keys}
    if uri is None:
        return {"discovery": True}
    return {"uri": uri, "allow_http": True} if urlsplit(uri).scheme == "http" else {"uri": uri}


def _read_places(rule: Mapping[str, Any], provider: Provider, told: Callable[[str], None]) -> None:
    place = provider.place
    cookies = texts_of(rule, "fromCookies", place)
    parameters = texts_of(rule, "fromParams", place)
    headers = rule.get("fromHeaders") or []
    if not isinstance(headers, list):
        raise ConfigurationError(f"{place}: fromHeaders is no list")
    tokens: list[dict[str, str]] = [{"cookie": name} for name in cookies]
    if not (cookies or parameters or headers):
        parameters = ("access_token",)
        headers = [{"name": "Authorization", "prefix": "Bearer "}]
    for header in headers:
        name = _text(header, "name", f"{place}: fromHeaders") if isinstance(header, dict) else None
        if name is None or not header.keys() <= {"name", "prefix"}:
            raise ConfigurationError(f"{place}: an item of fromHeaders is no name with a prefix")
        prefix = _text(header, "prefix", f"{place}: fromHeaders")
        scheme = _SCHEME.fullmatch(prefix or "")
        if rule.get("forwardOriginalToken") is not True:
            provider.hidden_headers.add(name.lower())
        if prefix and not scheme:
            provider.unread_headers.append(name.lower())
            told(f"{place}: a token after {prefix!r} in {name} cannot be read: requests with this header are denied")
            continue
        tokens.append({"header": name.lower(), **({"scheme": scheme[1]} if scheme else {})})
    for name in parameters:
        provider.unread_parameters.append(name)
        told(f"{place}: a token in the query's {name} cannot be read: requests with it are denied")
    if not tokens:
        raise ConfigurationError(
            f"{place}: none of the places where it has tokens can be read: headers and cookies can"
        )
    provider.document["tokens"] = tokens


def _outputs(value: object, place: str) -> Iterator[str]:
    for each in [value] if isinstance(value, str) else value if isinstance(value, list) else [None]:
        header = each.get("header") if isinstance(each, dict) else each
        if not isinstance(header, str):
            raise ConfigurationError(f"{place}: a header is missing")
        yield header.lower()


def _text(fields: Mapping[str, Any], key: str, place: str) -> str | None:
    value = fields.get(key)
    if value is not None and not isinstance(value, str):
        raise ConfigurationError(f"{place}.{key} is no text")
    return value or None
