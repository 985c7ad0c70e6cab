"""Why a request is decided as it is: every rule of its route, every condition of every rule, and what came of it.

The decision itself is `authorizer`'s; here nothing is decided again, and no rule is left out because another one had
decided already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authorizer import CompiledRoute, Snapshot
from extauthz.errors import DecidedError
from extauthz.model.access import ANONYMOUS, AccessRequest, Facts, Principal
from extauthz.model.decision import Outcome
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    ConditionKey,
    GroupIs,
    ProviderIs,
    RemoteIpIs,
    RoleIs,
    Route,
    Rule,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)
from extauthz.pdp.canonical import Segments, canonical_host
from extauthz.pdp.evaluate import compile_condition


@dataclass(frozen=True, slots=True)
class ConditionFinding:
    """One condition on one request."""

    text: str
    """As in the policy: `role: admin`, `when: path.id == principal.subject`."""
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """One rule on one request: whether what it says holds, also of a `require` (a deny of its negation elsewhere)."""

    rule: Rule
    outcome: Outcome
    conditions: tuple[ConditionFinding, ...]


@dataclass(frozen=True, slots=True)
class Explanation:
    """What the rules of the route make of the request."""

    route: Route
    roles: tuple[str, ...]
    """Every role the caller holds there, sorted: asserted or bound, inherited ones included."""
    errored_roles: tuple[str, ...]
    """Roles that a binding might have given, had its condition not failed."""
    rules: tuple[RuleFinding, ...]
    """Denies, then requires, then allows."""


def explain(
    request: AccessRequest, snapshot: Snapshot, now: float, principal: Principal | None = None
) -> Explanation | None:
    """Evaluate all rules of the request's route.

    Args:
        request: the request, decided before, so that all key sets it needs are there.
        snapshot: the policy set.
        now: seconds since the epoch.
        principal: who asks, instead of whom the credentials prove.

    Returns:
        None when no rule is reached: the request is malformed, has no route, or proves nobody on a route that wants it.
    """
    try:
        segments = snapshot.paths.read(request.target)
        host = canonical_host(request.host)
        owner, captured = snapshot.routes.find(host, segments) or (None, ())
        compiled = owner.for_method(request.method) if owner is not None else None
        caller = None if compiled is None else _caller(request, compiled, now, principal)
    except DecidedError:
        return None
    if compiled is None or caller is None:
        return None
    if compiled.route.authentication is Authentication.REQUIRED and not caller.authenticated:
        return None
    return _explain(request, snapshot, compiled, caller, (host, segments, captured), now)


def _caller(
    request: AccessRequest, compiled: CompiledRoute, now: float, principal: Principal | None
) -> Principal | None:
    """Who asks; None when their keys are missing."""
    if compiled.authenticator is None:
        return ANONYMOUS
    if principal is not None:
        return principal
    caller = compiled.authenticator.authenticate(request, now)
    return None if isinstance(caller, NeedKeySet) else caller


def _explain(
    request: AccessRequest,
    snapshot: Snapshot,
    compiled: CompiledRoute,
    caller: Principal,
    place: tuple[str, Segments, Segments],
    now: float,
) -> Explanation:
    host, segments, captured = place
    facts = Facts(
        request=request,
        host=host,
        path="/" + "/".join(segments),
        path_variables=dict(zip(compiled.variables, captured, strict=False)),  # an unnamed `**` is captured too
        principal=caller,
        now=now,
        resolve_roles=compiled.resolve_roles,
    )
    route = compiled.route
    rules = (*route.deny, *route.require, *route.allow)
    return Explanation(
        route=route,
        roles=tuple(sorted(facts.roles.held)),
        errored_roles=tuple(sorted(facts.roles.errored)),
        rules=tuple(_finding(rule, snapshot, facts) for rule in rules),
    )


def _finding(rule: Rule, snapshot: Snapshot, facts: Facts) -> RuleFinding:
    conditions = tuple(
        ConditionFinding(describe_condition(condition), compile_condition(condition, snapshot.policy_set)(facts))
        for condition in rule.conditions
    )
    outcomes = {finding.outcome for finding in conditions}
    # Within a rule UNSATISFIED beats ERRORED beats SATISFIED, in any order.
    for outcome in (Outcome.UNSATISFIED, Outcome.ERRORED):
        if outcome in outcomes:
            return RuleFinding(rule, outcome, conditions)
    return RuleFinding(rule, Outcome.SATISFIED, conditions)


_KEYS = {ScopeIs: "scope", GroupIs: "group", SubjectIs: "subject", ProviderIs: "provider"}


def describe_condition(condition: ConditionKey) -> str:
    """The condition as its key and value in the policy; several values are any of them."""
    match condition:
        case Anyone():
            return "anyone: true"
        case Authenticated():
            return "authenticated: true"
        case RoleIs(roles=roles, permissions=permissions):
            if not permissions:
                return _any_of("role", sorted(roles))
            return f"{_any_of('permission', permissions)} (of role {' | '.join(sorted(roles))})"
        case (
            ScopeIs(scopes=values) | GroupIs(groups=values) | SubjectIs(subjects=values) | ProviderIs(providers=values)
        ):
            return _any_of(_KEYS[type(condition)], values)
        case WorkloadIs(workloads=workloads):
            return _any_of("workload", workloads)
        case RemoteIpIs(networks=networks, direct=direct):
            return _any_of("direct_remote_ip" if direct else "remote_ip", [str(network) for network in networks])
        case When(condition=when):
            return f"when: {' '.join(line.strip() for line in when.text.splitlines())}"


def _any_of(key: str, values: Sequence[str]) -> str:
    return f"{key}: {' | '.join(values)}"
