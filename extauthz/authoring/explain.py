"""Why a request is decided as it is: every step of the decision, every rule of the route and every part of a condition.

The decision itself is `extauthz.authorizer`'s and is given; what is said here comes from the same compiled set: the
same reader of paths, table of routes, authenticators, roles and rules. No rule is left out because another one had
decided already.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authoring.describe import describe_condition, describe_having
from extauthz.authoring.nearest import Miss, Nobody, nearest_misses
from extauthz.authoring.route_choice import PassedOver, passed_over
from extauthz.authorizer import CompiledRoute, Snapshot
from extauthz.errors import DecidedError, RequestError
from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_parts import PartResult, parts_of
from extauthz.model.access import ANONYMOUS, AccessRequest, Facts, Principal
from extauthz.model.decision import Decision, Effect, Outcome, Reason
from extauthz.model.policy import Authentication, Binding, Condition, ConditionKey, Route, Rule, RuleKind, When
from extauthz.pdp.canonical import Segments, canonical_host
from extauthz.pdp.evaluate import CompiledRule, compile_condition
from extauthz.pdp.roles import binds
from extauthz.pdp.upstream import UpstreamHeaderInvalidError


@dataclass(frozen=True, slots=True)
class ConditionFinding:
    """One condition on one request."""

    text: str
    """As in the policy: `role: admin`, `when: path.id == principal.subject`."""
    outcome: Outcome
    having: str
    """What the request has where the condition asks."""
    parts: PartResult | None
    """Of a CEL condition: what each part comes to."""


@dataclass(frozen=True, slots=True)
class RuleFinding:
    """One rule on one request: whether what it says holds, also of a `require` (a deny of its negation elsewhere)."""

    rule: Rule
    outcome: Outcome
    conditions: tuple[ConditionFinding, ...]


@dataclass(frozen=True, slots=True)
class BindingFinding:
    """One binding on one request."""

    binding: Binding
    is_subject: bool
    """Whether the caller, or the workload, is one of those bound."""
    outcome: Outcome
    """Of the whole: SATISFIED gives the role."""
    parts: PartResult | None
    """Of its condition, when the caller is bound."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What comes of each step, as far as the decision went."""

    decision: Decision
    path: str | None
    """Canonical; None when the path has no single reading."""
    host: str | None
    """Canonical; None when it is no host, or was not looked at."""
    refusal: str
    """Why path, host or credential are refused; empty when they are not."""
    route: Route | None
    passed_over: tuple[PassedOver, ...]
    variables: tuple[tuple[str, str], ...]
    """What the path binds."""
    caller: Principal | None
    """None when authentication was not reached, or refused."""
    roles: tuple[str, ...]
    """Every role the caller holds there, sorted: asserted or bound, inherited ones included."""
    errored_roles: tuple[str, ...]
    """Roles that a binding might have given, had its condition not failed."""
    bindings: tuple[BindingFinding, ...]
    rules: tuple[RuleFinding, ...]
    """Denies, then requires, then allows; none when no rule was reached."""
    law: str
    """What follows from the above, and why."""
    misses: tuple[Miss, ...]
    """Of a denial: what would have allowed, the smallest sets of facts first."""


def explain(
    request: AccessRequest, decision: Decision, snapshot: Snapshot, now: float, principal: Principal | None = None
) -> Explanation:
    """Say how a decision came about.

    Args:
        request: the request.
        decision: what was decided about it, under the same snapshot and time.
        snapshot: the policy set.
        now: seconds since the epoch.
        principal: who was assumed to ask, instead of whom the credentials prove.
    """
    return _Explainer(request, decision, snapshot, now, principal).explain()


