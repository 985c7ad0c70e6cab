"""Generators and small builders that several test rooms share. Well-typed first: what they make is valid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from hypothesis import strategies as st

from extauthz.model.access import ANONYMOUS, Facts, Principal, RoleHolding
from extauthz.model.decision import Effect, Outcome, PolicyId, Verdict
from extauthz.model.policy import (
    Anyone,
    Authentication,
    HostPattern,
    LiteralSegment,
    PathPattern,
    PathSettings,
    PolicySet,
    ResponseSettings,
    RestSegment,
    Route,
    Rule,
    RuleKind,
    Segment,
    VariableSegment,
)
from extauthz.model.source import Span

SPAN = Span("test.yaml", 1, 1)


@dataclasses.dataclass(frozen=True)
class Request:
    """An access request written down whole."""

    method: str = "GET"
    target: str = "/"
    host: str = "shop.example"
    headers: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    scheme: str = "https"
    protocol: str = "HTTP/1.1"
    source_address: str = "192.0.2.1"
    source_port: int = 40000
    destination_address: str = "198.51.100.1"
    destination_port: int = 443
    peer_identity: str = ""
    context_extensions: Mapping[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | None = None
    received_at: float | None = None

    def header_values(self, name: str) -> Sequence[str]:
        return self.headers.get(name, ())

    def header_names(self) -> Sequence[str]:
        return list(self.headers)


def make_facts(
    request: Request | None = None, principal: Principal = ANONYMOUS, roles: RoleHolding | None = None, **path: str
) -> Facts:
    """The facts of a request whose caller holds these roles."""
    request = request or Request()
    return Facts(
        request=request,
        host=request.host,
        path=request.target.partition("?")[0],
        path_variables=path,
        principal=principal,
        now=1_800_000_000.0,
        resolve_roles=lambda _: roles or RoleHolding(),
    )


def make_pattern(text: str) -> PathPattern:
    """`/a/{x}/**` as a pattern."""
    segments: list[Segment] = []
    for piece in text.split("/")[1:]:
        if piece == "**" or piece.endswith("=**}"):
            segments.append(RestSegment(piece[1:-4] or None))
        elif piece.startswith("{"):
            segments.append(VariableSegment(piece[1:-1]))
        elif piece or text != "/":
            segments.append(LiteralSegment(piece))
    return PathPattern(tuple(segments), text)


def make_host(text: str | None) -> HostPattern | None:
    """`h.example` or `*.example` as a pattern."""
    if text is None:
        return None
    return HostPattern(text.removeprefix("*."), suffix=text.startswith("*."))


def make_rule(kind: RuleKind, *conditions, name: str = "rule") -> Rule:
    """A rule that asks for `kind` when all conditions hold."""
    return Rule(PolicyId(f"route.{kind}.{name}"), kind, conditions or (Anyone(),), SPAN)


def make_route(path: str = "/", *, host: str | None = None, methods: Sequence[str] | None = None, **fields) -> Route:
    """A public route, unless fields say otherwise."""
    return dataclasses.replace(
        Route(
            name=f"{host or ''}{path}",
            host=make_host(host),
            path=make_pattern(path),
            methods=frozenset(methods) if methods is not None else None,
            authentication=Authentication.NONE,
            public=True,
            providers=(),
            deny=(),
            require=(),
            allow=(make_rule(RuleKind.ALLOW),),
            upstream_headers=(),
            cors_origins=(),
            span=SPAN,
        ),
        **fields,
    )


def make_policy_set(*routes: Route, **fields) -> PolicySet:
    """A set of these routes and nothing else, unless fields say otherwise."""
    return dataclasses.replace(
        PolicySet(
            name="test",
            revision="000000000000",
            providers=(),
            api_key_providers=(),
            roles={},
            bindings=(),
            routes=routes,
            default_providers=(),
            trust_domains=(),
            trusted_proxies=(),
            paths=PathSettings(),
            responses=ResponseSettings(),
            owned_headers=(),
        ),
        **fields,
    )


def verdicts(max_size: int = 6) -> st.SearchStrategy[list[Verdict]]:
    """Any outcomes of up to `max_size` rules of either effect."""
    pairs = st.tuples(st.sampled_from(Effect), st.sampled_from(Outcome))
    return st.lists(pairs, max_size=max_size).map(
        lambda items: [Verdict(PolicyId(f"p{i}"), effect, outcome) for i, (effect, outcome) in enumerate(items)]
    )


@dataclasses.dataclass(frozen=True)
class FixedCondition:
    """A condition that always comes out the same."""

    outcome: Outcome
    text: str = "fixed"
    span: Span = SPAN
    reads: frozenset[tuple[str, ...]] = frozenset()

    def evaluate(self, facts: Facts) -> Outcome:
        del facts
        return self.outcome
