"""Checks of a folded set: what can only be seen when routes, rules and providers are put together.

A finding about a rule that applies to several routes is reported once, and names the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from extauthz.languages.cel import CelCondition
from extauthz.languages.policy_yaml.bindings import IDENTITY_READS
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import AnyNode, Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.routes import SET_SCOPE, FoldedRoute
from extauthz.languages.policy_yaml.rules import WrittenRule
from extauthz.languages.policy_yaml.templates import HeaderReader, path_names
from extauthz.model.policy import (
    Authentication,
    Binding,
    Condition,
    HostPattern,
    LiteralSegment,
    PathPattern,
    Role,
    RuleKind,
    VariableSegment,
)

# What is not part of "any method", see the reading of routes.
_NOT_IMPLIED = frozenset({"CONNECT", "TRACE"})
# Rule keys that ask for a credential.
_CREDENTIAL_KEYS = ("authenticated", "scope", "group", "subject", "provider")
_PUBLIC_EXCLUDES = ("allow", "decision", "authentication", "providers")
_HEADER_MAPS = frozenset({"request.headers", "request.header_values"})


def check_routes(
    routes: Sequence[FoldedRoute], providers: Sequence[str], workload_roles: frozenset[str], report: Report
) -> None:
    """Everything that is wrong with routes and the rules on them.

    Args:
        routes: all routes of the set.
        providers: the names of all providers.
        workload_roles: the roles that a workload can hold where authentication is none.
        report: where findings go.
    """
    _refuse_repeated_names(routes, report)
    _refuse_overlaps(routes, report)
    for route in routes:
        _check_public(route, report)
        _check_providers(route, report)
        _check_has_allow(route, report)
        if not route.is_public and route.scope.authentication is Authentication.NONE:
            _check_satisfiable(route, workload_roles, report)
    _warn_of_unsatisfiable_requires(routes, workload_roles, report)
    _check_rules(routes, providers, report)


def workload_roles(bindings: Iterable[Binding], roles: Mapping[str, Role]) -> frozenset[str]:
    """The roles that bindings give to workloads, inheritance included."""
    bound = {binding.role for binding in bindings if any(s.workload is not None for s in binding.subjects)}
    return frozenset(role for name in bound for role in roles[name].closure)


# --- Routes --------------------------------------------------------------------------------------------------------


def _refuse_repeated_names(routes: Sequence[FoldedRoute], report: Report) -> None:
    known: dict[str, FoldedRoute] = {}
    for route in routes:
        if route.text.name is None:
            continue  # derived from what the route matches: equal names are overlapping routes
        if route.name == SET_SCOPE:
            report.error(
                Code.DUPLICATE_NAME, route.place, f"{quoted(SET_SCOPE)} is what rules of the set are called by"
            )
        first = known.setdefault(route.name, route)
        if first is not route:
            message = f"the route at {first.text.node.span} is called {quoted(route.name)} as well"
            report.error(Code.DUPLICATE_NAME, route.place, message)


def _refuse_overlaps(routes: Sequence[FoldedRoute], report: Report) -> None:
    """Two routes with the same host and shape of path own the same requests: their methods must differ."""
    owners: dict[tuple[HostPattern, tuple[str, ...]], dict[str | None, FoldedRoute]] = {}
    for route in routes:
        host = route.scope.host
        if host is None or route.path is None:
            continue
        by_method = owners.setdefault((host, _shape(route.path)), {})
        common = _common_methods(route.methods, by_method.keys())
        if common:
            other = by_method[common[0]]
            its = [method for method in common if method is not None and by_method[method] is other]
            shown = ", ".join(its) or "every method"
            message = f"the route {quoted(other.name)} at {other.text.node.span} owns {shown} of this path as well"
            report.error(Code.OVERLAP, route.place, message, "merge the two, or tell them apart by method or host")
        for method in route.methods or {None}:
            by_method.setdefault(method, route)


def _shape(path: PathPattern) -> tuple[str, ...]:
    """The path without its variables' names; a literal begins with `/`, which no other mark does."""
    marks = []
    for segment in path.segments:
        if isinstance(segment, LiteralSegment):
            marks.append(f"/{segment.text}")
        else:
            marks.append("{}" if isinstance(segment, VariableSegment) else "**")
    return tuple(marks)


