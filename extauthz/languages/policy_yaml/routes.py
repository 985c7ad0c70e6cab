"""Routes: what the set, groups and defaults say is folded into each of them.

Rules add up: a route's own come first, then its groups' from the inside out, then the set's. Host, authentication,
providers and cors are defaults: the nearest one holds. Upstream headers merge, the nearest entry of a name wins. A
group has no methods and is not public: which methods are served, and by whom without a credential, is said at the
route where an auditor looks for it.

A route without a name is called by its methods, host and path, as in `GET,PUT /orders/{order_id}` or `ANY /assets/**`.
Of several groups with one name or prefix the rules of the second are called by `<prefix>#2`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.hosts import ANY_HOST, read_host
from extauthz.languages.policy_yaml.language import (
    CorsWritten,
    DecisionText,
    DefaultsText,
    GroupText,
    PolicyText,
    RouteText,
    RouteWritten,
)
from extauthz.languages.policy_yaml.networks import read_origins
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.paths import PathReader
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.rules import RuleReader, WrittenRule, decision_of
from extauthz.languages.policy_yaml.templates import HeaderReader
from extauthz.model.decision import PolicyId
from extauthz.model.policy import (
    Anyone,
    Authentication,
    HostPattern,
    LiteralSegment,
    PathPattern,
    Route,
    Rule,
    RuleKind,
    UpstreamHeader,
    VariableSegment,
)

SET_SCOPE = "set"

_METHOD = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_Rules = tuple[WrittenRule, ...]


@dataclass(frozen=True, slots=True)
class Scope:
    """What the set and the groups around a route hand down to it."""

    prefix: str | None = ""
    """None when it could not be read: paths below it are unknown."""
    host: HostPattern | None = ANY_HOST
    """None when it could not be read."""
    authentication: Authentication = Authentication.REQUIRED
    providers: tuple[str, ...] = ()
    cors: tuple[str, ...] = ()
    deny: _Rules = ()
    require: _Rules = ()
    allow: _Rules = ()
    headers: Mapping[str, UpstreamHeader] = field(default_factory=dict)
    has_group_allow: bool = False


@dataclass(frozen=True, slots=True)
class FoldedRoute:
    """A route with all that it was handed down, and the text that it came from."""

    text: RouteText
    name: str
    path: PathPattern | None
    methods: frozenset[str] | None
    scope: Scope
    own: _Rules

    @property
    def is_public(self) -> bool:
        return self.text.public is not None and self.text.public.value is True

    @property
    def place(self) -> AnyNode:
        """Where something about the whole route is reported."""
        return self.text.name or self.text.path or self.text.grpc or self.text.owner

    @property
    def rules(self) -> _Rules:
        """The rules that run: the allow rules of a public route do not."""
        return (*self.scope.deny, *self.scope.require, *(() if self.is_public else self.scope.allow))

    def finished(self, headers: tuple[UpstreamHeader, ...]) -> Route | None:
        """The route of the intermediate representation; None when its path or host could not be read."""
        scope = self.scope
        if self.path is None or scope.host is None:
            return None
        allow = tuple(written.rule for written in scope.allow)
        if self.is_public:
            allow = (Rule(PolicyId(f"{self.name}.public"), RuleKind.ALLOW, (Anyone(),), self.text.node.span),)
        return Route(
            name=self.name,
            host=None if scope.host is ANY_HOST else scope.host,
            path=self.path,
            methods=self.methods,
            authentication=scope.authentication,
            public=self.is_public,
            providers=scope.providers,
            deny=tuple(written.rule for written in scope.deny),
            require=tuple(written.rule for written in scope.require),
            allow=allow,
            upstream_headers=headers,
            cors_origins=scope.cors,
            span=self.text.node.span,
            decision=decision_of(scope.allow),
        )


class RouteReader:
    """Reads the routes of a set, depth first, in the order they are written."""

    def __init__(
        self, rules: RuleReader, paths: PathReader, headers: HeaderReader, providers: Sequence[str], report: Report
    ) -> None:
        self._rules = rules
        self._paths = paths
        self._headers = headers
        self._providers = providers
        self._report = report
        self._scope_names = Counter({SET_SCOPE: 1})
        self.folded: list[FoldedRoute] = []

    def read(self, policy: PolicyText) -> list[FoldedRoute]:
        """All routes of the set."""
        scope = self._with_rules(self._defaults(policy.defaults), policy, SET_SCOPE)
        scope = replace(scope, headers=self._headers.read(policy.upstream_headers))
        self._read_all(policy.routes or (), scope)
        return self.folded

    def _defaults(self, written: DefaultsText | None) -> Scope:
        scope = Scope(providers=tuple(self._providers))
        return self._with_defaults(scope, written) if written is not None else scope

    def _read_all(self, items: Iterable[RouteWritten], scope: Scope) -> None:
        for item in items:
            if isinstance(item, RouteText):
                self.folded.append(self._route(item, scope))
            elif item.group is not None:
                self._group(item.group, scope)

    def _group(self, group: GroupText, outer: Scope) -> None:
        scope = self._with_defaults(outer, group)
        if group.wrote("prefix"):
            readable = group.prefix is not None and outer.prefix is not None
            prefix = self._paths.read_prefix(group.prefix, outer.prefix or "") if readable and group.prefix else None
            scope = replace(scope, prefix=prefix)
        scope = self._with_rules(scope, group, self._group_name(group, scope.prefix))
        headers = self._headers.read(group.upstream_headers)
        scope = replace(
            scope,
            headers={**outer.headers, **headers} if headers else outer.headers,
            has_group_allow=outer.has_group_allow or group.wrote("allow"),
        )
        self._read_all(group.routes or (), scope)

    def _group_name(self, group: GroupText, prefix: str | None) -> str:
        return self._unique(group.name.text if group.name is not None else prefix or "group")

    def _unique(self, name: str) -> str:
        """The name by which a scope's rules are called: each scope has its own."""
        self._scope_names[name] += 1
        count = self._scope_names[name]
        return name if count == 1 else f"{name}#{count}"

    def _with_defaults(self, scope: Scope, written: DefaultsText | GroupText | RouteText) -> Scope:
        """The scope with what is said nearer."""
        if written.wrote("host"):
            host = read_host(written.host, self._report) if written.host is not None else None
            scope = replace(scope, host=host)
        if written.wrote("authentication") and written.authentication is None:
            scope = replace(
                scope, authentication=Authentication.OPTIONAL
            )  # unreadable; the fewest rules are wrong there
        if written.authentication is not None:
            scope = replace(scope, authentication=Authentication(written.authentication.text))
        if written.providers is not None:
            scope = replace(scope, providers=self._provider_names(written.providers))
        if written.cors is not None:
            scope = replace(scope, cors=self._origins(written.cors))
        return scope

    def _provider_names(self, names: Iterable[Scalar]) -> tuple[str, ...]:
        known: dict[str, Scalar] = {}
        for scalar in names:
            if scalar.text not in self._providers:
                self._report.unknown(Code.UNKNOWN_PROVIDER, scalar, "provider", self._providers)
            known.setdefault(scalar.text, scalar)
        return tuple(known)

    def _origins(self, written: CorsWritten) -> tuple[str, ...]:
        if isinstance(written, Scalar):
            return ()
        return read_origins(written.origins or (), self._report)

    def _with_rules(self, scope: Scope, written: PolicyText | GroupText | RouteText, name: str) -> Scope:
        """The scope with further rules, the nearest first."""
        deny = self._rules.read(written.deny, RuleKind.DENY, name)
        require = self._rules.read(written.require, RuleKind.REQUIRE, name)
        allow = self._rules.read(written.allow, RuleKind.ALLOW, name)
        if not (deny or require or allow):
            return scope
        return replace(
            scope,
            deny=deny + scope.deny,
            require=require + scope.require,
            allow=allow + scope.allow,
        )

    def _route(self, text: RouteText, outer: Scope) -> FoldedRoute:
        scope = self._with_defaults(outer, text)
        path = self._path(text, scope.prefix)
        methods = self._methods(text)
        name = text.name.text if text.name is not None else _derived_name(methods, scope.host, path)
        inherited = len(scope.deny), len(scope.require), len(scope.allow)
        scope_name = self._unique(name)
        scope = self._with_rules(scope, text, scope_name)
        own = tuple(
            rule
            for rules, count in zip((scope.deny, scope.require, scope.allow), inherited, strict=True)
            for rule in rules[: len(rules) - count]
        )
        headers = self._headers.read(text.upstream_headers)
        if headers:
            scope = replace(scope, headers={**scope.headers, **headers})
        if text.decision is not None:
            decision = self._decision(text, text.decision, scope_name, scope.headers)
            scope, own = replace(scope, allow=(decision,)), (*own, decision)
        is_public = text.public is not None and text.public.value is True
        if is_public:
            scope = replace(scope, authentication=Authentication.NONE)
        return FoldedRoute(text, name, path, methods, scope, own)

    def _decision(
        self, text: RouteText, decision: DecisionText, scope_name: str, headers: Mapping[str, UpstreamHeader]
    ) -> WrittenRule:
        """What decides here instead of allow rules, the inherited ones included."""
        if text.wrote("allow"):
            message = "a route is decided either by a `decision` or by `allow` rules"
            self._report.error(Code.EXCLUSIVE_KEYS, text.place("allow"), message)
        return self._rules.read_decision(
            decision, scope_name, self._headers.read_listed(decision.headers or (), headers)
        )

    def _path(self, text: RouteText, prefix: str | None) -> PathPattern | None:
        if not text.wrote("path") and not text.wrote("grpc") and text.has_unknown_keys:
            return None
        if text.wrote("path") == text.wrote("grpc"):
            message = "a route has either a `path` or a `grpc` method"
            self._report.error(Code.EXCLUSIVE_KEYS, text.place("grpc"), message)
            return None
        if text.wrote("grpc"):
            return self._grpc_path(text, prefix)
        if text.path is None or prefix is None:
            return None
        return self._paths.read(text.path, prefix)

    def _grpc_path(self, text: RouteText, prefix: str | None) -> PathPattern | None:
        """The path of gRPC over HTTP/2: `POST /package.Service/Method`."""
        if text.wrote("methods"):
            message = "a gRPC method is always called by POST"
            self._report.error(Code.EXCLUSIVE_KEYS, text.place("methods"), message, "remove `methods`")
        if prefix:
            message = f"a gRPC path has no prefix, and the group's is {quoted(prefix)}"
            self._report.error(Code.EXCLUSIVE_KEYS, text.place("grpc"), message, "move the route out of the group")
        if text.grpc is None:
            return None
        service, _, method = text.grpc.text.partition("/")
        if method == "*":
            return PathPattern((LiteralSegment(service), VariableSegment("method")), f"/{service}/{{method}}")
        return PathPattern((LiteralSegment(service), LiteralSegment(method)), f"/{service}/{method}")

    def _methods(self, text: RouteText) -> frozenset[str] | None:
        if text.wrote("grpc"):
            return frozenset({"POST"})
        if text.methods is None:
            return None
        for scalar in text.methods:
            if not _METHOD.fullmatch(scalar.text):
                hint = (
                    "leave `methods` out for any method" if scalar.text == "*" else "methods are upper case, as in GET"
                )
                self._report.error(Code.METHOD, scalar, f"{quoted(scalar.text)} is not a method", hint)
        methods = frozenset(scalar.text for scalar in text.methods)
        return methods | {"HEAD"} if "GET" in methods else methods


def _derived_name(methods: frozenset[str] | None, host: HostPattern | None, path: PathPattern | None) -> str:
    shown = "ANY" if methods is None else ",".join(sorted(methods - ({"HEAD"} if "GET" in methods else set())))
    place = "" if host is None or host is ANY_HOST else str(host)
    return f"{shown} {place}{path.text if path is not None else ''}"
