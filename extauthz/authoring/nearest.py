"""The nearest miss of a denial: the smallest sets of facts that would have allowed the request.

For a request to be allowed, no deny may hold, every requirement must be met and one allow must hold. From each rule's
conditions follows which facts are missing, or are too many. Sets that are about the caller alone are tried on the
authorizer, and those that do not allow are dropped; what a condition wants is said and not tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from extauthz.authoring.fact import IMPOSSIBLE, NOTHING_NEEDED, Alternatives, Fact, all_of, any_of, applied, only
from extauthz.authoring.wish import wish
from extauthz.authorizer import Snapshot, authorize_as
from extauthz.languages.cel import CelCondition
from extauthz.languages.cel_parts import parts_of
from extauthz.model.access import Facts, Principal
from extauthz.model.decision import Effect, Outcome, PolicyId
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    BindingSubject,
    Condition,
    ConditionKey,
    GroupIs,
    PolicySet,
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
from extauthz.pdp.evaluate import compile_condition

MAX_MISSES = 5

OF_CALLER = frozenset({"role", "permission", "scope", "group", "subject", "provider", "claim"})
"""Kinds of facts that only an authenticated caller has."""


class Nobody(NamedTuple):
    """No caller is known."""

    refusal: str
    """Why the credential is refused; empty when there is none."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Facts that together would have allowed."""

    rule: PolicyId
    """The allow that would then hold."""
    facts: tuple[Fact, ...]
    tried: bool
    """Whether the authorizer was asked; else the facts are what the rules say."""

    def __str__(self) -> str:
        facts = (f"{fact.text} ({fact.now})" if fact.now else fact.text for fact in self.facts)
        return f"{' and '.join(facts)}  -> {self.rule}"


def nearest_misses(facts: Facts, route: Route, snapshot: Snapshot, nobody: Nobody | None) -> tuple[Miss, ...]:
    """What would have allowed, the smallest sets first; at most `MAX_MISSES`.

    Args:
        facts: the facts of the denied request; of nobody when its caller is not known.
        route: the route that denied it.
        snapshot: the policy set.
        nobody: given when no caller is known.
    """
    search = _Search(facts, route, snapshot.policy_set)
    found: list[Miss] = []
    for rule in route.allow:
        for wanted in search.to_be_allowed_by(rule):
            complete = _with_credential(wanted, route, nobody)
            caller = applied(complete, facts.principal)
            if caller is not None and not _allows(facts, snapshot, caller):
                continue
            ordered = tuple(sorted(complete, key=lambda fact: (fact.kind != "credential", fact.kind, fact.text)))
            found.append(Miss(rule.id, ordered, tried=caller is not None))
    return tuple(sorted(found, key=lambda miss: len(miss.facts))[:MAX_MISSES])


def _allows(facts: Facts, snapshot: Snapshot, caller: Principal) -> bool:
    return authorize_as(facts.request, snapshot, facts.now, caller).effect is Effect.ALLOW


def _with_credential(wanted: frozenset[Fact], route: Route, nobody: Nobody | None) -> frozenset[Fact]:
    """The facts, and the credential that they, or the route, need."""
    is_needed = route.authentication is Authentication.REQUIRED or any(fact.kind in OF_CALLER for fact in wanted)
    if nobody is None or route.authentication is Authentication.NONE:
        return wanted
    now = f"the one presented is refused: {nobody.refusal}" if nobody.refusal else "none is presented"
    if not is_needed:
        return (
            wanted | {Fact("credential", "no credential", now, apply=lambda caller: caller)}
            if nobody.refusal
            else wanted
        )
    provider = route.providers[0]
    someone = Principal(authenticated=True, subject="somebody", provider=provider)
    text = f"a credential of {' or '.join(route.providers)}"
    return wanted | {Fact("credential", text, now, apply=lambda _: someone)}


