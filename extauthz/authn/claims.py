"""Verified claims -> `Principal`, by the provider's mapping and `may_assert`.

A claim that is absent or null asserts nothing. One of another type than its attribute takes is refused, and so is text
that cannot be compared safely: NUL, which C code takes for the end, and lone surrogates, which have no UTF-8.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain

from extauthz.errors import ClaimInvalidError
from extauthz.model.access import Claims, JsonValue, Principal
from extauthz.model.provider import ClaimPath, Provider

WILDCARD = "*"
"""The key of a claim path that stands for every element of a list."""


def principal_of(provider: Provider, claims: Claims, declared_roles: Collection[str]) -> Principal:
    """Who the claims are about.

    Args:
        provider: who vouches for them.
        claims: a token's payload, verified.
        declared_roles: the roles of the policy set; others are dropped.

    Raises:
        ClaimInvalidError: no subject, or a mapped claim of a wrong type or with text that cannot be compared.
    """
    mapping, may_assert = provider.claims, provider.may_assert
    subject = _subject(mapping.subject, claims)
    asserted = _assertable(_texts(mapping.roles, claims, _one), may_assert.roles)
    return Principal(
        authenticated=True,
        subject=subject,
        provider=provider.name,
        roles=tuple(role for role in asserted if role in declared_roles),
        groups=_assertable(_texts(mapping.groups, claims, _one), may_assert.groups),
        scopes=_assertable(_texts(mapping.scopes, claims, _split_scopes), may_assert.scopes),
        claims=claims,
    )


def _subject(path: ClaimPath, claims: Claims) -> str:
    values = list(_walk(claims, path.keys, path))
    if len(values) != 1 or not isinstance(values[0], str) or not values[0]:
        raise ClaimInvalidError(f"{_name(path)} must be one string, and not empty: it is the subject")
    return _comparable(values[0], path)


def _texts(paths: Sequence[ClaimPath], claims: Claims, split: Callable[[str], Sequence[str]]) -> Iterator[str]:
    """Every text at the paths; a string in place of a list goes through `split`."""
    for path in paths:
        for value in _walk(claims, path.keys, path):
            texts = split(value) if isinstance(value, str) else value
            if not isinstance(texts, Sequence):
                raise ClaimInvalidError(f"{_name(path)} must be a string or a list of strings")
            for text in texts:
                if not isinstance(text, str):
                    raise ClaimInvalidError(f"{_name(path)} must be a string or a list of strings")
                yield _comparable(text, path)


def _walk(value: JsonValue, keys: Sequence[str], path: ClaimPath) -> Iterator[JsonValue]:
    """The values at `keys` below `value`; nothing where a key is absent or its value null."""
    if value is None:
        return iter(())
    if not keys:
        return iter((value,))
    if keys[0] == WILDCARD:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ClaimInvalidError(f"{_name(path)} must lead through a list at '{WILDCARD}'")
        return chain.from_iterable([_walk(element, keys[1:], path) for element in value])
    if not isinstance(value, Mapping):
        raise ClaimInvalidError(f"{_name(path)} must lead through an object at '{keys[0]}'")
    return _walk(value.get(keys[0]), keys[1:], path)


def _one(text: str) -> Sequence[str]:
    return (text,)


def _split_scopes(text: str) -> Sequence[str]:
    """RFC 8693 section 4.2: "a space-separated list of scopes"; no other white space separates."""
    return [scope for scope in text.split(" ") if scope]


def _assertable(texts: Iterator[str], allowed: frozenset[str] | None) -> tuple[str, ...]:
    return tuple(text for text in dict.fromkeys(texts) if allowed is None or text in allowed)


def _comparable(text: str, path: ClaimPath) -> str:
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise ClaimInvalidError(f"{_name(path)} must not hold NUL or lone surrogates")
    return text


def _name(path: ClaimPath) -> str:
    return "claim " + ".".join(path.keys)
