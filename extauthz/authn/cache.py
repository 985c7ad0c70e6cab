"""What was found out about tokens, so that a token is verified once and not at every request.

The token itself is not kept, only its SHA-256. Nothing here decides on freshness: an entry carries its times and the
reader compares them with `now` at every hit.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from extauthz.model.access import Claims

_Value = TypeVar("_Value")


class LruCache(Generic[_Value]):
    """A map from digests that forgets the least recently used entry when it is full. For one thread."""

    __slots__ = ("_capacity", "_entries")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._entries: OrderedDict[bytes, _Value] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> _Value | None:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: bytes, value: _Value) -> None:
        self._entries[key] = value
        self._entries.move_to_end(key)
        if len(self._entries) > self._capacity:
            self._entries.popitem(last=False)


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A token whose signature, issuer and audience are right: what it claims, and when that holds."""

    claims: Claims
    valid_from: float
    """Epoch seconds, clock skew allowed for: `nbf` and `iat` are reached."""
    valid_until: float
    """Epoch seconds, clock skew allowed for: `exp` is not reached."""


class VerifiedTokens:
    """The verified tokens of a process; outlives policy sets, so that a reload does not verify them all again.

    INVARIANT: the key holds the token, the provider's whole configuration and the version of its key set. A changed
    provider or a removed key therefore never finds what was verified before.
    """

    def __init__(self, capacity: int = 10_000) -> None:
        self._tokens: LruCache[VerifiedToken] = LruCache(capacity)
        self.verifications = 0
        """Tokens that had to be verified, for metrics."""
        self.hits = 0
        """Tokens that were known, here or to those who keep what they made of them; for metrics."""

    def get(self, token_digest: bytes, scope: bytes) -> VerifiedToken | None:
        """What is known of the token under this scope (see `scope_of`)."""
        token = self._tokens.get(token_digest + scope)
        if token is not None:
            self.hits += 1
        return token

    def put(self, token_digest: bytes, scope: bytes, token: VerifiedToken) -> None:
        self.verifications += 1
        self._tokens.put(token_digest + scope, token)


def scope_of(provider_digest: bytes, key_set_version: bytes) -> bytes:
    """The part of a key that stands for a provider's configuration and keys."""
    return hashlib.sha256(provider_digest + key_set_version).digest()
