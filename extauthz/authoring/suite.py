"""The nouns of policy tests: who sends what, when, and what must come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from extauthz.model.access import AccessRequest, JsonValue, Principal
from extauthz.model.decision import Effect, PolicyId, Reason
from extauthz.model.provider import Provider
from extauthz.model.source import Span

ANONYMOUS_NAME = "anonymous"
"""The caller who presents no credential but what the request itself carries."""


@dataclass(frozen=True, slots=True)
class WrittenRequest:
    """A request as an author writes it down; satisfies `extauthz.model.access.AccessRequest`."""

    method: str
    target: str
    host: str
    headers: tuple[tuple[str, str], ...] = ()
    """Names in lower case, in order; a name may be repeated."""
    scheme: str = "http"
    protocol: str = "HTTP/1.1"
    source_address: str = ""
    source_port: int = 0
    destination_address: str = ""
    destination_port: int = 0
    peer_identity: str = ""
    context_extensions: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    body: bytes | None = None
    received_at: float | None = None

    def header_values(self, name: str) -> Sequence[str]:
        return tuple(value for its_name, value in self.headers if its_name == name)

    def header_names(self) -> Sequence[str]:
        return list(dict.fromkeys(name for name, _ in self.headers))


DEFAULT_CLAIMS = frozenset({"iss", "aud", "sub", "iat", "exp"})
"""What a minted token has without being told."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """A caller with a token that is signed for the test: the whole authentication runs."""

    provider: Provider
    claims: Mapping[str, JsonValue]
    """Over `DEFAULT_CLAIMS`; a null there leaves the default out."""
    subject: str | None
    """The default of `sub`; None: there is none."""
    expires_in_seconds: float = 3600.0
    tampered: bool = False
    """Whether the claims are changed after signing."""


@dataclass(frozen=True, slots=True)
class AssumedPrincipal:
    """A caller who is taken as authenticated."""

    principal: Principal


Caller: TypeAlias = MintedToken | AssumedPrincipal | None
"""None: nobody but whom the request's own headers name."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What must come of a request; what is None, or empty, does not matter."""

    span: Span
    effect: Effect | None = None
    status: int | None = None
    """HTTP status; 200 for what is allowed."""
    reason: Reason | None = None
    route: str | None = None
    rules: frozenset[PolicyId] | None = None
    """Exactly the rules that determine the effect."""
    errors: frozenset[PolicyId] | None = None
    """Exactly the rules that cannot be evaluated."""
    upstream: tuple[tuple[str, str], ...] = ()
    """Headers that the upstream gets, among others."""
    absent: tuple[str, ...] = ()
    """Headers that the policy does not put upstream."""
    challenge: str | None = None
    """The value of WWW-Authenticate; `none` when there must be none."""


NO_CHALLENGE = "none"


@dataclass(frozen=True, slots=True)
class Case:
    """One test."""

    name: str
    span: Span
    caller_name: str
    caller: Caller
    request: AccessRequest
    expect: Expectation
    now: float
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Suite:
    """The tests of one file."""

    path: str
    cases: tuple[Case, ...]
