"""Key sets (RFC 7517), and when a remote one is fetched, served and given up.

Pure: the fetcher does what `KeySetState` says is due and tells it what came of it; requests ask it for keys.

    phase        keys          entered when                     a request that needs keys      the next fetch
    MISSING      none          at start; past `usable_until`    waits for a fetch              at once
    FRESH        served        a fetch succeeded                is served                      at `refresh_at`
    STALE        served        `refresh_at` has passed          is served                      at once
    REFRESHING   served, if    a fetch has begun                is served, or waits for it     under way
                 there are any
    COOLING      served, if    a fetch failed                   is served, or cannot be        at `retry_at`
                 there are any                                  decided (503)

A token that names an unknown key may bring a fetch forward, since the issuer may have just rotated: in FRESH and STALE,
not within UNKNOWN_KID_INTERVAL_SECONDS of the last fetch, and not for a key that a fetch has lately shown to be absent.
Whoever invents key ids therefore causes no more than one fetch per interval. Absences are forgotten when keys change.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key
from jwt.algorithms import AllowedPublicKeys

from extauthz.errors import ConfigurationError
from extauthz.model.access import JsonValue

HMAC_ALGORITHMS = ("HS256", "HS384", "HS512")
_RSA_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
# RFC 7518 section 3.4: each ECDSA algorithm has its curve. RFC 8037 section 3.1: EdDSA goes with both its curves.
_CURVE_ALGORITHMS = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
    ("OKP", "Ed448"): ("EdDSA",),
}
ALGORITHMS = (*HMAC_ALGORITHMS, *_RSA_ALGORITHMS, "ES256", "ES384", "ES512", "EdDSA")
"""What a provider may list; `none` is not among them and never verifies."""

MINIMUM_RSA_BITS = 2048
"""RFC 7518 sections 3.3 and 3.5."""
_MAXIMUM_RSA_BITS = 16_384
"""OpenSSL verifies no larger one."""
MAXIMUM_KEYS = 100
"""A set with more is refused: parsing them would hold up every request."""
_MAXIMUM_TRIED_KEYS = 10
"""How many keys a token that names none may be tried with."""

STALE_LIMIT_SECONDS = 86_400.0
"""How long keys are served after `refresh_at` when they cannot be fetched again."""
UNKNOWN_KID_INTERVAL_SECONDS = 10.0
_ABSENT_SECONDS = 60.0
_MAXIMUM_ABSENT = 256


class KeySetRefusedError(ConfigurationError):
    """No JWK Set, or none with a key that we could verify with. The message never quotes it."""


class KeyRefusedError(ConfigurationError):
    """A key that must not be verified with: broken, weak, private or symmetric. The message never quotes it."""


@dataclass(frozen=True, slots=True)
class Key:
    """A key that signatures are verified with."""

    kid: str | None
    algorithms: tuple[str, ...]
    """What it fits: its type and curve, and its `alg` if it has one (RFC 8725 section 3.1: one key, one algorithm)."""
    material: AllowedPublicKeys | bytes = field(repr=False)

    def __reduce__(
        self,
    ) -> tuple[Callable[[str | None, tuple[str, ...], bytes], Key], tuple[str | None, tuple[str, ...], bytes]]:
        """To another process of ours: the library's keys do not pickle, their DER form does."""
        if isinstance(self.material, bytes):
            return Key, (self.kid, self.algorithms, self.material)
        der = self.material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return _key_from_der, (self.kid, self.algorithms, der)


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by kid; two sets with the same `version` verify the same tokens."""

    keys: tuple[Key, ...]
    version: bytes
    """SHA-256 of what the keys were read from."""
    refused: tuple[str, ...] = ()
    """Why some keys of the set are not used."""
    named: bool = True
    """False for a shared secret, which has no kid and so takes tokens of any."""

    def has(self, kid: str) -> bool:
        return not self.named or any(key.kid == kid for key in self.keys)

    def fitting(self, kid: str | None, algorithm: str) -> tuple[Key, ...]:
        """The keys to try: of this kid, or of any where the token names none; none at all where those are too many."""
        any_kid = kid is None or not self.named
        keys = tuple(k for k in self.keys if algorithm in k.algorithms and (any_kid or k.kid == kid))
        return keys if len(keys) <= _MAXIMUM_TRIED_KEYS else ()


class Phase(StrEnum):
    """See the table at the head of this file."""

    MISSING = "missing"
    FRESH = "fresh"
    STALE = "stale"
    REFRESHING = "refreshing"
    COOLING = "cooling"


@dataclass(frozen=True, slots=True)
class KeySetStanding:
    """A `KeySetState` at a moment, to be adopted by a state of another process; times are epoch seconds."""

    key_set: KeySet | None
    fetched_at: float
    refresh_at: float
    usable_until: float
    attempted_at: float
    retry_at: float
    failures: int
    absent: Mapping[str | None, float]


class KeySetState:
    """One provider's keys over time. Times are epoch seconds. For one thread."""

    __slots__ = (
        "__weakref__",
        "_absent",
        "_attempted_at",
        "_fetching",
        "_retry_at",
        "_usable_until",
        "failures",
        "fetched_at",
        "key_set",
        "last_failure",
        "refresh_at",
    )

    def __init__(self) -> None:
        self.key_set: KeySet | None = None
        self.fetched_at = -math.inf
        self.refresh_at = -math.inf
        self.failures = 0
        """Since the last success."""
        self.last_failure: str | None = None
        self._usable_until = -math.inf
        self._attempted_at = -math.inf
        self._retry_at = -math.inf
        self._fetching = False
        self._absent: dict[str | None, float] = {}

    @classmethod
    def fixed(cls, key_set: KeySet) -> KeySetState:
        """Keys that are never fetched: FRESH for ever."""
        state = cls()
        state.key_set = key_set
        state.refresh_at = state._usable_until = state._retry_at = math.inf
        return state

    def standing(self) -> KeySetStanding:
        """What another process needs to know to serve the same keys."""
        return KeySetStanding(
            key_set=self.key_set,
            fetched_at=self.fetched_at,
            refresh_at=self.refresh_at,
            usable_until=self._usable_until,
            attempted_at=self._attempted_at,
            retry_at=self._retry_at,
            failures=self.failures,
            absent=dict(self._absent),
        )

    def adopt(self, standing: KeySetStanding) -> None:
        """Stand as the state of the process that fetches does; an equal set keeps the old object."""
        if self.key_set is None or standing.key_set is None or self.key_set.version != standing.key_set.version:
            self.key_set = standing.key_set
        self.fetched_at = standing.fetched_at
        self.refresh_at = standing.refresh_at
        self._usable_until = standing.usable_until
        self._attempted_at = standing.attempted_at
        self._retry_at = standing.retry_at
        self.failures = standing.failures
        self._absent = dict(standing.absent)

    def usable(self, now: float) -> KeySet | None:
        """The keys that may be served."""
        return self.key_set if now < self._usable_until else None

    def phase(self, now: float) -> Phase:
        if self._fetching:
            return Phase.REFRESHING
        if self._is_fresh(now):
            return Phase.FRESH
        if self._is_cooling(now):
            return Phase.COOLING
        return Phase.MISSING if self.usable(now) is None else Phase.STALE

    # A time before the one that these were set at means that the clock has been set back: then they say nothing.

    def _is_fresh(self, now: float) -> bool:
        return self.fetched_at <= now < self.refresh_at

    def _is_cooling(self, now: float) -> bool:
        return self._attempted_at <= now < self._retry_at

    def next_fetch_at(self, now: float) -> float:
        """When a fetch is due without any request asking: `now` if it is, never while one is under way."""
        if self._fetching:
            return math.inf
        fresh_until = self.refresh_at if self._is_fresh(now) else now
        cooling_until = self._retry_at if self._is_cooling(now) else now
        return max(fresh_until, cooling_until)

    def may_fetch(self, kid: str | None, now: float) -> bool:
        """Whether a request that lacks the keys, or among them the key `kid`, is to wait for a fetch.

        Args:
            kid: what the token names; None also where it names none and no key verifies it.
            now: epoch seconds.
        """
        if self._fetching:
            return True
        if self._is_cooling(now):
            return False
        if self.usable(now) is None:
            return True
        lately = self._attempted_at <= now < self._attempted_at + UNKNOWN_KID_INTERVAL_SECONDS
        return not lately and now >= self._absent.get(kid, -math.inf)

    def begin(self, now: float) -> None:
        """A fetch is under way."""
        self._fetching = True
        self._attempted_at = now

    def fetched(self, key_set: KeySet, now: float, fresh_seconds: float) -> bool:
        """The fetch succeeded: serve these keys, and fetch again after `fresh_seconds`. Returns whether they changed.

        An equal set keeps the old object, so that what was derived from it stays valid.
        """
        self._fetching = False
        self.failures = 0
        self.last_failure = None
        self._retry_at = -math.inf
        return self.restore(key_set, now, fresh_seconds)

    def restore(self, key_set: KeySet, fetched_at: float, fresh_seconds: float) -> bool:
        """Serve keys that were fetched at `fetched_at`, be that in an earlier process."""
        changed = self.key_set is None or self.key_set.version != key_set.version
        if changed:
            self.key_set = key_set
            self._absent.clear()
        self.fetched_at = fetched_at
        self.refresh_at = fetched_at + fresh_seconds
        self._usable_until = self.refresh_at + STALE_LIMIT_SECONDS
        return changed

    def failed(self, reason: str, now: float, retry_seconds: float) -> None:
        """The fetch failed for `reason`: none is due before `retry_seconds` have passed."""
        self._fetching = False
        self.failures += 1
        self.last_failure = reason
        self._retry_at = now + retry_seconds

    def remember_absent(self, kid: str | None, now: float) -> None:
        """A fetch did not bring the key `kid`."""
        if len(self._absent) >= _MAXIMUM_ABSENT:
            del self._absent[next(iter(self._absent))]
        self._absent[kid] = now + _ABSENT_SECONDS


