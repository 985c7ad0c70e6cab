"""Sorts a policy set: a policy of Envoy's for whatever Envoy decides as we do, and a reason for everything else.

A request is allowed natively where a *native policy* matches: one allow rule of one route for one kind of caller, every
deny certainly unsatisfied, every require satisfied, and the upstream headers writable. Where anything about that is not
exact, there is no such policy. So a native allow is always the authorizer's allow.

Where everything about a route is exact for a kind of caller, what no native policy allows is what the authorizer
denies, and a *denial policy* says how it is answered.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from extauthz.lowering import callers, routing
from extauthz.lowering import expression as cel
from extauthz.lowering.callers import ANONYMOUS, ANYBODY, Caller, Places, caller_of
from extauthz.lowering.denial import DenialClass, denial_name, scope_denial_name
from extauthz.lowering.formula import NEVER, Cel, Conjunction, Formula, NotExactError, all_hold, conjunctions, negation
from extauthz.lowering.jwt_authn import refuse_inexact
from extauthz.lowering.matchers import methods, present
from extauthz.lowering.plan import Item, Plan, policy_prefix
from extauthz.lowering.routing import OwnedPath, OwnedRoute, owned_paths
from extauthz.lowering.rules import Lowered, RuleLowering, all_together
from extauthz.lowering.upstream_headers import Profile, preflight_profile, profile_of
from extauthz.model.policy import Authentication, Binding, PolicySet, Route, Rule, RuleKind, ScopeIs
from extauthz.model.provider import Provider
from extauthz.model.source import Span
from extauthz.pdp.routes import NOT_IMPLIED_METHODS


def make_plan(policy_set: PolicySet) -> Plan:
    """Sort a policy set."""
    planner = _Planner(policy_set)
    for owned_path in planner.paths:
        for owned in owned_path.routes:
            planner.add_route(owned_path, owned)
        planner.deny_without_route(owned_path)
    planner.deny_unowned()
    return planner.plan()


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
        self._denials: dict[str, Conjunction] = {}
        self._scopes: list[tuple[str, ...]] = []
        # The first profile is the preflights': theirs is the first policy that matches wherever another does, too.
        self._profiles: list[Profile] = [preflight_profile(policy_set)]

    def plan(self) -> Plan:
        verified = {f"provider_{p.name}": callers.is_vouched_for(p, self._places) for p in self._providers}
        return Plan(
            policy_set=self._set,
            items=tuple(self._items[key] for key in sorted(self._items)),
            providers=self._providers,
            caller_policies={callers.ANONYMOUS_ID: callers.is_anonymous(self._places), **verified},
            route_policies=routing.route_policies(self.paths, self._set.paths.trailing_slash),
            unauthenticated_routes=tuple(
                owned.id
                for owned_path in self.paths
                for owned in owned_path.routes
                if owned.route.authentication is Authentication.NONE
            ),
            native_policies=self._policies,
            denial_policies=self._denials,
            challenged_scopes=tuple(self._scopes),
            profiles=tuple(self._profiles),
        )

    # --- Routes ---

    def add_route(self, owned_path: OwnedPath, owned: OwnedRoute) -> None:
        route = owned.route
        self._note("route", route.name, route.span, None)
        if route.cors_origins:
            self._add_preflight(owned_path, owned)
        owned_here = _ordinary(owned_path, [owned.id])
        for caller in self._callers(route):
            self._add_caller(route, owned_here, caller)
        if route.authentication is Authentication.REQUIRED:
            self._deny(DenialClass.CREDENTIAL_MISSING, route.name, all_hold(owned_here, ANONYMOUS.test))

    def _callers(self, route: Route) -> list[Caller]:
        if route.authentication is Authentication.NONE:
            return [ANYBODY]
        known = [caller_of(p) for p in self._providers if p.name in route.providers]
        return [ANONYMOUS, *known] if route.authentication is Authentication.OPTIONAL else known

    def _add_caller(self, route: Route, owned_here: Formula, caller: Caller) -> None:
        lowering = RuleLowering(self._set, route, caller, self._note_binding)
        opposing = {rule.id: self._lowered(rule, lowering) for rule in (*route.deny, *route.require)}
        profile, exact = self._profile(route, caller)
        allowing = [(rule, self._lowered(rule, lowering)) for rule in route.allow]
        blocked: list[str] = [rule_id for rule_id, lowered in opposing.items() if lowered is None]
        if profile is None:
            blocked.append(f"{route.name}.upstream_headers")
        if profile is None or blocked:
            self._note_blocked(route, blocked, [rule for rule, lowered in allowing if lowered is not None])
            return
        here = all_hold(owned_here, caller.test, exact)
        unopposed = all_together(lowered for lowered in opposing.values() if lowered is not None)
        exact_allowing = [(rule, lowered) for rule, lowered in allowing if lowered is not None]
        fitting = [
            self._allow(rule, f"{policy_prefix(profile)}{route.name}/{rule.id}/{caller.id}", here, unopposed, lowered)
            for rule, lowered in exact_allowing
        ]
        if all(fitting) and len(fitting) == len(allowing):
            self._add_denials(route, caller, lowering, here, unopposed, exact_allowing)

    def _allow(self, rule: Rule, name: str, here: Formula, unopposed: Lowered, allowing: Lowered) -> bool:
        """Add the policies of a rule; False after noting why they are too many."""
        whole = all_together([unopposed, allowing])
        try:
            alternatives = conjunctions(all_hold(here, whole.formula, whole.guards.formula()))
        except NotExactError as error:
            self._note_rule(rule, str(error))
            return False
        for number, conjunction in enumerate(alternatives):
            self._policies[name if len(alternatives) == 1 else f"{name}/{number:02}"] = conjunction
        return True

    # --- Denials: of what no native policy allows ---

    def _add_denials(
        self,
        route: Route,
        caller: Caller,
        lowering: RuleLowering,
        here: Formula,
        unopposed: Lowered,
        allowing: Sequence[tuple[Rule, Lowered]],
    ) -> None:
        """Say how a request is answered on a route where all is exact for a kind of caller."""
        guards = all_together([unopposed, *(lowered for _, lowered in allowing)]).guards
        if guards.may_fail:
            return
        place = f"{route.name}/{caller.id}"
        guarded = all_hold(here, guards.formula())
        if caller is ANONYMOUS:
            self._deny(DenialClass.CREDENTIAL_MISSING, place, all_hold(guarded, unopposed.formula))
        else:
            unsatisfied = all_hold(*(negation(lowered.formula) for _, lowered in allowing))
            if not self._deny_scopes(route, lowering, place, all_hold(guarded, unopposed.formula, unsatisfied)):
                return
        self._deny(DenialClass.FORBIDDEN, place, guarded)

    def _deny_scopes(self, route: Route, lowering: RuleLowering, place: str, unallowed: Formula) -> bool:
        """Say which scopes a challenge names; False when that takes too many policies: then the authorizer answers."""
        for number, rule in enumerate(route.allow):
            scopes = [key.scopes for key in rule.conditions if isinstance(key, ScopeIs)]
            if scopes:
                others = replace(rule, conditions=tuple(c for c in rule.conditions if not isinstance(c, ScopeIs)))
                lacks_nothing_else = all_hold(unallowed, lowering.holds(others).formula)
                name = scope_denial_name(number, self._number_of(scopes[-1]), place)
                if not self._add_denial(name, lacks_nothing_else):
                    return False
        return True

    def deny_without_route(self, owned_path: OwnedPath) -> None:
        """Answer requests of an owner that has no route for their method."""
        self._deny_nowhere(owned_path.no_route_id, _ordinary(owned_path, [owned_path.no_route_id]))

    def deny_unowned(self) -> None:
        """Answer requests that no route owns."""
        self._deny_nowhere("nowhere", negation(routing.is_classified()))

    def _deny_nowhere(self, place: str, here: Formula) -> None:
        """Without a route a request is authenticated by the default providers, then denied."""
        self._deny(DenialClass.CREDENTIAL_MISSING, place, all_hold(here, ANONYMOUS.test))
        for provider in self._providers:
            if provider.name in self._set.default_providers:
                caller = caller_of(provider)
                self._deny(DenialClass.FORBIDDEN, f"{place}/{caller.id}", all_hold(here, caller.test))

    def _deny(self, denial: DenialClass, place: str, formula: Formula) -> None:
        self._add_denial(denial_name(denial, place), formula)

    def _add_denial(self, name: str, formula: Formula) -> bool:
        """Add the policies of a denial; False when they are too many, so that the authorizer is asked instead."""
        try:
            alternatives = conjunctions(formula)
        except NotExactError:
            return False
        for number, conjunction in enumerate(alternatives):
            self._denials[name if len(alternatives) == 1 else f"{name}/{number:02}"] = conjunction
        return True

    def _number_of(self, scopes: tuple[str, ...]) -> int:
        if scopes not in self._scopes:
            self._scopes.append(scopes)
        return self._scopes.index(scopes)

    # --- Parts ---

    def _lowered(self, rule: Rule, lowering: RuleLowering) -> Lowered | None:
        """What the rule asks of an allowed request, None after noting why it is not exact."""
        try:
            lowered = lowering.fails(rule) if rule.kind is RuleKind.DENY else lowering.holds(rule)
        except NotExactError as error:
            self._note_rule(rule, str(error))
            return None
        self._note_rule(rule, None)
        return lowered

    def _profile(self, route: Route, caller: Caller) -> tuple[int | None, Formula]:
        """The number of the profile and when it is exact; None after noting why there is none."""
        name = f"{route.name}.upstream_headers"
        try:
            profile, exact = profile_of(self._set, route, caller)
        except NotExactError as error:
            self._note("upstream headers", name, route.span, str(error))
            return None, NEVER
        if route.upstream_headers:
            self._note("upstream headers", name, route.span, None)
        if profile not in self._profiles:
            self._profiles.append(profile)
        return self._profiles.index(profile), exact

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
        self._policies[f"{policy_prefix(0)}{route.name}/{route.name}.cors"] = conjunction

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

    def _note_blocked(self, route: Route, blocked: Sequence[str], allowing: Iterable[Rule]) -> None:
        """Rules that are exact in themselves are the authorizer's all the same, beside others that are."""
        for rule in allowing:
            self._note_rule(rule, f"on route {route.name}, {', '.join(blocked)} stays with the authorizer")

    def _note_binding(self, binding: Binding, reason: str | None) -> None:
        self._note("binding", f"{binding.role} at {binding.span}", binding.span, reason)

    def _note(self, kind: str, item_id: str, span: Span | None, reason: str | None) -> None:
        item = self._items.setdefault((kind, item_id), Item(kind, item_id, span))
        if reason is not None:
            item.reasons[reason] = None


def _ordinary(owned_path: OwnedPath, ids: Iterable[str]) -> Formula:
    """Whether a request is classified as one of these and cannot be a preflight."""
    here = routing.classified(ids)
    return all_hold(here, negation(_may_be_preflight())) if owned_path.answers_preflights else here


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