def _common_methods(methods: frozenset[str] | None, taken: Collection[str | None]) -> list[str | None]:
    """Which of the methods that are taken are a route's too, sorted; None stands for any but CONNECT and TRACE."""
    if methods is None:
        common = set(taken) - _NOT_IMPLIED
    elif None in taken and methods - _NOT_IMPLIED:
        return [None]
    else:
        common = set(taken) & methods
    return sorted(common, key=lambda method: method or "")


def _check_public(route: FoldedRoute, report: Report) -> None:
    if not route.is_public:
        return
    for name in _PUBLIC_EXCLUDES:
        if route.text.wrote(name):
            message = f"a public route lets anyone pass, so {quoted(name)} would say nothing"
            report.error(Code.PUBLIC, route.text.place(name), message, "remove it, or `public: true`")


def _check_providers(route: FoldedRoute, report: Report) -> None:
    if route.scope.authentication is not Authentication.NONE and not route.scope.providers:
        message = f"the route {quoted(route.name)} wants a credential, and the set has no provider"
        hint = "declare one under `providers`, or write `public: true` or `authentication: none`"
        report.error(Code.NO_PROVIDER, route.place, message, hint)


def _check_has_allow(route: FoldedRoute, report: Report) -> None:
    decides = route.is_public or route.text.wrote("allow") or route.text.wrote("decision")
    has_allow = decides or route.scope.has_group_allow
    if not has_allow and not route.text.has_unknown_keys:
        message = f"the route {quoted(route.name)} has no `allow` of its own or its group"
        report.error(Code.NO_ALLOW, route.place, message, "write `allow`, or `public: true`")


def _check_satisfiable(route: FoldedRoute, workload_roles: frozenset[str], report: Report) -> None:
    """Without a credential only some rules can ever be satisfied: a route's own ones must be, of the others one."""
    reasons = [(rule, _never_satisfied(rule, workload_roles)) for rule in route.scope.allow]
    own = {id(rule) for rule in route.own}
    for rule, reason in reasons:
        if reason and id(rule) in own:
            message = f"authentication is none here, so {reason}"
            hint = "ask for a workload, remote_ip or a condition, or set authentication"
            report.error(Code.NEVER_SATISFIED, rule.text.owner, message, hint)
    if reasons and all(reason and id(rule) not in own for rule, reason in reasons):
        message = f"nothing can ever allow a request of {quoted(route.name)}: authentication is none here"
        report.error(Code.NEVER_SATISFIED, route.place, message, "give it an `allow` that needs no credential")


def _warn_of_unsatisfiable_requires(
    routes: Sequence[FoldedRoute], workload_roles: frozenset[str], report: Report
) -> None:
    """A require that asks for a credential, handed down to a route that looks at none, denies everybody there."""
    reported: set[int] = set()
    for route in routes:
        if route.scope.authentication is not Authentication.NONE:
            continue
        for rule in route.scope.require:
            reason = _never_satisfied(rule, workload_roles)
            if reason and id(rule) not in reported:
                reported.add(id(rule))
                message = f"this denies every request of {quoted(route.name)}, where authentication is none: {reason}"
                report.warning(Code.REQUIRE_NEVER_HOLDS, rule.text.owner, message)


def _never_satisfied(rule: WrittenRule, workload_roles: frozenset[str]) -> str:
    for key in _CREDENTIAL_KEYS:
        if rule.text.wrote(key):
            return f"{quoted(key)} can never be satisfied"
    for condition in rule.rule.conditions:
        roles = getattr(condition, "roles", None)
        if roles is not None and not roles & workload_roles:
            return "nobody has a role: only a binding to a workload could give one"
    return ""


# --- Rules on routes -----------------------------------------------------------------------------------------------


