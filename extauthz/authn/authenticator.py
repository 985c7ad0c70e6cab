"""Who sends a request: the order of authentication, and the short way for a token that is known already.

    present no credential          -> ANONYMOUS
    an API key                     -> its holder
    a token known here             -> the same Principal object as before, if keys and time still allow it
    a token, else                  -> read it, pick the provider by its unverified `iss` among those that take tokens in
                                      this place, check its algorithm, find keys, verify, check audience and claims

Missing keys are returned as a need: the caller fetches them and asks again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from types import MappingProxyType
from typing import TypeAlias
from weakref import WeakValueDictionary

from extauthz.authn.api_key import ApiKeys
from extauthz.authn.cache import LruCache, VerifiedToken, VerifiedTokens, scope_of
from extauthz.authn.claims import principal_of
from extauthz.authn.credential import CredentialFinder
from extauthz.authn.keyset import KeySet, KeySetState
from extauthz.authn.provider import configuration_digest, fixed_key_set, key_source_digest
from extauthz.authn.token import (
    MAXIMUM_TOKEN_BYTES,
    UnverifiedToken,
    check_audience,
    check_time,
    read_token,
    signature_verifies,
    validity,
)
from extauthz.errors import (
    AlgorithmNotAllowedError,
    AudienceMismatchError,
    AuthnError,
    ClaimInvalidError,
    ClaimMissingError,
    IssuerUnknownError,
    KeySetUnavailableError,
    KeyUnknownError,
    SignatureInvalidError,
    TokenMalformedError,
)
from extauthz.model.access import ANONYMOUS, AccessRequest, Principal
from extauthz.model.provider import ApiKeyProvider, Provider

__all__ = ["Authenticator", "KeySets", "NeedKeySet", "VerifiedTokens"]

_KNOWN_TOKENS = 10_000
_KNOWN_FAILURES = 1_000

_INCURABLE = (
    TokenMalformedError,
    IssuerUnknownError,
    AlgorithmNotAllowedError,
    AudienceMismatchError,
    ClaimMissingError,
    ClaimInvalidError,
)
"""Failures that follow from the token and the configuration alone: neither time nor other keys can cure them."""


@dataclass(frozen=True, slots=True)
class NeedKeySet:
    """Keys that are missing: fetch the provider's key set and ask again."""

    provider: Provider
    kid: str | None
    """The key that a held set lacks; None when all are missing, or no key verifies a token that names none."""

    def __reduce__(self) -> tuple[type[NeedKeySet], tuple[Provider, str | None]]:
        """To the process that fetches: by the arguments, since a compiled frozen class takes no state."""
        return NeedKeySet, (self.provider, self.kid)


class KeySets:
    """The key sets of a process, by all that decides on a provider's keys.

    They survive policy reloads: a state lives for as long as an authenticator or a fetcher holds it. For any thread,
    since the next policy set is prepared while the present one is served.
    """

    def __init__(self) -> None:
        self._states: WeakValueDictionary[bytes, KeySetState] = WeakValueDictionary()
        self._lock = Lock()

    def state_of(self, provider: Provider) -> KeySetState:
        """The provider's keys over time; those from a file, the policy or a secret are there at once.

        Raises:
            KeySetRefusedError: keys of the policy that `check_provider_keys` has something to say about.
        """
        digest = key_source_digest(provider)
        with self._lock:
            state = self._states.get(digest)
            if state is None:
                fixed = fixed_key_set(provider)
                state = self._states[digest] = KeySetState() if fixed is None else KeySetState.fixed(fixed)
            return state

    def remote_state(self, source: bytes) -> KeySetState:
        """The keys over time of whichever provider has this `key_source_digest`, and fetches them."""
        with self._lock:
            state = self._states.get(source)
            if state is None:
                state = self._states[source] = KeySetState()
            return state


class Authenticator:
    """Authenticates requests for one combination of providers, under one policy set. For one thread."""

    def __init__(
        self,
        providers: Sequence[Provider],
        api_key_providers: Sequence[ApiKeyProvider],
        declared_roles: frozenset[str],
        key_sets: KeySets,
        tokens: VerifiedTokens,
    ) -> None:
        """Prepare what does not depend on the request.

        INVARIANT: each provider has an issuer of its own, by which a token picks it; front ends refuse anything else.

        Raises:
            KeySetRefusedError: keys of the policy that `check_provider_keys` has something to say about.
        """
        vouchers = [_Voucher(provider, key_sets) for provider in providers]
        locations = dict.fromkeys(location for provider in providers for location in provider.tokens)
        headers = dict.fromkeys(provider.header for provider in api_key_providers)
        self._finder: CredentialFinder[_Place] = CredentialFinder(
            tokens=[
                (at, _TokenPlace([v for v in vouchers if at in v.provider.tokens], declared_roles, tokens))
                for at in locations
            ],
            api_keys=[
                (header, ApiKeys([p for p in api_key_providers if p.header == header], declared_roles))
                for header in headers
            ],
        )

    def authenticate(self, request: AccessRequest, now: float) -> Principal | NeedKeySet:
        """Find out who sends the request.

        Args:
            request: the request; only its headers are read.
            now: epoch seconds.

        Returns:
            ANONYMOUS when nothing is presented; the same object for the same credential while it holds; or the key
            set to fetch.

        Raises:
            CredentialsAmbiguousError: more than one credential.
            AuthnError: a credential that proves nothing.
            KeySetUnavailableError: keys are missing, and a fetch has just failed.
        """
        presented = self._finder.find(request)
        if presented is None:
            return ANONYMOUS
        place, credential = presented
        return place.principal(credential) if isinstance(place, ApiKeys) else place.principal(credential, now)


