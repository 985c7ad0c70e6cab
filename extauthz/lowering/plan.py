"""What of a policy set Envoy decides by itself, what stays with the authorizer, and why: nothing in between.

A request is allowed natively where a *native policy* matches: one allow rule of one route for one kind of caller, every
deny certainly unsatisfied, every require satisfied, and the upstream headers writable. Where anything about that is not
exact, there is no such policy, and the authorizer is asked. So a native allow is always the authorizer's allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from extauthz.lowering import callers, routing
from extauthz.lowering import expression as cel
from extauthz.lowering.callers import ANONYMOUS, ANYBODY, Caller, Places, caller_of
from extauthz.lowering.conditions import Guards
from extauthz.lowering.formula import (
    Cel,
    Conjunction,
    Formula,
    NotExactError,
    all_hold,
    conjunctions,
    is_never,
    negation,
)
from extauthz.lowering.jwt_authn import refuse_inexact
from extauthz.lowering.matchers import methods, present
from extauthz.lowering.routing import OwnedPath, OwnedRoute, owned_paths
from extauthz.lowering.rules import Lowered, RuleLowering
from extauthz.lowering.upstream_headers import Profile, preflight_profile, profile_of
from extauthz.model.policy import Authentication, Binding, PolicySet, Provider, Route, Rule, RuleKind
from extauthz.model.source import Span
from extauthz.pdp.routes import NOT_IMPLIED_METHODS

ALLOW_PREFIX = "allow_"
"""How the names of native policies begin: the authorizer is asked unless such a one has matched."""


class Verdict(StrEnum):
    """Where a piece of the policy is enforced."""

    NATIVE = "native"
    RESIDUAL = "residual"


@dataclass(slots=True)
class Item:
    """A piece of the policy set with what became of it."""

    kind: str
    id: str
    span: Span | None
    reasons: dict[str, None] = field(default_factory=dict)
    """Why it is not native, in the order in which that was found."""

    @property
    def verdict(self) -> Verdict:
        return Verdict.RESIDUAL if self.reasons else Verdict.NATIVE


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy set, sorted."""

    policy_set: PolicySet
    items: tuple[Item, ...]
    providers: tuple[Provider, ...]
    """Whose tokens Envoy verifies as we do."""
    caller_policies: Mapping[str, Formula]
    route_policies: Mapping[str, Formula]
    native_policies: Mapping[str, Conjunction]
    """By name; all of them allow."""
    profiles: tuple[Profile, ...]
    """By number, which the names of the policies hold."""

    @property
    def residual(self) -> tuple[Item, ...]:
        """What is left to the authorizer."""
        return tuple(item for item in self.items if item.verdict is Verdict.RESIDUAL)

    def policy_prefix(self, profile: int) -> str:
        """How the names of the policies of one profile begin."""
        return _policy_prefix(profile)


def make_plan(policy_set: PolicySet) -> Plan:
    """Sort a policy set."""
    planner = _Planner(policy_set)
    for owned_path in planner.paths:
        for owned in owned_path.routes:
            planner.add_route(owned_path, owned)
    return planner.plan()


def _policy_prefix(profile: int) -> str:
    return f"{ALLOW_PREFIX}{profile:04}_"


