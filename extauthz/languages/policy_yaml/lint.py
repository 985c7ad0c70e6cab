"""What is legal but unwise: findings about a whole set, for authors who ask for them.

Each is a warning with a page of its own. None is certain to be a mistake; what surely is one is no matter of lint.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import PolicyText
from extauthz.languages.policy_yaml.report import Report, listed, quoted
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Condition,
    LiteralSegment,
    PolicySet,
    RemoteIpIs,
    RestSegment,
    RoleIs,
    Route,
    Rule,
    When,
    WorkloadIs,
)

_HEADER_MAPS: Final = frozenset({"request.headers", "request.header_values"})
_ADDRESS_HEADERS: Final = frozenset(
    {
        "cf-connecting-ip",
        "fastly-client-ip",
        "forwarded",
        "true-client-ip",
        "x-client-ip",
        "x-envoy-external-address",
        "x-forwarded-for",
        "x-real-ip",
    }
)


def lint(policy: PolicyText, policy_set: PolicySet, report: Report) -> None:
    """Every finding about a set without errors.

    Args:
        policy: the set as it is written.
        policy_set: the same, resolved.
        report: where findings go.
    """
    _roles_never_granted(policy, policy_set, report)
    _permissions_never_used(policy, policy_set, report)
    _wildcard_permissions(policy, report)
    _scoped_roles_asserted(policy_set, report)
    _spoofable_headers(policy_set, report)
    for route in policy_set.routes:
        _redundant_allows(route, report)
        _headers_of_nobody(route, report)
    _weaker_rests(policy_set, report)


# --- Roles and permissions -----------------------------------------------------------------------------------------


def _asserted(policy_set: PolicySet) -> frozenset[str]:
    """The roles that some credential may assert, without what they inherit."""
    asserted: set[str] = set()
    for provider in policy_set.providers:
        if provider.claims.roles:
            allowed = provider.may_assert.roles
            asserted.update(policy_set.roles if allowed is None else allowed)
    for keys in policy_set.api_key_providers:
        asserted.update(role for key in keys.keys for role in key.roles)
    return frozenset(asserted)


def _roles_never_granted(policy: PolicyText, policy_set: PolicySet, report: Report) -> None:
    given = _asserted(policy_set) | {binding.role for binding in policy_set.bindings}
    held = {role for name in given if name in policy_set.roles for role in policy_set.roles[name].closure}
    for entry in policy.roles or ():
        if entry.name not in held:
            message = f"nobody ever has the role {quoted(entry.name)}"
            hint = "give it in `bindings`, map a provider's `claims: {roles: ...}`, or remove it"
            report.warning(Code.ROLE_NEVER_GRANTED, entry.key, message, hint)


def _permissions_never_used(policy: PolicyText, policy_set: PolicySet, report: Report) -> None:
    rules = {rule.id: rule for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow)}
    keys = (key for rule in rules.values() for key in rule.conditions)
    asked = {permission for key in keys if isinstance(key, RoleIs) for permission in key.permissions}
    for entry in policy.roles or ():
        for scalar in (entry.value.permissions if entry.value is not None else None) or ():
            granted = scalar.text
            prefix = granted.removesuffix("*")
            is_used = any(p == granted or (granted.endswith("*") and p.startswith(prefix)) for p in asked)
            if not is_used:
                message = f"no rule asks for the permission {quoted(granted)}"
                report.warning(Code.PERMISSION_NEVER_USED, scalar, message, report.closest(granted, asked))


def _wildcard_permissions(policy: PolicyText, report: Report) -> None:
    for entry in policy.roles or ():
        for scalar in (entry.value.permissions if entry.value is not None else None) or ():
            if scalar.text == "*":
                message = f"the role {quoted(entry.name)} has every permission, those of future rules included"
                report.warning(
                    Code.WILDCARD_PERMISSION, scalar, message, "list permissions, or groups as in 'orders:*'"
                )


def _scoped_roles_asserted(policy_set: PolicySet, report: Report) -> None:
    asserted = _asserted(policy_set)
    for binding in policy_set.bindings:
        if binding.when is not None and binding.role in asserted:
            message = f"this binding scopes the role {quoted(binding.role)}, and a credential may assert it everywhere"
            hint = "leave the role out of the providers' `may_assert: {roles: [...]}`"
            report.warning(Code.SCOPED_ROLE_ASSERTED, binding.when.span, message, hint)


# --- Conditions ----------------------------------------------------------------------------------------------------


def _spoofable_headers(policy_set: PolicySet, report: Report) -> None:
    """Headers are the caller's to choose: as an address never believed, and no reason to allow by themselves."""
    for rule in {rule.id: rule for route in policy_set.routes for rule in (*route.require, *route.allow)}.values():
        for condition in _conditions(rule):
            _address_headers(condition, report)
    for rule in {rule.id: rule for route in policy_set.routes for rule in route.allow}.values():
        _header_alone(rule, report)
    for binding in policy_set.bindings:
        if binding.when is not None:
            _address_headers(binding.when, report)


def _conditions(rule: Rule) -> Iterator[Condition]:
    return (key.condition for key in rule.conditions if isinstance(key, When))


