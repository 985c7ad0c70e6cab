"""Rules become functions of the facts once, at load; a request only calls them.

Within a rule UNSATISFIED beats ERRORED beats SATISFIED, in any order; over the values of one key SATISFIED beats
ERRORED. A `require` is a deny of its negation, errors included.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from extauthz.model.access import Facts
from extauthz.model.decision import Decision, Outcome, Reason, Verdict
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    ConditionKey,
    GroupIs,
    Network,
    PolicySet,
    ProviderIs,
    RemoteIpIs,
    RoleIs,
    Route,
    Rule,
    RuleKind,
    ScopeIs,
    SubjectIs,
    When,
    WorkloadIs,
)
from extauthz.pdp.combine import combine
from extauthz.pdp.remote_ip import direct_remote_ip, in_networks, remote_ip
from extauthz.pdp.workload import workload_matches, workload_of

Check: TypeAlias = Callable[[Facts], Outcome]

_SATISFIED, _UNSATISFIED, _ERRORED = Outcome.SATISFIED, Outcome.UNSATISFIED, Outcome.ERRORED


def _outcome(holds: bool) -> Outcome:  # noqa: FBT001 - the one place where a truth becomes an outcome
    return _SATISFIED if holds else _UNSATISFIED


def compile_condition(condition: ConditionKey, policy_set: PolicySet) -> Check:
    """The condition as a function; it raises nothing."""
    match condition:
        case Anyone():
            return lambda _: _SATISFIED
        case Authenticated():
            return lambda facts: _outcome(facts.principal.authenticated)
        case RoleIs(roles=roles):
            return lambda facts: _role_outcome(facts, roles)
        case ScopeIs(scopes=scopes):
            return lambda facts: _outcome(any(scope in facts.principal.scopes for scope in scopes))
        case GroupIs(groups=groups):
            return lambda facts: _outcome(any(group in facts.principal.groups for group in groups))
        case SubjectIs(subjects=subjects):
            return lambda facts: _outcome(facts.principal.subject in subjects)
        case ProviderIs(providers=providers):
            return lambda facts: _outcome(facts.principal.provider in providers)
        case WorkloadIs(workloads=workloads):
            domains = frozenset(policy_set.trust_domains)
            return lambda facts: _workload_outcome(facts, workloads, domains)
        case RemoteIpIs():
            proxies = policy_set.trusted_proxies
            return lambda facts: _remote_ip_outcome(facts, condition, proxies)
        case When(condition=when):
            return when.evaluate


def _role_outcome(facts: Facts, roles: frozenset[str]) -> Outcome:
    holding = facts.roles
    if not roles.isdisjoint(holding.held):
        return _SATISFIED
    return _UNSATISFIED if roles.isdisjoint(holding.errored) else _ERRORED


def _workload_outcome(facts: Facts, workloads: Sequence[str], domains: frozenset[str]) -> Outcome:
    identity = workload_of(facts.request, domains)
    return _outcome(identity is not None and any(workload_matches(identity, pattern) for pattern in workloads))


def _remote_ip_outcome(facts: Facts, condition: RemoteIpIs, proxies: Sequence[Network]) -> Outcome:
    address = direct_remote_ip(facts.request) if condition.direct else remote_ip(facts.request, proxies)
    return _ERRORED if address is None else _outcome(in_networks(address, condition.networks))


class CompiledRule:
    """A rule with its three verdicts made ahead."""

    __slots__ = ("_checks", "_errored", "_satisfied", "_unsatisfied", "rule")

    def __init__(self, rule: Rule, policy_set: PolicySet) -> None:
        self.rule = rule
        self._checks = tuple(compile_condition(condition, policy_set) for condition in rule.conditions)
        holds, fails = Outcome.SATISFIED, Outcome.UNSATISFIED
        if rule.kind is RuleKind.REQUIRE:
            holds, fails = fails, holds
        self._satisfied = Verdict(rule.id, rule.effect, holds)
        self._unsatisfied = Verdict(rule.id, rule.effect, fails)
        self._errored = Verdict(rule.id, rule.effect, Outcome.ERRORED)

    def verdict(self, facts: Facts) -> Verdict:
        verdict = self._satisfied
        for check in self._checks:
            outcome = check(facts)
            if outcome is _UNSATISFIED:
                return self._unsatisfied
            if outcome is not _SATISFIED:
                verdict = self._errored
        return verdict

    def missing_scopes(self, facts: Facts) -> tuple[str, ...]:
        """The scopes any of which would satisfy the rule, when a scope alone is what it lacks; else none."""
        missing: tuple[str, ...] = ()
        for condition, check in zip(self.rule.conditions, self._checks, strict=True):
            if check(facts) is _SATISFIED:
                continue
            if not isinstance(condition, ScopeIs):
                return ()
            missing = condition.scopes
        return missing


_REMEMBERED_COMBINATIONS: Final = 256
_RULINGS: Final = itertools.count()


class Ruling:
    """What the law says about one combination of the verdicts of one route."""

    __slots__ = ("combined", "derived", "number")

    def __init__(self, combined: Decision) -> None:
        self.combined = combined
        self.number = next(_RULINGS)
        """Its own among all rulings of this process, ever: a key that outlives it finds nothing."""
        self.derived: dict[object, object] = {}
        """What callers' own `derived` holds, for callers that nobody knows."""