class _Planner:
    def __init__(self, policy_set: PolicySet) -> None:
        self._set = policy_set
        self._items: dict[tuple[str, str], Item] = {}
        self._places = Places(policy_set)
        self._providers = tuple(provider for provider in policy_set.providers if self._is_exact(provider))
        for api_keys in policy_set.api_key_providers:
            self._note("provider", api_keys.name, api_keys.span, "API keys are looked up by their hash")
        for binding in policy_set.bindings:
            self._note_binding(binding, None)
        self.paths = owned_paths(policy_set)
        self._policies: dict[str, Conjunction] = {}
        # The first profile is the preflights': theirs is the first policy that matches wherever another does, too.
        self._profiles = [preflight_profile(policy_set)]

    def plan(self) -> Plan:
        verified = {f"provider_{p.name}": callers.is_vouched_for(p, self._places) for p in self._providers}
        return Plan(
            policy_set=self._set,
            items=tuple(self._items[key] for key in sorted(self._items)),
            providers=self._providers,
            caller_policies={callers.ANONYMOUS_ID: callers.is_anonymous(self._places), **verified},
            route_policies=routing.route_policies(self.paths, self._set.paths.trailing_slash),
            native_policies=self._policies,
            profiles=tuple(self._profiles),
        )

    # --- Routes ---

    def add_route(self, owned_path: OwnedPath, owned: OwnedRoute) -> None:
        route = owned.route
        self._note("route", route.name, route.span, None)
        owned_here = routing.classified([owned.id])
        if route.cors_origins:
            self._add_preflight(owned_path, owned)
        if any(r.route.cors_origins for r in owned_path.routes):
            owned_here = all_hold(owned_here, negation(_may_be_preflight()))
        for caller in self._callers(route):
            self._add_caller(route, owned_here, caller)

    def _callers(self, route: Route) -> list[Caller]:
        if route.authentication is Authentication.NONE:
            return [ANYBODY]
        known = [caller_of(p) for p in self._providers if p.name in route.providers]
        return [ANONYMOUS, *known] if route.authentication is Authentication.OPTIONAL else known

    def _add_caller(self, route: Route, owned_here: Formula, caller: Caller) -> None:
        lowering = RuleLowering(self._set, route, caller, self._note_binding)
        guards = Guards()
        formulas: list[Formula] = [owned_here, caller.test]
        blocked: list[str] = []
        for rule in (*route.deny, *route.require):
            lowered = self._lowered(rule, lowering)
            if lowered is None:
                blocked.append(rule.id)
            else:
                formulas.append(lowered.formula)
                guards.add(lowered.guards)
        profile = self._profile(route, caller, formulas)
        if profile is None:
            blocked.append(f"{route.name}.upstream_headers")
        for rule in route.allow:
            lowered = self._lowered(rule, lowering)
            if lowered is not None and blocked:
                self._note_rule(rule, f"on route {route.name}, {', '.join(blocked)} stays with the authorizer")
            elif lowered is not None and profile is not None:
                rule_guards = Guards(guards.by_read | lowered.guards.by_read)
                whole = all_hold(*formulas, lowered.formula, rule_guards.formula())
                self._add_policies(rule, f"{_policy_prefix(profile)}{route.name}/{rule.id}/{caller.id}", whole)

    def _add_policies(self, rule: Rule, name: str, formula: Formula) -> None:
        if is_never(formula):
            return
        try:
            alternatives = conjunctions(formula)
        except NotExactError as error:
            self._note_rule(rule, str(error))
            return
        for number, conjunction in enumerate(alternatives):
            self._policies[name if len(alternatives) == 1 else f"{name}/{number:02}"] = conjunction

    def _lowered(self, rule: Rule, lowering: RuleLowering) -> Lowered | None:
        """What the rule asks of an allowed request, None after noting why it is not exact."""
        try:
            lowered = lowering.fails(rule) if rule.kind is RuleKind.DENY else lowering.holds(rule)
        except NotExactError as error:
            self._note_rule(rule, str(error))
            return None
        self._note_rule(rule, None)
        return lowered

    def _profile(self, route: Route, caller: Caller, formulas: list[Formula]) -> int | None:
        """The number of the profile, what makes it exact added to `formulas`; None after noting why there is none."""
        name = f"{route.name}.upstream_headers"
        try:
            profile, exact = profile_of(self._set, route, caller)
        except NotExactError as error:
            self._note("upstream headers", name, route.span, str(error))
            return None
        if route.upstream_headers:
            self._note("upstream headers", name, route.span, None)
        formulas.append(exact)
        if profile not in self._profiles:
            self._profiles.append(profile)
        return self._profiles.index(profile)

    def _add_preflight(self, owned_path: OwnedPath, owned: OwnedRoute) -> None:
        route = owned.route
        self._note("preflight", f"{route.name}.cors", route.span, None)
        formula = all_hold(
            routing.classified(owned_path.ids),
            methods(["OPTIONS"]),
            Cel(_origin_is_listed(route)),
            Cel(_asks_for(owned)),
        )
        (conjunction,) = conjunctions(formula)
        self._policies[f"{_policy_prefix(0)}{route.name}/{route.name}.cors"] = conjunction

    # --- The report ---

    def _is_exact(self, provider: Provider) -> bool:
        try:
            refuse_inexact(provider)
        except NotExactError as error:
            self._note("provider", provider.name, provider.span, str(error))
            return False
        self._note("provider", provider.name, provider.span, None)
        return True

    def _note_rule(self, rule: Rule, reason: str | None) -> None:
        self._note(str(rule.kind), rule.id, rule.span, reason)

    def _note_binding(self, binding: Binding, reason: str | None) -> None:
        self._note("binding", f"{binding.role} at {binding.span}", binding.span, reason)

    def _note(self, kind: str, item_id: str, span: Span | None, reason: str | None) -> None:
        item = self._items.setdefault((kind, item_id), Item(kind, item_id, span))
        if reason is not None:
            item.reasons[reason] = None


def _may_be_preflight() -> Formula:
    return all_hold(methods(["OPTIONS"]), present("origin"), present("access-control-request-method"))


def _origin_is_listed(route: Route) -> cel.Expr:
    """Repeated headers are joined by commas, so no listed origin is equal to them."""
    origin = cel.header("origin")
    if "*" in route.cors_origins:
        return cel.negated(cel.method(origin, "contains", cel.text(",")))
    return cel.contained(origin, cel.texts(sorted(route.cors_origins)))


def _asks_for(owned: OwnedRoute) -> cel.Expr:
    """Whether the preflight is for a method that the route serves."""
    method = cel.header("access-control-request-method")
    if owned.methods is not None:
        return cel.contained(method, cel.texts(sorted(owned.methods)))
    other = cel.contained(method, cel.texts(sorted(owned.others | NOT_IMPLIED_METHODS)))
    return cel.all_of([cel.negated(other), cel.negated(cel.method(method, "contains", cel.text(",")))])