def _headers_read(condition: Condition) -> list[str]:
    return sorted(path[1] for path in condition.reads if path[0] in _HEADER_MAPS and len(path) > 1)


def _address_headers(condition: Condition, report: Report) -> None:
    for name in _headers_read(condition):
        if name in _ADDRESS_HEADERS:
            message = f"callers can write what they like into {quoted(name)}"
            hint = "write `remote_ip`, which believes `trusted_proxies` alone"
            report.warning(Code.SPOOFABLE_HEADER, condition.span, message, hint)


def _header_alone(rule: Rule, report: Report) -> None:
    """An allow that asks for nothing that a caller cannot send."""
    conditions = list(_conditions(rule))
    roots = {path[0].partition(".")[0] for condition in conditions for path in condition.reads}
    if len(conditions) < len([key for key in rule.conditions if not isinstance(key, Anyone)]):
        return  # another key asks for more
    names = [name for c in conditions for name in _headers_read(c) if name not in _ADDRESS_HEADERS]
    if names and roots <= {"request", "path", "body"}:
        message = f"whoever sends the header {listed(names, 'and')} passes"
        hint = "ask for a role, a scope, a claim or a workload as well"
        report.warning(Code.SPOOFABLE_HEADER, conditions[0].span, message, hint)


# --- Routes --------------------------------------------------------------------------------------------------------


def _is_open(rule: Rule, route: Route) -> bool:
    """Whether it allows everybody who gets that far."""
    required = route.authentication is Authentication.REQUIRED
    return all(isinstance(key, Anyone) or (required and isinstance(key, Authenticated)) for key in rule.conditions)


def _redundant_allows(route: Route, report: Report) -> None:
    opening = next((rule for rule in route.allow if _is_open(rule, route)), None)
    if opening is None:
        return
    for rule in route.allow:
        if rule is not opening:
            message = (
                f"{quoted(opening.id)} allows every caller of {quoted(route.name)} already: this rule changes nothing"
            )
            report.warning(Code.REDUNDANT_ALLOW, rule.span, message, "remove one of the two")


def _headers_of_nobody(route: Route, report: Report) -> None:
    """Where anyone passes, headers that name the caller are absent, and a backend may take that for something."""
    if route.public or route.authentication is Authentication.REQUIRED:
        return
    names = sorted(
        header.name
        for header in route.upstream_headers
        if any(part.path and part.path[0] in {"principal", "claims"} for part in header.template or ())
    )
    for rule in route.allow:
        if names and any(isinstance(key, Anyone) for key in rule.conditions):
            message = f"without a caller, {quoted(route.name)} is reached without {listed(names, 'and')}"
            hint = "make sure that the backend takes their absence for nobody"
            report.warning(Code.HEADERS_OF_NOBODY, rule.span, message, hint)


def _weaker_rests(policy_set: PolicySet, report: Report) -> None:
    """What lies below a literal path may belong to a `**` beside it, which asks for less."""
    rests = [route for route in policy_set.routes if _prefix(route) is not None]
    for rest in rests:
        for route in policy_set.routes:
            if not _is_below(route, rest) or any(_covers(other, route) for other in rests if other is not rest):
                continue
            if _asks_less(rest, route):
                message = (
                    f"this asks for less than {quoted(route.name)}, and owns what lies below {quoted(route.path.text)}"
                )
                hint = f"write a route for {quoted(route.path.text + '/**')}"
                report.warning(Code.WEAKER_REST, rest.span, message, hint)


def _prefix(route: Route) -> tuple[object, ...] | None:
    segments = route.path.segments
    return segments[:-1] if segments and isinstance(segments[-1], RestSegment) else None


def _is_below(route: Route, rest: Route) -> bool:
    """Whether the route's path is literal where it goes on from the prefix of the rest."""
    prefix = _prefix(rest)
    segments = route.path.segments
    if prefix is None or route.host != rest.host or len(segments) <= len(prefix) or segments[: len(prefix)] != prefix:
        return False
    shared = rest.methods is None or route.methods is None or bool(rest.methods & route.methods)
    return shared and all(isinstance(segment, LiteralSegment) for segment in segments[len(prefix) :])


def _covers(rest: Route, route: Route) -> bool:
    """Whether the rest, more specific than others, owns what lies below the route."""
    prefix = _prefix(rest)
    return rest.host == route.host and prefix is not None and route.path.segments == prefix


def _asks_less(rest: Route, route: Route) -> bool:
    is_open, was_open = (any(_is_open(rule, each) for rule in each.allow) for each in (rest, route))
    restricts = any(isinstance(key, RemoteIpIs | WorkloadIs) for rule in route.require for key in rule.conditions)
    levels = {Authentication.NONE: 0, Authentication.OPTIONAL: 1, Authentication.REQUIRED: 2}
    weaker_login = is_open and was_open and levels[rest.authentication] < levels[route.authentication]
    return (is_open and not was_open) or weaker_login or (restricts and not _restricts_alike(rest, route.require))


def _restricts_alike(rest: Route, requires: Iterable[Rule]) -> bool:
    return {rule.id for rule in requires} <= {rule.id for rule in rest.require}
