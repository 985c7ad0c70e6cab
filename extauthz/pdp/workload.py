"""Workload identity: SPIFFE IDs of the mTLS peer (SPIFFE-ID section 2)."""

from __future__ import annotations

from collections.abc import Iterable

from extauthz.model.access import AccessRequest

_SCHEME = "spiffe://"


def workload_of(request: AccessRequest, trust_domains: Iterable[str]) -> str | None:
    """The peer's SPIFFE ID when its trust domain is one of ours, else None."""
    identity = request.peer_identity
    if not identity.startswith(_SCHEME):
        return None
    domain, slash, path = identity.removeprefix(_SCHEME).partition("/")
    return identity if slash and path and domain in trust_domains else None


def workload_matches(identity: str, pattern: str) -> bool:
    """Whether an identity is the pattern or, when that ends in `/**`, lies below it."""
    if pattern.endswith("/**"):
        return identity.startswith(pattern[:-2]) and len(identity) > len(pattern) - 2
    return identity == pattern