class _Search:
    """What each condition of one route wants on one request."""

    def __init__(self, facts: Facts, route: Route, policy_set: PolicySet) -> None:
        self._facts = facts
        self._route = route
        self._policy_set = policy_set

    def to_be_allowed_by(self, allow: Rule) -> Alternatives:
        return all_of(
            [
                *(self._to_fail(rule) for rule in self._route.deny),
                *(self._to_hold(rule) for rule in self._route.require),
                self._to_hold(allow),
            ]
        )

    def _to_hold(self, rule: Rule) -> Alternatives:
        return all_of(self._wanted(condition, holds=True) for condition in rule.conditions)

    def _to_fail(self, rule: Rule) -> Alternatives:
        """UNSATISFIED: one condition that does not hold is enough, whatever errs."""
        return any_of(self._wanted(condition, holds=False) for condition in rule.conditions)

    def _wanted(self, condition: ConditionKey, *, holds: bool) -> Alternatives:
        outcome = compile_condition(condition, self._policy_set)(self._facts)
        if outcome is (Outcome.SATISFIED if holds else Outcome.UNSATISFIED):
            return NOTHING_NEEDED
        principal = self._facts.principal
        match condition:
            case Anyone() | Authenticated():
                return NOTHING_NEEDED if holds else IMPOSSIBLE  # a credential is added to what needs one
            case RoleIs():
                return self._role(condition) if holds else self._no_role(condition)
            case ScopeIs(scopes=scopes):
                return _member("scope", scopes, principal.scopes, _with_scope, holds=holds)
            case GroupIs(groups=groups):
                return _member("group", groups, principal.groups, _with_group, holds=holds)
            case SubjectIs(subjects=subjects):
                return _one_of("subject", subjects, principal.subject, _with_subject, holds=holds)
            case ProviderIs(providers=providers):
                names = [name for name in providers if name in self._route.providers]
                return _one_of("provider", names, principal.provider, _with_provider, holds=holds)
            case WorkloadIs(workloads=workloads):
                return _one_of("workload", workloads, self._facts.request.peer_identity or None, None, holds=holds)
            case RemoteIpIs(networks=networks, direct=direct):
                return _one_of(
                    "direct_remote_ip" if direct else "remote_ip", list(map(str, networks)), None, None, holds=holds
                )
            case When(condition=when):
                return self._when(when, holds=holds)

    def _when(self, condition: Condition, *, holds: bool) -> Alternatives:
        if isinstance(condition, CelCondition):
            return wish(parts_of(condition), self._facts, holds=holds)
        return only(Fact("condition", condition.text if holds else f"not: {condition.text}"))

    # --- Roles ---

    def _role(self, condition: RoleIs) -> Alternatives:
        return any_of([self._credential_with_role(condition), *self._bound_to_role(condition.roles)])

    def _credential_with_role(self, condition: RoleIs) -> Alternatives:
        """The credential asserts a role: of several, one that brings the least."""
        if self._route.authentication is Authentication.NONE:
            return IMPOSSIBLE  # no credential is looked at
        declared = self._policy_set.roles
        least = [r for r in sorted(condition.roles) if not (declared[r].closure - {r}) & condition.roles]
        if condition.permissions and least:
            text = f"permission {' or '.join(condition.permissions)} (role {' or '.join(least)})"
            return only(Fact("permission", text, apply=_with_role(least[0])))
        return any_of(only(Fact("role", f"role {role}", apply=_with_role(role))) for role in least)

    def _bound_to_role(self, roles: frozenset[str]) -> Iterable[Alternatives]:
        """A binding gives a role: the caller is one of those bound, and its condition holds."""
        for binding in self._policy_set.bindings:
            if self._policy_set.roles[binding.role].closure & roles:
                met = NOTHING_NEEDED if binding.when is None else self._when(binding.when, holds=True)
                if binding.when is not None and binding.when.evaluate(self._facts) is Outcome.SATISFIED:
                    met = NOTHING_NEEDED
                yield all_of([any_of(self._bound(subject) for subject in binding.subjects), met])

    def _bound(self, subject: BindingSubject) -> Alternatives:
        principal = self._facts.principal
        if (subject.workload is not None) is not (self._route.authentication is Authentication.NONE):
            return IMPOSSIBLE
        if subject.workload is not None:
            return _one_of("workload", [subject.workload], self._facts.request.peer_identity or None, None, holds=True)
        if subject.provider is not None and subject.provider not in self._route.providers:
            return IMPOSSIBLE
        wanted: list[Alternatives] = []
        if subject.subject is not None and subject.subject != principal.subject:
            wanted.append(_one_of("subject", [subject.subject], principal.subject, _with_subject, holds=True))
        if subject.group is not None and subject.group not in principal.groups:
            wanted.append(_member("group", [subject.group], principal.groups, _with_group, holds=True))
        if subject.provider is not None and principal.authenticated and subject.provider != principal.provider:
            wanted.append(_one_of("provider", [subject.provider], principal.provider, _with_provider, holds=True))
        return all_of(wanted)

    def _no_role(self, condition: RoleIs) -> Alternatives:
        """None of the roles is held, or in doubt: how it came to be held is for the author to see."""
        holding = self._facts.roles
        roles = sorted(condition.roles & (holding.held | holding.errored))
        return only(Fact("role", f"not role {' nor '.join(roles)}"))


_Change = Callable[[Principal], Principal]


def _with_role(role: str) -> _Change:
    return lambda caller: replace(caller, roles=(*caller.roles, role))


def _with_scope(scope: str) -> _Change:
    return lambda caller: replace(caller, scopes=(*caller.scopes, scope))


def _with_group(group: str) -> _Change:
    return lambda caller: replace(caller, groups=(*caller.groups, group))


def _with_subject(subject: str) -> _Change:
    return lambda caller: replace(caller, subject=subject)


def _with_provider(provider: str) -> _Change:
    return lambda caller: replace(caller, provider=provider)


def _member(
    kind: str, wanted: Sequence[str], had: Sequence[str], change: Callable[[str], _Change], *, holds: bool
) -> Alternatives:
    """One of the values among those that the caller has, or none of them."""
    if not holds:
        return only(Fact(kind, f"not {kind} {' nor '.join(value for value in wanted if value in had)}"))
    return any_of(only(Fact(kind, f"{kind} {value}", apply=change(value))) for value in wanted)


def _one_of(
    kind: str, wanted: Sequence[str], had: str | None, change: Callable[[str], _Change] | None, *, holds: bool
) -> Alternatives:
    """The one value that the request has is one of these, or is none of them."""
    now = f"it is {had}" if had else ""
    if not holds:
        return only(Fact(kind, f"{kind} is not {' nor '.join(wanted)}", now))
    return any_of(
        only(Fact(kind, f"{kind} {value}", now, apply=None if change is None else change(value))) for value in wanted
    )
