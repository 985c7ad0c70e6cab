"""`{principal.roles}` as a format string: the caller's roles, sorted and joined by commas.

A format string cannot build a list, so it is a tree of choices, role by role, whose leaves are the texts written out:
fit for a handful of roles. What a token claims is of the types that the classification of callers has checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from extauthz.languages.cel_guard import quoted
from extauthz.lowering.callers import Caller
from extauthz.lowering.conditions import Guards, lower_condition
from extauthz.lowering.formula import NotExactError, is_never
from extauthz.lowering.jwt_authn import payload_key
from extauthz.lowering.matchers import JWT_AUTHN
from extauthz.model.policy import Binding, BindingSubject, PolicySet, Route
from extauthz.model.provider import ClaimPath, Provider

MAX_ROLES = 6
"""That one caller may hold: the tree has two to the power of that many leaves."""

_NAME = re.compile(r"[A-Za-z0-9._:-]+")
"""What stands unharmed in a format string, in a header, and in a list that commas separate."""


def roles_format(policy_set: PolicySet, route: Route, caller: Caller, provider: Provider) -> str | None:
    """The format string; None when no caller of the provider holds any role.

    Raises:
        NotExactError: Envoy cannot tell all the roles, or they are too many.
    """
    held = {name: _held(name, policy_set, route, caller, provider) for name in sorted(policy_set.roles)}
    possible = {name: conditions for name, conditions in held.items() if conditions}
    if not possible:
        return None
    if len(possible) > MAX_ROLES:
        raise NotExactError(f"a caller may hold more than {MAX_ROLES} roles, and Envoy cannot write a list")
    if not all(_NAME.fullmatch(name) for name in possible):
        raise NotExactError("a role's name holds more than letters, digits and ._:-")
    return f"%CEL({_tree([(name, ' || '.join(conditions)) for name, conditions in possible.items()], ())})%"


def _tree(roles: Sequence[tuple[str, str]], chosen: Sequence[str]) -> str:
    if not roles:
        return quoted(",".join(chosen))
    (name, condition), *others = roles
    return f"({condition} ? {_tree(others, [*chosen, name])} : {_tree(others, chosen)})"


def _held(name: str, policy_set: PolicySet, route: Route, caller: Caller, provider: Provider) -> list[str]:
    """The CEL conditions under any of which the caller holds the role."""
    limit = provider.may_assert.roles
    granting = [role.name for role in policy_set.roles.values() if name in role.closure]
    claimable = [role for role in granting if limit is None or role in limit]
    conditions = [_claims(provider, path, claimable) for path in provider.claims.roles if claimable]
    for binding in policy_set.bindings:
        if name in policy_set.roles[binding.role].closure:
            conditions += _bound(binding, policy_set, route, caller, provider)
    return conditions


def _bound(binding: Binding, policy_set: PolicySet, route: Route, caller: Caller, provider: Provider) -> list[str]:
    subjects = [s for s in binding.subjects if s.workload is None and s.provider in {None, provider.name}]
    if binding.when is not None:
        when = lower_condition(binding.when, route, caller, policy_set.paths.trailing_slash, Guards())
        if is_never(when):
            return []
        raise NotExactError(f"the binding of {binding.role} at {binding.span} has a condition")
    conditions = [_binds(subject, provider) for subject in subjects]
    return [condition for condition in conditions if condition is not None]


def _binds(subject: BindingSubject, provider: Provider) -> str | None:
    """None where the provider's callers are never the subject."""
    conditions = []
    if subject.subject is not None:
        conditions.append(f"{_value(provider, provider.claims.subject.keys)} == {_literal(subject.subject)}")
    if subject.group is not None:
        limit = provider.may_assert.groups
        if limit is not None and subject.group not in limit:
            return None
        groups = [_claims(provider, path, [subject.group]) for path in provider.claims.groups]
        if not groups:
            return None
        conditions.append(f"({' || '.join(groups)})")
    return f"({' && '.join(conditions)})" if conditions else "true"


def _claims(provider: Provider, path: ClaimPath, texts: Sequence[str]) -> str:
    """Whether the claim is one of the texts, or a list that holds one."""
    conditions = []
    for end in range(1, len(path.keys) + 1):
        above, key = _value(provider, path.keys[: end - 1]), path.keys[end - 1]
        conditions.append(f"{_literal(key)} in {above}")
        if end < len(path.keys):
            conditions.append(f"type({_value(provider, path.keys[:end])}) == map")
    value = _value(provider, path.keys)
    one = " || ".join(f"{_literal(text)} in {value}" for text in texts)
    same = " || ".join(f"{value} == {_literal(text)}" for text in texts)
    return f"({' && '.join(conditions)} && (type({value}) == list ? ({one}) : ({same})))"


def _value(provider: Provider, keys: Sequence[str]) -> str:
    indexes = "".join(f"[{_literal(key)}]" for key in (payload_key(provider), *keys))
    return f"metadata.filter_metadata[{_literal(JWT_AUTHN)}]{indexes}"


def _literal(text: str) -> str:
    """A CEL literal that cannot end the command around it."""
    if any(character in text for character in "%()"):
        raise NotExactError(f"Envoy's format strings cannot hold {text}")
    return quoted(text)
