"""Credentials that stand for all: one of each kind that some rule or binding of either set tells from the others.

What a credential asserts is a set of roles, groups and scopes. Rules ask whether one of theirs is among them, so two
sets that answer every such question alike are alike, and every set is like the union of what its members answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

from extauthz.authoring.truth import BoundHitError
from extauthz.model.access import Principal
from extauthz.model.policy import (
    Authentication,
    Binding,
    BindingSubject,
    GroupIs,
    PolicySet,
    RoleIs,
    Route,
    ScopeIs,
    SubjectIs,
)
from extauthz.model.provider import ApiKey, Provider

MAX_KINDS: Final = 1024
"""Of combinations of one attribute's values, and of the credentials of one provider."""

SOMEBODY: Final = "somebody"
_CALLER: Final = Principal(authenticated=True)


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller presents. The sets differ in what they make of it."""

    provider: str
    subject: str
    roles: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    api_key: str | None = None
    """The SHA-256 of a key, which alone says who holds it."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the sets, and which of its routes decides."""

    policy_set: PolicySet
    route: Route | None
    role_questions: tuple[frozenset[str], ...] = ()
    """What is asked about roles beside what rules ask: whether the caller holds one of these."""
    any_binding: bool = False
    """Whether bindings matter to whose roles no rule asks."""

    @property
    def looks_at_credentials(self) -> bool:
        return self.route is not None and self.route.authentication is not Authentication.NONE

    def provider(self, name: str) -> Provider | None:
        return next((p for p in self.policy_set.providers if p.name == name), None)

    def api_key(self, provider: str, sha256: str) -> ApiKey | None:
        keys = (key for p in self.policy_set.api_key_providers if p.name == provider for key in p.keys)
        return next((key for key in keys if key.sha256 == sha256), None)

    def principal(self, credential: Credential) -> Principal | None:
        """Whom the route takes the credential for; None when it refuses it."""
        if self.route is None or credential.provider not in self.route.providers:
            return None
        declared = self.policy_set.roles
        if credential.api_key is not None:
            key = self.api_key(credential.provider, credential.api_key)
            if key is None:
                return None
            roles = tuple(role for role in key.roles if role in declared)
            caller = replace(_CALLER, subject=key.subject, groups=key.groups, scopes=key.scopes)
            return replace(caller, provider=credential.provider, roles=roles, derived={})
        provider = self.provider(credential.provider)
        if provider is None:
            return None
        asserted = self.asserted(provider)
        roles, groups, scopes = (
            tuple(filter(accepts, values))
            for accepts, values in zip(asserted, (credential.roles, credential.groups, credential.scopes), strict=True)
        )
        caller = replace(_CALLER, subject=credential.subject, groups=groups, scopes=scopes)
        return replace(caller, provider=provider.name, roles=roles, derived={})

    def asserted(self, provider: Provider) -> tuple[Callable[[str], bool], ...]:
        """Whether a role, group or scope in a token of the provider counts."""
        mapping, may = provider.claims, provider.may_assert

        def counts(paths: Sequence[object], allowed: frozenset[str] | None) -> Callable[[str], bool]:
            return lambda value: bool(paths) and (allowed is None or value in allowed)

        is_role = counts(mapping.roles, may.roles)
        return (
            lambda role: role in self.policy_set.roles and is_role(role),
            counts(mapping.groups, may.groups),
            counts(mapping.scopes, may.scopes),
        )

    def conditions(self, kind: type) -> Iterator[object]:
        rules = () if self.route is None else (*self.route.deny, *self.route.require, *self.route.allow)
        return (condition for rule in rules for condition in rule.conditions if isinstance(condition, kind))

    def bindings(self) -> Iterator[Binding]:
        """Those that may give a role that matters."""
        wanted = frozenset(role for condition in self.conditions(RoleIs) for role in _roles(condition))
        for binding in self.policy_set.bindings if self.route is not None else ():
            if self.any_binding or self.policy_set.roles[binding.role].closure & wanted:
                yield binding


def _roles(condition: object) -> frozenset[str]:
    return condition.roles if isinstance(condition, RoleIs) else frozenset()


def credentials_of(sides: Sequence[Side], *, any_subject: bool) -> list[Credential | None]:
    """Nobody's (None), and each kind that counts on a route of `sides`.

    Args:
        sides: the sets with the routes that decide.
        any_subject: whether something reads who exactly the holder of a key is.

    Raises:
        BoundHitError: there are more than `MAX_KINDS` of a provider, or of what its credentials may assert.
    """
    found: list[Credential | None] = [None]
    looking = [side for side in sides if side.looks_at_credentials]
    for name in dict.fromkeys(name for side in looking for name in (side.route.providers if side.route else ())):
        if any(side.provider(name) is not None for side in looking):
            found += _tokens(name, looking)
        found += _api_keys(name, looking, any_subject=any_subject)
    return found