class _Once:
    """Reports each kind of finding about a rule once, whatever the number of routes that it applies to."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._reported: set[tuple[int, Code]] = set()

    def error(self, code: Code, rule: WrittenRule, place: AnyNode, message: str, hint: str) -> None:
        if (id(rule), code) not in self._reported:
            self._reported.add((id(rule), code))
            self._report.error(code, place, message, hint)

    def suggest(self, word: str, known: Iterable[str]) -> str:
        return self._report.suggest(word, known)


_RouteCheck: TypeAlias = Callable[[WrittenRule, FoldedRoute, _Once], None]


def _check_rules(routes: Sequence[FoldedRoute], providers: Sequence[str], report: Report) -> None:
    """Checks of a rule against every route that it applies to."""
    once = _Once(report)
    checks: dict[int, tuple[_RouteCheck, ...]] = {}
    for route in routes:
        for rule in route.rules:
            known = checks.get(id(rule))
            if known is None:
                known = checks[id(rule)] = tuple(_checks_of(rule))
            for check in known:
                check(rule, route, once)
        for rule in route.own:
            _check_rule_provider(rule, route, providers, once)


def _checks_of(rule: WrittenRule) -> Iterator[_RouteCheck]:
    """The checks that can find something about a rule: a rule of the whole set meets every route."""
    is_allow = rule.rule.kind is RuleKind.ALLOW
    reads = frozenset[tuple[str, ...]]().union(*(condition.reads for condition in rule.conditions))
    if is_allow and rule.text.wrote("anyone"):
        yield _check_anyone
    names_identity = rule.text.wrote("subject") or rule.text.wrote("group")
    if names_identity or (is_allow and IDENTITY_READS & {path[0] for path in reads}):
        yield _check_identity
    if rule.when is not None and any(path[0] == "path" and len(path) > 1 for path in rule.when.reads):
        yield _check_path_reads


def _check_anyone(rule: WrittenRule, route: FoldedRoute, once: _Once) -> None:
    if route.scope.authentication is Authentication.REQUIRED:
        message = f"the route {quoted(route.name)} requires authentication, so not anyone can pass"
        hint = "write `authenticated: true`, or set `authentication: optional` or `public: true` on the route"
        once.error(Code.ANYONE_ON_REQUIRED, rule, rule.text.place("anyone"), message, hint)


def _check_identity(rule: WrittenRule, route: FoldedRoute, once: _Once) -> None:
    """An identity is a provider and a subject: where several providers count, one without the other is ambiguous."""
    if (
        route.scope.authentication is Authentication.NONE
        or len(route.scope.providers) < 2
        or rule.text.wrote("provider")
    ):
        return
    hint = f"add `provider`: there are {', '.join(route.scope.providers)}"
    for key in ("subject", "group"):
        if rule.text.wrote(key):
            message = (
                f"{quoted(key)} means something only together with its provider, and {quoted(route.name)} has several"
            )
            once.error(Code.IDENTITY_AMBIGUOUS, rule, rule.text.place(key), message, hint)
    if rule.rule.kind is not RuleKind.ALLOW:
        return
    for condition in rule.conditions:
        roots = {path[0] for path in condition.reads}
        reads = sorted(roots & IDENTITY_READS)
        tells_providers_apart = "principal.provider" in roots and not isinstance(condition, CelCondition)
        if reads and not tells_providers_apart:
            of_route = f"and {quoted(route.name)} has several"
            message = f"{quoted(reads[0])} means something only together with its provider, {of_route}"
            place = rule.text.place("when" if isinstance(condition, CelCondition) else "rego")
            once.error(Code.IDENTITY_AMBIGUOUS, rule, place, message, hint)


def _check_path_reads(rule: WrittenRule, route: FoldedRoute, once: _Once) -> None:
    condition, path = rule.when, route.path
    if condition is None or path is None:
        return
    bound = path.variables
    for read in sorted(condition.reads):
        if read[0] == "path" and len(read) > 1 and read[1] not in bound and not _asks_first(condition.text, read[1]):
            message = f"the path of {quoted(route.name)} does not bind {quoted(read[1])}"
            hint = once.suggest(read[1], bound) or "move the rule to the routes whose path binds it"
            once.error(Code.UNKNOWN_PATH_VARIABLE, rule, rule.text.when or rule.text.owner, message, hint)


def _asks_first(text: str, name: str) -> bool:
    """Whether a condition asks for a path variable, as one for several routes may."""
    return re.search(rf"has\(\s*path\.{name}\s*\)|['\"]{name}['\"]\s+in\s+path\b", text) is not None


def _check_rule_provider(rule: WrittenRule, route: FoldedRoute, declared: Sequence[str], once: _Once) -> None:
    if route.scope.authentication is Authentication.NONE:
        return
    for scalar in rule.text.provider or ():
        if scalar.text in declared and scalar.text not in route.scope.providers:
            message = f"credentials of {quoted(scalar.text)} do not count on {quoted(route.name)}"
            hint = f"its providers are {', '.join(route.scope.providers)}" if route.scope.providers else ""
            once.error(Code.UNKNOWN_PROVIDER, rule, scalar, message, hint)


# --- Conditions ----------------------------------------------------------------------------------------------------


def check_owned_reads(conditions: Iterable[tuple[Condition, AnyNode]], owned: Iterable[str], report: Report) -> None:
    """A header that the policy sets is removed from what callers send: a condition on it means nothing.

    A spelling with `_` for `-` is the same header to many servers.
    """
    names = frozenset(owned)
    for condition, place in conditions:
        for read in sorted(condition.reads):
            if len(read) > 1 and read[0] in _HEADER_MAPS and read[1].replace("_", "-") in names:
                message = f"the header {quoted(read[1])} is set by this policy, so callers cannot send it"
                hint = "read the claim or the fact that it is set from"
                report.error(Code.OWNED_HEADER_READ, place, message, hint)


def warn_of_unguarded_denies(rules: Iterable[WrittenRule], report: Report) -> None:
    """A deny that errors denies: one that reads what may be absent denies everybody who lacks it."""
    for rule in rules:
        condition, text = rule.when, rule.text.when
        if rule.rule.kind is not RuleKind.DENY or condition is None or text is None:
            continue
        for path in condition.unguarded:
            message = f"this deny denies every request without {'.'.join(path)}"
            report.warning(Code.UNGUARDED_DENY, text, message, f"if not meant so: {condition.guarded_form(path)}")


def warn_of_unbound_bindings(
    conditions: Iterable[tuple[CelCondition, Scalar]], routes: Iterable[FoldedRoute], report: Report
) -> None:
    """A binding whose condition reads a path variable errors where none is bound: its role is then in doubt."""
    bound = _bound_names(routes)
    for condition, place in conditions:
        for read in sorted(condition.reads):
            if read[0] == "path" and len(read) > 1 and read[1] not in bound:
                message = f"no route's path binds {quoted(read[1])}, so nobody gets the role"
                report.warning(Code.BINDING_NEVER_HOLDS, place, message, report.suggest(read[1], bound))


# --- Headers -------------------------------------------------------------------------------------------------------


def check_headers(
    routes: Sequence[FoldedRoute], headers: HeaderReader, credential_headers: Mapping[str, str], report: Report
) -> None:
    """What is wrong with upstream headers in the light of routes and providers.

    Args:
        routes: all routes of the set.
        headers: what was read of every `upstream_headers`.
        credential_headers: the headers in which credentials stand, with the name of the provider that reads them.
        report: where findings go.
    """
    for name, place in headers.set_at.items():
        provider = credential_headers.get(name)
        if provider is not None:
            message = f"the header {quoted(name)} carries credentials of {quoted(provider)}"
            hint = "a header that a policy sets is never taken from callers; use another one"
            report.error(Code.HEADER_CREDENTIAL, place, message, hint)
    bound = _bound_names(routes)
    for value, template in headers.templates:
        for name in path_names(template):
            if name not in bound:
                message = f"no route's path binds {quoted(name)}"
                report.error(Code.UNKNOWN_PATH_VARIABLE, value, message, report.suggest(name, bound))
    for route in routes:
        _check_own_templates(route, bound, report)


def _check_own_templates(route: FoldedRoute, bound: frozenset[str], report: Report) -> None:
    """A route's own template reads what its own path binds; an outer one may serve routes that do not."""
    written = route.text.upstream_headers
    if route.path is None or written is None:
        return
    for entry in written.set or ():
        header = route.scope.headers.get(entry.name.lower())
        if header is None or header.template is None or entry.value is None:
            continue
        for name in path_names(header.template):
            if name in bound and name not in route.path.variables:
                message = f"the path of {quoted(route.name)} does not bind {quoted(name)}"
                report.error(
                    Code.UNKNOWN_PATH_VARIABLE, entry.value, message, report.suggest(name, route.path.variables)
                )


def _bound_names(routes: Iterable[FoldedRoute]) -> frozenset[str]:
    return frozenset(name for route in routes if route.path is not None for name in route.path.variables)