class RouteRules:
    """The rules of one route, compiled.

    Each rule has three verdicts, made ahead, and few combinations of them ever come up: what the law says about one is
    remembered.
    """

    __slots__ = ("_allow", "_kinds", "_rules", "_rulings", "looks_for_scopes")

    def __init__(self, route: Route, policy_set: PolicySet) -> None:
        self._allow = tuple(CompiledRule(rule, policy_set) for rule in route.allow)
        self._rules = (*(CompiledRule(rule, policy_set) for rule in (*route.deny, *route.require)), *self._allow)
        self._kinds = {rule.id: rule.kind for rule in (*route.deny, *route.require)}
        self.looks_for_scopes = any(isinstance(each, ScopeIs) for rule in route.allow for each in rule.conditions)
        """Whether `missing_scopes` looks at the request; otherwise there are none."""
        # By the verdicts' identities: INVARIANT: they live in the rules, as long as this does.
        self._rulings: dict[tuple[int, ...], Ruling] = {}

    def decide(self, facts: Facts) -> Ruling:
        """Evaluate every rule and combine; the same combination of verdicts gives the same ruling."""
        verdicts = [rule.verdict(facts) for rule in self._rules]
        combination = tuple(map(id, verdicts))
        ruling = self._rulings.get(combination)
        if ruling is None:
            ruling = Ruling(combine(verdicts))
            if len(self._rulings) < _REMEMBERED_COMBINATIONS:
                self._rulings[combination] = ruling
        return ruling

    def reason(self, decision: Decision, *, anonymous: bool) -> Reason:
        """Why `decide` denied. `anonymous`: nobody was authenticated on a route where that is optional."""
        decided = {self._kinds[policy] for policy in decision.policies if policy not in decision.errors}
        if RuleKind.DENY in decided:
            return Reason.DENIED_BY_POLICY
        if RuleKind.REQUIRE in decided:
            return Reason.REQUIREMENT_FAILED
        if decision.policies:
            return Reason.EVALUATION_ERROR
        if anonymous:
            return Reason.CREDENTIAL_MISSING
        return Reason.EVALUATION_ERROR if decision.errors else Reason.NO_MATCHING_ALLOW

    def missing_scopes(self, facts: Facts) -> tuple[str, ...]:
        """For the challenge of a denial: the scopes of the first allow rule that lacks nothing else."""
        for rule in self._allow:
            scopes = rule.missing_scopes(facts)
            if scopes:
                return scopes
        return ()
