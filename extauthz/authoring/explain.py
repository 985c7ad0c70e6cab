"""Why a request is decided as it is: every step of the decision, every rule of the route and every part of a condition.

The decision itself is `extauthz.authorizer`'s and is given; what is said here comes from the same compiled set: the
same reader of paths, table of routes, authenticators, roles and rules. No rule is left out because another one had
decided already.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from extauthz.authoring.describe import describe_condition, describe_having
from extauthz.authoring.nearest import Miss, Nobody, nearest_misses
from extauthz.authoring.route_choice import PassedOver, passed_over
from extauthz.authoring.steps import Steps, take_steps
from extauthz.authorizer import CompiledRoute, Snapshot
from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_parts import PartResult, parts_of
from extauthz.languages.rego.condition import RegoCondition, RegoTrace
from extauthz.languages.rego.decision import RegoDecision
from extauthz.model.access import AccessRequest, Facts, Principal
from extauthz.model.decision import Decision, Effect, Outcome, Reason
from extauthz.model.policy import (
    Authentication,
    Binding,
    Condition,
    ConditionKey,
    PolicySet,
    Route,
    Rule,
    RuleKind,
    When,
)
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
    rego: RegoTrace | None = None
    """Of one in Rego: which rules ran."""


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
    preflight = decision.reason is Reason.PREFLIGHT
    method = request.header_values("access-control-request-method")[0] if preflight else request.method
    steps = take_steps(request, snapshot, now, principal, method=method)
    facts = None if preflight else steps.facts()
    compiled, route = steps.compiled, steps.compiled.route if steps.compiled is not None else None
    routes = snapshot.policy_set.routes
    others = (
        passed_over(routes, steps.host, steps.segments, method, route)
        if steps.host is not None and steps.segments is not None
        else ()
    )
    seen = _Seen(facts, compiled, snapshot) if facts is not None and compiled is not None else None
    reached = seen if steps.reach_rules else None
    return Explanation(
        decision=decision,
        path=steps.path,
        host=steps.host,
        refusal="" if preflight else steps.refusal,
        route=route,
        passed_over=others,
        variables=steps.variables,
        caller=None if preflight else steps.caller,
        roles=tuple(sorted(reached.facts.roles.held)) if reached else (),
        errored_roles=tuple(sorted(reached.facts.roles.errored)) if reached else (),
        bindings=tuple(reached.bindings()) if reached else (),
        rules=tuple(reached.rules()) if reached else (),
        law=_law(decision, seen),
        misses=seen.misses(decision, steps) if seen else (),
    )


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Of an explanation what a failed test says: why a request got no further, and what was missing."""

    refusal: str
    passed_over: tuple[PassedOver, ...]
    """The routes that nearly own the request, where none does."""
    misses: tuple[Miss, ...]


