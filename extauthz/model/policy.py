"""The policy set: the one intermediate representation that every back end reads.

A front end (YAML today) parses text into it, the PDP evaluates it, lowering turns it into Envoy filters, authoring
tests and compares it. Everything is resolved: groups and defaults are folded into routes, names are checked, variables
are inlined, permissions are turned into the roles that grant them. Nothing here knows the text it came from but `Span`.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network
from typing import Final, Protocol, TypeAlias

from extauthz.model.access import Facts
from extauthz.model.decision import Effect, Judgment, Outcome, PolicyId
from extauthz.model.provider import ApiKeyProvider, Provider
from extauthz.model.source import Span

Network: TypeAlias = IPv4Network | IPv6Network


# --- Conditions: ANDed within a rule -------------------------------------------------------------------------------


class Condition(Protocol):
    """A compiled expression over the facts of a request, in CEL or Rego."""

    @property
    def text(self) -> str:
        """The source, as written."""

    @property
    def span(self) -> Span:
        """Where the source begins."""

    @property
    def reads(self) -> frozenset[tuple[str, ...]]:
        """Every path it reads, as `("claims", "tenant")`, `("request.headers", "x-freeze")`; a bare root: all of it."""

    def evaluate(self, facts: Facts) -> Outcome:
        """SATISFIED, UNSATISFIED, or ERRORED; never raises."""


class WholeDecision(Condition, Protocol):
    """A condition that says more than whether it holds: it decides about a request, and what is answered."""

    @property
    def headers(self) -> tuple[str, ...]:
        """What it may put upstream, lower case: every other decision removes them."""

    def judge(self, facts: Facts) -> Judgment:
        """All that it says of one request, its outcome as by `evaluate`; never raises."""


@dataclass(frozen=True, slots=True)
class Anyone:
    """Always satisfied (`anyone: true`)."""


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Satisfied when a credential was verified (`authenticated: true`)."""


@dataclass(frozen=True, slots=True)
class RoleIs:
    """Satisfied when the caller holds one of the roles, ERRORED when only an errored one could match.

    `permission: p` is this too: `roles` are then all the roles that grant one of `permissions`.
    """

    roles: frozenset[str]
    permissions: tuple[str, ...] = ()
    """As written, for reports; empty for `role:`."""


@dataclass(frozen=True, slots=True)
class ScopeIs:
    """Satisfied when the token has one of the scopes."""

    scopes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GroupIs:
    """Satisfied when the caller is in one of the groups."""

    groups: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SubjectIs:
    """Satisfied when the caller is one of the subjects."""

    subjects: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ProviderIs:
    """Satisfied when one of the providers vouched for the caller."""

    providers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WorkloadIs:
    """Satisfied when the mTLS peer is one of the SPIFFE IDs; a final `/**` matches everything below."""

    workloads: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RemoteIpIs:
    """Satisfied when the client's address is in one of the networks, ERRORED when there is no such address.

    `direct` reads the connection's peer; otherwise X-Forwarded-For is walked from the right past trusted proxies.
    """

    networks: tuple[Network, ...]
    direct: bool


@dataclass(frozen=True, slots=True)
class When:
    """A compiled condition (`when:`, `rego:`)."""

    condition: Condition


ConditionKey: TypeAlias = (
    Anyone | Authenticated | RoleIs | ScopeIs | GroupIs | SubjectIs | ProviderIs | WorkloadIs | RemoteIpIs | When
)


class RuleKind(StrEnum):
    """Which list of the policy a rule stands in."""

    DENY = "deny"
    REQUIRE = "require"
    ALLOW = "allow"


@dataclass(frozen=True, slots=True)
class Rule:
    """A deny, require or allow with its conditions, ANDed: UNSATISFIED beats ERRORED beats SATISFIED, in any order."""

    id: PolicyId
    kind: RuleKind
    conditions: tuple[ConditionKey, ...]
    span: Span

    @property
    def effect(self) -> Effect:
        """What the rule asks for; a `require` is a deny of its negation."""
        return Effect.ALLOW if self.kind is RuleKind.ALLOW else Effect.DENY


# --- Roles ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role:
    """A role with all it stands for."""

    name: str
    closure: frozenset[str]
    """Itself and every role it inherits from, at any depth."""
    permissions: frozenset[str]
    """Of the whole closure, as written: literal, or with a final `:*`, or `*`."""


@dataclass(frozen=True, slots=True)
class BindingSubject:
    """Who is bound; what is None does not matter, what is set is ANDed."""

    subject: str | None = None
    group: str | None = None
    provider: str | None = None
    workload: str | None = None
    """A SPIFFE ID or one with a final `/**`; counts only on routes whose authentication is none."""


@dataclass(frozen=True, slots=True)
class Binding:
    """Gives a role to whoever is one of `subjects`, where `when` holds."""

    role: str
    subjects: tuple[BindingSubject, ...]
    when: Condition | None
    span: Span


# --- Routes --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LiteralSegment:
    """Matches exactly this decoded segment."""

    text: str