def parse_key_set(document: Mapping[str, JsonValue]) -> KeySet:
    """Read a JWK Set of public keys.

    Keys of another use and of unknown types are passed over (RFC 7517 section 5); single bad ones are left out and
    named in `refused`.

    Raises:
        KeySetRefusedError: not a JWK Set, too large, or without a usable key.
    """
    entries = document.get("keys")
    if isinstance(entries, str) or not isinstance(entries, Sequence):
        raise KeySetRefusedError("is no JWK Set: it has no list 'keys'")
    if len(entries) > MAXIMUM_KEYS:
        raise KeySetRefusedError(f"has more than {MAXIMUM_KEYS} keys")
    keys: list[Key] = []
    refused: list[str] = []
    for number, entry in enumerate(entries, start=1):
        try:
            key = _parse_key(entry)
        except KeyRefusedError as error:
            refused.append(f"key {number} {error}")
        else:
            keys += [key] if key else []
    if not keys:
        raise KeySetRefusedError("; ".join(["has no key that signatures could be verified with", *refused]))
    canonical = json.dumps(entries, sort_keys=True, default=_plain).encode()
    return KeySet(tuple(keys), hashlib.sha256(canonical).digest(), tuple(refused))


def _key_from_der(kid: str | None, algorithms: tuple[str, ...], der: bytes) -> Key:
    public = load_der_public_key(der)
    assert isinstance(public, get_args(AllowedPublicKeys))  # noqa: S101 - it was taken from such a key
    return Key(kid, algorithms, public)


