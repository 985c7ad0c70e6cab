"""Rules as formulas: what must be true for a rule to be satisfied, or for a deny to be certainly not.

A caller's roles, groups and scopes are what the token claims in the provider's places, of the types that the
classification of callers has checked (`callers.py`), and what bindings add: tests of metadata that are never in doubt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from extauthz.lowering.callers import Caller
from extauthz.lowering.conditions import Guards, lower_condition
from extauthz.lowering.document import JsonObject
from extauthz.lowering.formula import ALWAYS, NEVER, Formula, NotExactError, all_hold, constant, negation, one_holds
from extauthz.lowering.jwt_authn import payload_key
from extauthz.lowering.matchers import (
    JWT_AUTHN,
    exactly,
    metadata,
    peer_in,
    peer_is_plain_ip,
    scope_or_member,
    text_or_member,
)
from extauthz.model.policy import (
    Anyone,
    Authenticated,
    Authentication,
    Binding,
    BindingSubject,
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
from extauthz.model.provider import ClaimPath, Provider

OnBinding = Callable[[Binding, str | None], None]
"""Told of each binding that a rule depends on, and why it is not exact where it is not."""


@dataclass(frozen=True, slots=True)
class Lowered:
    """A rule's condition, and what a request must be like for it to be exact."""

    formula: Formula
    guards: Guards = field(default_factory=Guards)


def all_together(rules: Iterable[Lowered]) -> Lowered:
    """All of them: what one needs to be exact, the whole needs."""
    rules = list(rules)
    guards = Guards()
    for rule in rules:
        guards.add(rule.guards)
    return Lowered(all_hold(*(rule.formula for rule in rules)), guards)


class RuleLowering:
    """Lowers the rules of one route for one kind of caller."""

    def __init__(self, policy_set: PolicySet, route: Route, caller: Caller, on_binding: OnBinding) -> None:
        self._set = policy_set
        self._route = route
        self._caller = caller
        self._on_binding = on_binding

    def holds(self, rule: Rule) -> Lowered:
        """When the rule's conditions are all satisfied.

        Raises:
            NotExactError: Envoy cannot tell.
        """
        guards = Guards()
        return Lowered(all_hold(*(self._condition(key, guards) for key in rule.conditions)), guards)

    def fails(self, rule: Rule) -> Lowered:
        """When one of the rule's conditions is certainly not satisfied: neither holds nor errs.

        Raises:
            NotExactError: Envoy cannot tell.
        """
        lowered = self.holds(rule)
        return Lowered(negation(lowered.formula), lowered.guards)

    def _condition(self, key: ConditionKey, guards: Guards) -> Formula:
        provider = self._caller.provider
        match key:
            case Anyone():
                return ALWAYS
            case Authenticated():
                return constant(provider is not None)
            case ProviderIs(providers=names):
                return constant(provider is not None and provider.name in names)
            case RoleIs(roles=roles):
                return self._role(roles, guards)
            case ScopeIs(scopes=scopes):
                return self._asserted(lambda p: p.claims.scopes, scopes, lambda p: p.may_assert.scopes, scope_or_member)
            case GroupIs(groups=groups):
                return self._group(groups)
            case SubjectIs(subjects=subjects):
                return one_holds(*(self._subject(subject) for subject in subjects))
            case RemoteIpIs():
                return self._remote_ip(key, guards)
            case WorkloadIs():
                raise NotExactError("it asks who the mTLS peer is, by the first of the names in its certificate")
            case When(condition=condition):
                return lower_condition(condition, self._route, self._caller, self._set.paths.trailing_slash, guards)

    def _asserted(
        self,
        paths: Callable[[Provider], Iterable[ClaimPath]],
        wanted: Iterable[str],
        allowed: Callable[[Provider], Collection[str] | None],
        matcher: Callable[[Iterable[str]], JsonObject] = text_or_member,
    ) -> Formula:
        """Whether the token claims one of what is wanted, and its provider may assert that."""
        provider = self._caller.provider
        if provider is None:
            return NEVER
        limit = allowed(provider)
        believed = [value for value in wanted if limit is None or value in limit]
        if not believed:
            return NEVER
        return one_holds(
            *(metadata(JWT_AUTHN, (payload_key(provider), *p.keys), matcher(believed)) for p in paths(provider))
        )

    def _group(self, groups: Iterable[str]) -> Formula:
        return self._asserted(lambda p: p.claims.groups, groups, lambda p: p.may_assert.groups)

    def _subject(self, subject: str) -> Formula:
        provider = self._caller.provider
        if provider is None:
            return NEVER
        keys = (payload_key(provider), *provider.claims.subject.keys)
        return metadata(JWT_AUTHN, keys, {"string_match": exactly(subject)})

    def _role(self, wanted: frozenset[str], guards: Guards) -> Formula:
        granting = [b for b in self._set.bindings if self._set.roles[b.role].closure & wanted]
        if self._route.authentication is Authentication.NONE:
            if any(subject.workload is not None for binding in granting for subject in binding.subjects):
                raise NotExactError("a binding gives its role by the mTLS peer's name")
            return NEVER
        if self._caller.provider is None:
            return NEVER
        claiming = [name for name, role in self._set.roles.items() if role.closure & wanted]
        claimed = self._asserted(lambda p: p.claims.roles, claiming, lambda p: p.may_assert.roles)
        return one_holds(claimed, *(self._bound(binding, guards) for binding in granting))

    def _bound(self, binding: Binding, guards: Guards) -> Formula:
        subjects = one_holds(*(self._binds(s) for s in binding.subjects if s.workload is None))
        if binding.when is None:
            self._on_binding(binding, None)
            return subjects
        try:
            when = lower_condition(binding.when, self._route, self._caller, self._set.paths.trailing_slash, guards)
        except NotExactError as error:
            self._on_binding(binding, str(error))
            raise NotExactError(f"the binding of {binding.role} at {binding.span}: {error}") from None
        self._on_binding(binding, None)
        return all_hold(subjects, when)

    def _binds(self, subject: BindingSubject) -> Formula:
        provider = self._caller.provider
        if provider is None or subject.provider not in {None, provider.name}:
            return NEVER
        return all_hold(
            ALWAYS if subject.subject is None else self._subject(subject.subject),
            ALWAYS if subject.group is None else self._group([subject.group]),
        )

    def _remote_ip(self, key: RemoteIpIs, guards: Guards) -> Formula:
        if not key.direct and self._set.trusted_proxies:
            raise NotExactError("it walks X-Forwarded-For past trusted_proxies, where Envoy counts hops")
        # Without an address the authorizer's rule errs, and it takes an IPv4-mapped address for IPv4.
        guards.by_read[("source.address",)] = peer_is_plain_ip()
        return peer_in(key.networks)