@dataclass(frozen=True, slots=True)
class VariableSegment:
    """Matches one non-empty segment and binds it."""

    name: str


@dataclass(frozen=True, slots=True)
class RestSegment:
    """Matches zero or more segments, only as the last; binds them joined by `/` when it has a name."""

    name: str | None


Segment: TypeAlias = LiteralSegment | VariableSegment | RestSegment


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A path by segments; `/` has none."""

    segments: tuple[Segment, ...]
    text: str
    """As written, for logs and metrics: the route template."""

    @property
    def variables(self) -> tuple[str, ...]:
        """The names it binds, from left to right."""
        return tuple(s.name for s in self.segments if not isinstance(s, LiteralSegment) and s.name is not None)


@dataclass(frozen=True, slots=True)
class HostPattern:
    """`host` exactly, or, as a `suffix`, any host with one or more labels in front of it (`*.host`)."""

    host: str
    suffix: bool = False

    def __str__(self) -> str:
        return f"*.{self.host}" if self.suffix else self.host


def header_spellings(name: str) -> tuple[str, ...]:
    """A header's name and every way to write it with `_` for some of its `-`: what CGI and WSGI cannot tell apart."""
    pieces = name.replace("_", "-").split("-")
    return tuple(
        "".join(itertools.chain.from_iterable(zip(pieces, (*joints, ""), strict=True)))
        for joints in itertools.product("-_", repeat=len(pieces) - 1)
    )


class Authentication(StrEnum):
    """What a route wants of the caller."""

    REQUIRED = "required"
    OPTIONAL = "optional"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class TemplatePart:
    """A piece of an upstream header's value: text, or the dotted path of a fact (`principal`, `claims` or `path`)."""

    text: str = ""
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpstreamHeader:
    """A header of the upstream request: set from `template`, or removed when that is None."""

    name: str
    template: tuple[TemplatePart, ...] | None


ANY_ORIGIN: Final = ("*",)


@dataclass(frozen=True, slots=True)
class Route:
    """A path with its methods and all the rules that apply there: its own, its groups' and the set's."""

    name: str
    host: HostPattern | None
    """None matches any host."""
    path: PathPattern
    methods: frozenset[str] | None
    """HEAD is included with GET; None means any but CONNECT and TRACE."""
    authentication: Authentication
    public: bool
    providers: tuple[str, ...]
    """Names of the providers, API key providers included, whose credentials count here."""
    deny: tuple[Rule, ...]
    require: tuple[Rule, ...]
    allow: tuple[Rule, ...]
    """For a public route one rule with `Anyone`, for one with a `decision` one rule with that."""
    upstream_headers: tuple[UpstreamHeader, ...]
    """Sorted by name: what this route sets or removes. The set's other owned headers are removed besides."""
    cors_origins: tuple[str, ...]
    """Origins whose preflights pass, and whose scripts may read denials; `ANY_ORIGIN` is any."""
    span: Span
    decision: WholeDecision | None = None
    """What decides in the place of allow rules; the deny and require rules hold beside it."""


# --- The set -------------------------------------------------------------------------------------------------------


class OnAmbiguity(StrEnum):
    """What to do with a path that two readers may read in two ways."""

    REJECT = "reject"
    KEEP = "keep"


class TrailingSlash(StrEnum):
    """Whether `/a/` is the path `/a`."""

    SAME = "same"
    DISTINCT = "distinct"


@dataclass(frozen=True, slots=True)
class PathSettings:
    """How paths are read (`paths:`)."""

    encoded_slash: OnAmbiguity = OnAmbiguity.REJECT
    double_encoding: OnAmbiguity = OnAmbiguity.REJECT
    repeated_slash: OnAmbiguity = OnAmbiguity.REJECT
    dot_segments: OnAmbiguity = OnAmbiguity.REJECT
    parameters: OnAmbiguity = OnAmbiguity.REJECT
    trailing_slash: TrailingSlash = TrailingSlash.SAME


class ResponseFormat(StrEnum):
    """The body of a denial."""

    PROBLEM = "problem"
    TEXT = "text"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class ResponseSettings:
    """How denials look (`responses:`)."""

    format: ResponseFormat = ResponseFormat.PROBLEM
    realm: str | None = None
    resource_metadata: str | None = None
    """The URL of RFC 9728 metadata."""


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All that decides requests, whole and checked."""

    name: str
    revision: str
    """A digest of every byte the set was read from."""
    providers: tuple[Provider, ...]
    api_key_providers: tuple[ApiKeyProvider, ...]
    roles: Mapping[str, Role]
    bindings: tuple[Binding, ...]
    routes: tuple[Route, ...]
    default_providers: tuple[str, ...]
    """Whose credentials count for requests that no route owns."""
    trust_domains: tuple[str, ...]
    trusted_proxies: tuple[Network, ...]
    paths: PathSettings
    responses: ResponseSettings
    owned_headers: tuple[str, ...]
    """Lower case, sorted: every header that some route, or its decision, sets upstream. Each decision sets or removes
    each of them."""
