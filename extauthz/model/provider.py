"""Who vouches for callers: providers of tokens and of API keys, and how far each is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from extauthz.model.access import JsonValue
from extauthz.model.source import Span


@dataclass(frozen=True, slots=True)
class TokenLocation:
    """Where a bearer token may stand: in a header after a scheme, or in a cookie. Exactly one of the two is set."""

    header: str | None = None
    """Lower case."""
    scheme: str | None = None
    """Compared without case; None takes the whole header value."""
    cookie: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimPath:
    """A path into the claims; the key `*` walks a list of objects."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClaimMapping:
    """Where the principal comes from. Several paths of one attribute add up."""

    subject: ClaimPath = ClaimPath(("sub",))
    roles: tuple[ClaimPath, ...] = ()
    groups: tuple[ClaimPath, ...] = ()
    scopes: tuple[ClaimPath, ...] = ()


@dataclass(frozen=True, slots=True)
class MayAssert:
    """What a provider's credentials may claim; None means anything, what is beyond it is dropped."""

    roles: frozenset[str] | None = None
    groups: frozenset[str] | None = None
    scopes: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class StaticKeys:
    """A JWK Set (RFC 7517) from a file or inline in the policy."""

    jwks: Mapping[str, JsonValue]
    origin: str
    """For messages: the file's name, or `inline`."""


@dataclass(frozen=True, slots=True)
class SharedSecret:
    """An HMAC secret (RFC 7518 section 3.2)."""

    secret: bytes

    def __repr__(self) -> str:
        return "SharedSecret(...)"


@dataclass(frozen=True, slots=True)
class RemoteKeys:
    """A JWK Set fetched over HTTP: from `uri`, or, when it is None, from the one the issuer's metadata names."""

    uri: str | None
    ca_file: str | None = None
    allow_http: bool = False


KeySource: TypeAlias = StaticKeys | SharedSecret | RemoteKeys


@dataclass(frozen=True, slots=True)
class Provider:
    """An issuer of JWTs and how far it is believed."""

    name: str
    issuer: str
    audiences: tuple[str, ...] | None
    """One must be in `aud`; None is `any`, written out by the author."""
    algorithms: tuple[str, ...]
    keys: KeySource
    tokens: tuple[TokenLocation, ...]
    claims: ClaimMapping
    may_assert: MayAssert
    clock_skew_seconds: float
    span: Span


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key of an API key file."""

    sha256: str
    """Lower-case hex of the key's SHA-256."""
    subject: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ApiKeyProvider:
    """Callers known by a key in a header. Declared roles only; `may_assert` is already applied to the keys."""

    name: str
    header: str
    keys: tuple[ApiKey, ...]
    span: Span