@dataclass(frozen=True, slots=True)
class _KnownToken:
    """A principal with all that must still hold for it to be handed out again."""

    principal: Principal
    keys: KeySetState
    key_set: KeySet
    valid_from: float
    valid_until: float


class _Voucher:
    """A provider with its keys."""

    __slots__ = ("digest", "keys", "provider")

    def __init__(self, provider: Provider, key_sets: KeySets) -> None:
        self.provider = provider
        self.digest = configuration_digest(provider)
        self.keys = key_sets.state_of(provider)


class _TokenPlace:
    """A place where tokens may stand, with the providers that take them there."""

    def __init__(self, vouchers: Sequence[_Voucher], declared_roles: frozenset[str], verified: VerifiedTokens) -> None:
        self._vouchers = {voucher.provider.issuer: voucher for voucher in vouchers}
        self._declared_roles = declared_roles
        self._verified = verified
        self._known: LruCache[_KnownToken] = LruCache(_KNOWN_TOKENS)
        self._failures: LruCache[AuthnError] = LruCache(_KNOWN_FAILURES)

    def principal(self, token: str, now: float) -> Principal | NeedKeySet:
        if len(token) > MAXIMUM_TOKEN_BYTES:  # before it is hashed
            raise TokenMalformedError(f"larger than {MAXIMUM_TOKEN_BYTES} bytes")
        # Surrogates stand for bytes that no token has; they must not fail here, but when the token is read.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._known.get(digest)
        if known is not None and known.key_set is known.keys.usable(now):
            self._verified.hits += 1
            if not known.valid_from <= now < known.valid_until:
                check_time(known.valid_from, known.valid_until, now)
            return known.principal
        failure = self._failures.get(digest)
        if failure is not None:
            self._verified.hits += 1
            raise type(failure)(str(failure))
        try:
            return self._authenticate(token, digest, now)
        except _INCURABLE as error:
            self._failures.put(digest, type(error)(str(error)))
            raise

    def _authenticate(self, text: str, digest: bytes, now: float) -> Principal | NeedKeySet:
        token = read_token(text)
        voucher = self._voucher_for(token)
        provider = voucher.provider
        if token.algorithm not in provider.algorithms:
            raise AlgorithmNotAllowedError("the provider does not list this algorithm")
        key_set = voucher.keys.usable(now)
        if key_set is None:
            if voucher.keys.may_fetch(token.kid, now):
                return NeedKeySet(provider, None)
            raise KeySetUnavailableError("the provider's keys are missing and cannot be fetched")
        scope = scope_of(voucher.digest, key_set.version)
        verified = self._verified.get(digest, scope)
        if verified is None:
            need = _verify_signature(token, voucher, key_set, now)
            if need is not None:
                return need
            verified = _verified_token(token, provider)
            self._verified.put(digest, scope, verified)
        principal = principal_of(provider, verified.claims, self._declared_roles)
        known = _KnownToken(principal, voucher.keys, key_set, verified.valid_from, verified.valid_until)
        self._known.put(digest, known)
        check_time(known.valid_from, known.valid_until, now)
        return principal

    def _voucher_for(self, token: UnverifiedToken) -> _Voucher:
        """The provider that the token itself points to; not yet believed."""
        voucher = self._vouchers.get(token.issuer)
        if voucher is None:
            raise IssuerUnknownError("no provider that takes tokens here has this issuer")
        return voucher


_Place: TypeAlias = _TokenPlace | ApiKeys


def _verify_signature(token: UnverifiedToken, voucher: _Voucher, key_set: KeySet, now: float) -> NeedKeySet | None:
    """Verify with each key that fits; a need when the provider may have published another since."""
    keys = key_set.fitting(token.kid, token.algorithm)
    if any(signature_verifies(token, key) for key in keys):
        return None
    may_be_new = token.kid is None or not key_set.has(token.kid)
    if may_be_new and voucher.keys.may_fetch(token.kid, now):
        return NeedKeySet(voucher.provider, token.kid)
    if keys:
        raise SignatureInvalidError("the signature does not verify")
    raise KeyUnknownError("the key set has no key of this id and type")


def _verified_token(token: UnverifiedToken, provider: Provider) -> VerifiedToken:
    check_audience(token.claims, provider.audiences)
    valid_from, valid_until = validity(token.claims, provider.clock_skew_seconds)
    return VerifiedToken(MappingProxyType(token.claims), valid_from, valid_until)
