"""API keys: a header's value, looked up by its SHA-256.

The lookup is a plain dict access and takes no constant time, on purpose. Timing could at best tell how a caller's
digest compares with stored ones; whoever sends keys cannot choose digests, and keys are random and long (the file
holds only their hashes), so nothing can be approached step by step.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence

from extauthz.errors import ApiKeyUnknownError
from extauthz.model.access import Principal
from extauthz.model.provider import ApiKey, ApiKeyProvider


class ApiKeys:
    """The keys of the providers that read one header."""

    def __init__(self, providers: Sequence[ApiKeyProvider], declared_roles: Collection[str]) -> None:
        holders = Counter(key.sha256 for provider in providers for key in provider.keys)
        self._principals = {
            key.sha256: holder_of(provider, key, declared_roles)
            for provider in providers
            for key in provider.keys
            if holders[key.sha256] == 1
        }

    def principal(self, api_key: str) -> Principal:
        """Who holds this key: the same object at every call.

        Raises:
            ApiKeyUnknownError: empty, or nobody holds it, or more than one and it cannot be said who asks.
        """
        # Bytes that are not UTF-8 reach us as lone surrogates; no stored key has any, but hashing must not fail.
        principal = self._principals.get(hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest())
        if principal is None or not api_key:
            raise ApiKeyUnknownError("no provider of the route knows this API key")
        return principal


def holder_of(provider: ApiKeyProvider, key: ApiKey, declared_roles: Collection[str]) -> Principal:
    """Who holds a key."""
    return Principal(
        authenticated=True,
        subject=key.subject,
        provider=provider.name,
        roles=tuple(role for role in dict.fromkeys(key.roles) if role in declared_roles),
        groups=tuple(dict.fromkeys(key.groups)),
        scopes=tuple(dict.fromkeys(key.scopes)),
    )