def shortfall(
    request: AccessRequest, decision: Decision, snapshot: Snapshot, now: float, principal: Principal | None = None
) -> Shortfall:
    """The same as `explain` has it, without looking at what is not said: ten thousand tests may fail at once."""
    preflight = decision.reason is Reason.PREFLIGHT
    method = request.header_values("access-control-request-method")[0] if preflight else request.method
    steps = take_steps(request, snapshot, now, principal, method=method)
    refusal = "" if preflight else steps.refusal
    if steps.compiled is None:
        if steps.host is None or steps.segments is None:
            return Shortfall(refusal, (), ())
        return Shortfall(refusal, passed_over(snapshot.policy_set.routes, steps.host, steps.segments, method, None), ())
    facts = None if preflight else steps.facts()
    misses = () if facts is None else _Seen(facts, steps.compiled, snapshot).misses(decision, steps)
    return Shortfall(refusal, (), misses)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The rules of a route on one request."""

    facts: Facts
    compiled: CompiledRoute
    snapshot: Snapshot

    def rules(self) -> Iterator[RuleFinding]:
        route = self.compiled.route
        for rule in (*route.deny, *route.require, *route.allow):
            outcome = rule_outcome(rule, self.facts, self.snapshot.policy_set)
            yield RuleFinding(rule, outcome, tuple(self._condition(condition) for condition in rule.conditions))

    def _condition(self, condition: ConditionKey) -> ConditionFinding:
        policy_set = self.snapshot.policy_set
        return ConditionFinding(
            describe_condition(condition),
            compile_condition(condition, policy_set)(self.facts),
            describe_having(condition, self.facts, policy_set),
            _parts(condition.condition, self.facts) if isinstance(condition, When) else None,
            _rego(condition.condition, self.facts) if isinstance(condition, When) else None,
        )

    def bindings(self) -> Iterator[BindingFinding]:
        policy_set = self.snapshot.policy_set
        for binding in policy_set.bindings:
            is_subject, outcome = binding_outcome(binding, self.facts, self.compiled.route, policy_set)
            parts = _parts(binding.when, self.facts) if is_subject and binding.when is not None else None
            yield BindingFinding(binding, is_subject, outcome, parts)

    def misses(self, decision: Decision, steps: Steps) -> tuple[Miss, ...]:
        if decision.effect is Effect.ALLOW or decision.reason is Reason.UPSTREAM_HEADER_INVALID:
            return ()
        known = steps.caller is not None and steps.caller.authenticated
        return nearest_misses(self.facts, self.compiled.route, self.snapshot, None if known else Nobody(steps.refusal))


def rule_outcome(rule: Rule, facts: Facts, policy_set: PolicySet) -> Outcome:
    """Whether what the rule says holds, also of a `require`."""
    outcome = CompiledRule(rule, policy_set).verdict(facts).outcome
    return _NEGATED[outcome] if rule.kind is RuleKind.REQUIRE else outcome


def binding_outcome(binding: Binding, facts: Facts, route: Route, policy_set: PolicySet) -> tuple[bool, Outcome]:
    """Whether the caller, or the workload, is one of those bound, and whether the binding gives its role."""
    is_subject = any(binds(s, facts, route.authentication, policy_set.trust_domains) for s in binding.subjects)
    if is_subject and binding.when is not None:
        return True, binding.when.evaluate(facts)
    return is_subject, Outcome.SATISFIED if is_subject else Outcome.UNSATISFIED


_NEGATED = {
    Outcome.SATISFIED: Outcome.UNSATISFIED,
    Outcome.UNSATISFIED: Outcome.SATISFIED,
    Outcome.ERRORED: Outcome.ERRORED,
}

_DECIDED = {
    Reason.DENIED_BY_POLICY: "the route's own decision is no, and nothing else allows there",
    Reason.DEADLINE_EXCEEDED: "the route's own decision was stopped before there was one: without one nothing passes",
}
"""Where a Rego rule decides about the route's requests as a whole."""

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


def _law(decision: Decision, seen: _Seen | None) -> str:
    reason = decision.reason
    if seen is not None and seen.compiled.route.decision is not None and reason in _DECIDED:
        stands_alone = seen.compiled.route.allow[0].id
        if reason is Reason.DEADLINE_EXCEEDED or decision.policies == (stands_alone,):
            return _DECIDED[reason]
    if reason is Reason.CREDENTIAL_MISSING and (
        seen is None or seen.compiled.route.authentication is not Authentication.OPTIONAL
    ):
        return "a credential is required, and none is presented"
    if reason is Reason.UPSTREAM_HEADER_INVALID and seen is not None:
        try:
            seen.compiled.upstream.render(seen.facts)
        except UpstreamHeaderInvalidError as error:
            return f"{_LAWS[reason]}: {error}"
    return _LAWS.get(reason, f"the request is refused before any rule: {reason}")


def _parts(condition: Condition, facts: Facts) -> PartResult | None:
    return parts_of(condition).trace(facts) if isinstance(condition, CelCondition) else None


def _rego(condition: Condition, facts: Facts) -> RegoTrace | None:
    rule = condition.rule if isinstance(condition, RegoDecision) else condition
    return rule.trace(facts) if isinstance(rule, RegoCondition) else None
