"""Which roles a caller holds: what the credential asserts, what bindings add, and all that these inherit.

Bindings on the principal alone are resolved once per principal (its *standing* roles); bindings with a condition or a
workload are resolved per request, and only when a rule asks. A binding whose condition errors makes its roles ERRORED,
not absent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from extauthz.model.access import Facts, Principal, RoleHolding
from extauthz.model.decision import Outcome
from extauthz.model.policy import Authentication, Binding, BindingSubject, Condition, Role
from extauthz.pdp.workload import workload_matches, workload_of

_NO_ROLES = RoleHolding()
_MEMO_KEY = "standing_roles"


@dataclass(frozen=True, slots=True)
class _Grant:
    """One binding, with the roles it gives."""

    roles: frozenset[str]
    subjects: tuple[BindingSubject, ...]
    when: Condition | None


class RoleResolver:
    """Resolves roles under one policy set."""

    __slots__ = ("_of_principal", "_of_request", "_of_workload", "_roles", "_trust_domains")

    def __init__(self, roles: Mapping[str, Role], bindings: Sequence[Binding], trust_domains: Sequence[str]) -> None:
        self._roles = roles
        self._trust_domains = tuple(trust_domains)
        self._of_principal: list[_Grant] = []
        self._of_request: list[_Grant] = []
        self._of_workload: list[_Grant] = []
        for binding in bindings:
            closure = roles[binding.role].closure
            people = tuple(s for s in binding.subjects if s.workload is None)
            workloads = tuple(s for s in binding.subjects if s.workload is not None)
            if people:
                into = self._of_principal if binding.when is None else self._of_request
                into.append(_Grant(closure, people, binding.when))
            if workloads:
                self._of_workload.append(_Grant(closure, workloads, binding.when))

    def for_route(self, authentication: Authentication) -> Callable[[Facts], RoleHolding]:
        """The resolver for a route: workload bindings count only where authentication is none."""
        if authentication is Authentication.NONE:
            return self._resolve_workload if self._of_workload else lambda _: _NO_ROLES
        return self._resolve_principal

    def standing(self, principal: Principal) -> RoleHolding:
        """The roles that follow from the principal alone."""
        if not principal.authenticated:
            return _NO_ROLES
        known = principal.derived.get(_MEMO_KEY)
        if isinstance(known, RoleHolding):
            return known
        held: set[str] = set()
        for name in principal.roles:
            role = self._roles.get(name)
            if role is not None:
                held |= role.closure
        for grant in self._of_principal:
            if any(_is_bound(subject, principal) for subject in grant.subjects):
                held |= grant.roles
        holding = RoleHolding(frozenset(held))
        principal.derived[_MEMO_KEY] = holding
        return holding

    def _resolve_principal(self, facts: Facts) -> RoleHolding:
        standing = self.standing(facts.principal)
        if not self._of_request or not facts.principal.authenticated:
            return standing
        return _add_conditional(
            standing.held, self._of_request, facts, lambda subject: _is_bound(subject, facts.principal)
        )

    def _resolve_workload(self, facts: Facts) -> RoleHolding:
        identity = workload_of(facts.request, self._trust_domains)
        if identity is None:
            return _NO_ROLES
        return _add_conditional(frozenset(), self._of_workload, facts, lambda subject: _is_workload(subject, identity))


def _add_conditional(
    held: frozenset[str], grants: Sequence[_Grant], facts: Facts, is_bound: Callable[[BindingSubject], bool]
) -> RoleHolding:
    errored: frozenset[str] = frozenset()
    for grant in grants:
        if grant.roles <= held or not any(is_bound(subject) for subject in grant.subjects):
            continue
        outcome = Outcome.SATISFIED if grant.when is None else grant.when.evaluate(facts)
        if outcome is Outcome.SATISFIED:
            held |= grant.roles
        elif outcome is Outcome.ERRORED:
            errored |= grant.roles
    return RoleHolding(held, errored - held)


def binds(subject: BindingSubject, facts: Facts, authentication: Authentication, trust_domains: Sequence[str]) -> bool:
    """Whether a binding's subject is the caller or, on a route whose authentication is none, the workload."""
    if authentication is Authentication.NONE:
        identity = workload_of(facts.request, trust_domains)
        return identity is not None and _is_workload(subject, identity)
    return subject.workload is None and facts.principal.authenticated and _is_bound(subject, facts.principal)


def _is_bound(subject: BindingSubject, principal: Principal) -> bool:
    return (
        (subject.subject is None or subject.subject == principal.subject)
        and (subject.group is None or subject.group in principal.groups)
        and (subject.provider is None or subject.provider == principal.provider)
    )


def _is_workload(subject: BindingSubject, identity: str) -> bool:
    # On a route without authentication there is no principal: an item that also names one cannot hold.
    return (
        subject.workload is not None
        and subject.subject is None
        and subject.group is None
        and subject.provider is None
        and workload_matches(identity, subject.workload)
    )