@dataclass(slots=True)
class _Explainer:
    request: AccessRequest
    decision: Decision
    snapshot: Snapshot
    now: float
    principal: Principal | None
    path: str | None = None
    host: str | None = None
    refusal: str = ""
    compiled: CompiledRoute | None = None
    routes: tuple[PassedOver, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()

    def explain(self) -> Explanation:
        segments = self._read()
        if segments is None or self.host is None:
            return self._explanation(None, None)
        method = self.request.method
        if self.decision.reason is Reason.PREFLIGHT:
            method = self.request.header_values("access-control-request-method")[0]
        self._find_route(self.host, segments, method)
        if self.decision.reason is Reason.PREFLIGHT:
            return self._explanation(None, None)
        caller = self._authenticate()
        facts = self._facts(caller or ANONYMOUS, self.host) if self.compiled is not None else None
        return self._explanation(caller, facts)

    def _read(self) -> Segments | None:
        try:
            segments = self.snapshot.paths.read(self.request.target)
            self.path = "/" + "/".join(segments)
            self.host = canonical_host(self.request.host)
        except RequestError as error:
            self.refusal = str(error)
            return None
        return segments

    def _find_route(self, host: str, segments: Segments, method: str) -> None:
        owner, captured = self.snapshot.routes.find(host, segments) or (None, ())
        self.compiled = owner.for_method(method) if owner is not None else None
        route = self.compiled.route if self.compiled is not None else None
        self.routes = passed_over(self.snapshot.policy_set.routes, host, segments, method, route)
        if self.compiled is not None:
            # An unnamed `**` is captured too.
            self.variables = tuple(zip(self.compiled.variables, captured, strict=False))

    def _authenticate(self) -> Principal | None:
        authenticator = self.snapshot.unowned if self.compiled is None else self.compiled.authenticator
        if authenticator is None:
            return ANONYMOUS
        if self.principal is not None:
            return self.principal
        try:
            caller = authenticator.authenticate(self.request, self.now)
        except DecidedError as error:
            self.refusal = str(error)
            return None
        if isinstance(caller, NeedKeySet):
            self.refusal = f"the keys of provider {caller.provider.name} are not at hand"
            return None
        return caller

    def _facts(self, caller: Principal, host: str) -> Facts:
        compiled = self.compiled
        if compiled is None or self.path is None:
            raise ValueError("no rule is reached without a route")
        return Facts(
            request=self.request,
            host=host,
            path=self.path,
            path_variables=dict(self.variables),
            principal=caller,
            now=self.now,
            resolve_roles=compiled.resolve_roles,
        )

    def _explanation(self, caller: Principal | None, facts: Facts | None) -> Explanation:
        reached = facts is not None and self._rules_are_reached(caller)
        roles = facts.roles if facts is not None and reached else None
        return Explanation(
            decision=self.decision,
            path=self.path,
            host=self.host,
            refusal=self.refusal,
            route=self.compiled.route if self.compiled is not None else None,
            passed_over=self.routes,
            variables=self.variables,
            caller=caller,
            roles=tuple(sorted(roles.held)) if roles else (),
            errored_roles=tuple(sorted(roles.errored)) if roles else (),
            bindings=tuple(self._bindings(facts)) if facts is not None and reached else (),
            rules=tuple(self._rules(facts)) if facts is not None and reached else (),
            law=self._law(facts),
            misses=self._misses(caller, facts),
        )

    def _rules_are_reached(self, caller: Principal | None) -> bool:
        required = self.compiled is not None and self.compiled.route.authentication is Authentication.REQUIRED
        return caller is not None and (caller.authenticated or not required)

    # --- Rules ---

    def _rules(self, facts: Facts) -> Iterable[RuleFinding]:
        route = self.compiled.route if self.compiled is not None else None
        for rule in (*route.deny, *route.require, *route.allow) if route is not None else ():
            outcome = CompiledRule(rule, self.snapshot.policy_set).verdict(facts).outcome
            if rule.kind is RuleKind.REQUIRE:
                outcome = _NEGATED[outcome]
            conditions = tuple(self._condition(condition, facts) for condition in rule.conditions)
            yield RuleFinding(rule, outcome, conditions)

    def _condition(self, condition: ConditionKey, facts: Facts) -> ConditionFinding:
        policy_set = self.snapshot.policy_set
        return ConditionFinding(
            describe_condition(condition),
            compile_condition(condition, policy_set)(facts),
            describe_having(condition, facts, policy_set),
            _parts(condition.condition, facts) if isinstance(condition, When) else None,
        )

    def _bindings(self, facts: Facts) -> Iterable[BindingFinding]:
        authentication = self.compiled.route.authentication if self.compiled is not None else Authentication.REQUIRED
        policy_set = self.snapshot.policy_set
        for binding in policy_set.bindings:
            is_subject = any(binds(s, facts, authentication, policy_set.trust_domains) for s in binding.subjects)
            outcome = Outcome.SATISFIED if is_subject else Outcome.UNSATISFIED
            if is_subject and binding.when is not None:
                outcome = binding.when.evaluate(facts)
            parts = _parts(binding.when, facts) if is_subject and binding.when is not None else None
            yield BindingFinding(binding, is_subject, outcome, parts)

    # --- What follows ---

    def _law(self, facts: Facts | None) -> str:
        reason = self.decision.reason
        if reason is Reason.UPSTREAM_HEADER_INVALID and facts is not None and self.compiled is not None:
            try:
                self.compiled.upstream.render(facts)
            except UpstreamHeaderInvalidError as error:
                return f"{_LAWS[reason]}: {error}"
        if reason is Reason.CREDENTIAL_MISSING and not self._authentication_is_optional():
            return "a credential is required, and none is presented"
        return _LAWS.get(reason, f"the request is refused before any rule: {reason}")

    def _authentication_is_optional(self) -> bool:
        return self.compiled is not None and self.compiled.route.authentication is Authentication.OPTIONAL

    def _misses(self, caller: Principal | None, facts: Facts | None) -> tuple[Miss, ...]:
        if facts is None or self.compiled is None or self.decision.effect is Effect.ALLOW:
            return ()
        if self.decision.reason is Reason.UPSTREAM_HEADER_INVALID:
            return ()
        nobody = Nobody(self.refusal) if caller is None else Nobody("") if not caller.authenticated else None
        return nearest_misses(facts, self.compiled.route, self.snapshot, nobody)


_NEGATED = {
    Outcome.SATISFIED: Outcome.UNSATISFIED,
    Outcome.UNSATISFIED: Outcome.SATISFIED,
    Outcome.ERRORED: Outcome.ERRORED,
}

_LAWS = {
    Reason.ALLOWED: "no deny holds, every requirement is met, and an allow holds",
    Reason.PREFLIGHT: "a CORS preflight from a listed origin passes without credentials and rules",
    Reason.NO_ROUTE: "no route owns the request, and what no route owns is denied",
    Reason.DENIED_BY_POLICY: "a deny holds, and a deny overrides every allow",
    Reason.REQUIREMENT_FAILED: "a requirement is not met, which denies whatever allows",
    Reason.EVALUATION_ERROR: "a rule cannot be evaluated, and an error never widens access: an erring deny or "
    "requirement denies, an erring allow does not allow",
    Reason.NO_MATCHING_ALLOW: "no allow holds, and what nothing allows is denied",
    Reason.INSUFFICIENT_SCOPE: "no allow holds, and of one a scope alone is missing",
    Reason.CREDENTIAL_MISSING: "nobody is authenticated, and nothing allows the anonymous",
    Reason.UPSTREAM_HEADER_INVALID: "an allow holds, but a header for the upstream cannot be set faithfully",
}


def _parts(condition: Condition, facts: Facts) -> PartResult | None:
    return parts_of(condition).trace(facts) if isinstance(condition, CelCondition) else None