def secret_key_set(secret: bytes, algorithms: Sequence[str]) -> KeySet:
    """The one key of a shared secret (RFC 7518 section 3.2)."""
    version = hashlib.sha256(b"secret\0" + secret).digest()
    return KeySet((Key(None, tuple(algorithms), secret),), version, named=False)


def secret_problem(secret: bytes, algorithm: str) -> str | None:
    """Why a secret must not be used with an HMAC algorithm, None when it may."""
    implementation = jwt.PyJWS().get_algorithm_by_name(algorithm)
    try:
        implementation.prepare_key(secret)
    except jwt.InvalidKeyError:
        return "is empty, or is a public key, certificate or JWK: those are no secrets"
    if implementation.check_key_length(secret) is not None:
        # RFC 7518 section 3.2: "A key of the same size as the hash output [...] or larger MUST be used".
        return f"has {len(secret)} bytes, {algorithm} needs {int(algorithm[2:]) // 8}"
    return None


def _parse_key(entry: JsonValue) -> Key | None:
    """A key of the set; None when it is meant for something else."""
    if not isinstance(entry, Mapping):
        raise KeyRefusedError("is no JSON object")
    key_type, kid, named_algorithm = entry.get("kty"), entry.get("kid"), entry.get("alg")
    if key_type == "oct":
        raise KeyRefusedError("is a shared secret: those stand in a file of their own, never in a key set")
    if entry.get("use", "sig") != "sig" or not _may_verify(entry.get("key_ops")):
        return None
    algorithms = _RSA_ALGORITHMS if key_type == "RSA" else _curve_algorithms(key_type, entry.get("crv"))
    if named_algorithm is not None:
        algorithms = tuple(a for a in algorithms if a == named_algorithm)
    if not algorithms:
        return None
    if not isinstance(kid, str | None):
        raise KeyRefusedError("has a 'kid' that is no string")
    if "d" in entry:
        raise KeyRefusedError("is a private key: whoever can read it can sign")
    return Key(kid, algorithms, _material(entry, algorithms[0]))


def _curve_algorithms(key_type: JsonValue, curve: JsonValue) -> tuple[str, ...]:
    return _CURVE_ALGORITHMS.get((key_type, curve), ()) if isinstance(key_type, str) and isinstance(curve, str) else ()


def _may_verify(key_ops: JsonValue) -> bool:
    """RFC 7517 section 4.3; absent, a key may be used for anything."""
    return key_ops is None or (isinstance(key_ops, Sequence) and "verify" in key_ops)


def _material(entry: Mapping[str, JsonValue], algorithm: str) -> AllowedPublicKeys:
    try:
        material = jwt.PyJWK(dict(entry), algorithm).key
    except (jwt.PyJWTError, UnsupportedAlgorithm, ValueError, TypeError, OverflowError):  # its message quotes the key
        raise KeyRefusedError("is malformed") from None
    if isinstance(material, rsa.RSAPublicKey) and not MINIMUM_RSA_BITS <= material.key_size <= _MAXIMUM_RSA_BITS:
        raise KeyRefusedError(f"is an RSA key of {material.key_size} bits: {MINIMUM_RSA_BITS} is the least")
    public: AllowedPublicKeys = material
    return public


def _plain(value: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    return dict(value)