class _Answers:
    """What the rules and bindings of both sets answer to each value that a token may assert."""

    def __init__(self) -> None:
        self.roles: dict[str, set[object]] = {}
        self.groups: dict[str, set[object]] = {}
        self.scopes: dict[str, set[object]] = {}
        self.subjects: dict[str, set[object]] = {}

    def note(self, side: Side, provider: Provider, number: int) -> None:
        """All answers of one set, the `number`th."""
        role_counts, group_counts, scope_counts = side.asserted(provider)
        for role in filter(role_counts, side.policy_set.roles):
            closure = side.policy_set.roles[role].closure
            for index, wanted in enumerate((*map(_roles, side.conditions(RoleIs)), *side.role_questions)):
                if closure & wanted:
                    _note(self.roles, [role], (number, index))
        for index, item in enumerate(_subjects(side)):
            _note(self.groups, filter(group_counts, [item.group] if item.group else []), (number, "binding", index))
            _note(self.subjects, [item.subject] if item.subject else [], (number, "binding", index))
        for index, condition in enumerate(side.conditions(object)):
            match condition:
                case GroupIs(groups=groups):
                    _note(self.groups, filter(group_counts, groups), (number, index))
                case ScopeIs(scopes=scopes):
                    _note(self.scopes, filter(scope_counts, scopes), (number, index))
                case SubjectIs(subjects=subjects):
                    _note(self.subjects, subjects, (number, index))
                case _:
                    pass


def _note(answers: dict[str, set[object]], values: Iterable[str], question: object) -> None:
    for value in values:
        answers.setdefault(value, set()).add(question)


def _tokens(name: str, sides: Sequence[Side]) -> list[Credential]:
    answers = _Answers()
    for number, side in enumerate(sides):
        provider = side.provider(name)
        if provider is not None and side.route is not None and name in side.route.providers:
            answers.note(side, provider, number)
    one_of_each = {frozenset(given): subject for subject, given in sorted(answers.subjects.items(), reverse=True)}
    subjects = (SOMEBODY, *sorted(one_of_each.values()))
    roles, groups, scopes = unions(answers.roles), unions(answers.groups), unions(answers.scopes)
    if len(subjects) * len(roles) * len(groups) * len(scopes) > MAX_KINDS:
        raise BoundHitError
    return [Credential(name, *asserted) for asserted in product(subjects, roles, groups, scopes)]


def _subjects(side: Side) -> Iterator[BindingSubject]:
    return (subject for binding in side.bindings() for subject in binding.subjects)


def unions(answers: Mapping[str, Iterable[object]]) -> list[tuple[str, ...]]:
    """The smallest sets of values for each union of their answers, the empty one first.

    Raises:
        BoundHitError: there are more than `MAX_KINDS`.
    """
    one_of_each: dict[frozenset[object], str] = {}
    for value, given in sorted(answers.items()):
        one_of_each.setdefault(frozenset(given), value)
    found: dict[frozenset[object], tuple[str, ...]] = {frozenset(): ()}
    waiting = deque(found)
    while waiting:
        so_far = waiting.popleft()
        for given, value in one_of_each.items():
            union = so_far | given
            if union not in found:
                if len(found) == MAX_KINDS:
                    raise BoundHitError
                found[union] = (*found[so_far], value)
                waiting.append(union)
    return list(found.values())


def _api_keys(name: str, sides: Sequence[Side], *, any_subject: bool) -> list[Credential]:
    """One key for each pair of what the sets make of it."""
    named = frozenset(
        subject
        for side in sides
        for subject in (
            *(s for c in side.conditions(SubjectIs) if isinstance(c, SubjectIs) for s in c.subjects),
            *(item.subject for item in _subjects(side) if item.subject is not None),
        )
    )
    keys = {
        key.sha256: key
        for side in sides
        for provider in side.policy_set.api_key_providers
        if provider.name == name
        for key in provider.keys
    }
    found: dict[tuple[object, ...], Credential] = {}
    for sha256, key in keys.items():
        credential = Credential(name, key.subject, key.roles, key.groups, key.scopes, api_key=sha256)
        found.setdefault(
            tuple(_seen(side.principal(credential), named, any_subject=any_subject) for side in sides), credential
        )
    if len(found) > MAX_KINDS:
        raise BoundHitError
    return list(found.values())


def _seen(caller: Principal | None, named: frozenset[str], *, any_subject: bool) -> object:
    """What rules can tell of a caller."""
    if caller is None:
        return None
    subject = caller.subject if any_subject or caller.subject in named else None
    return subject, frozenset(caller.roles), frozenset(caller.groups), frozenset(caller.scopes)
