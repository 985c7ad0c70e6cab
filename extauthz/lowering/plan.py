"""What of a policy set Envoy decides by itself, what stays with the authorizer, and why: nothing in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from extauthz.lowering.formula import Conjunction, Formula
from extauthz.lowering.upstream_headers import Profile
from extauthz.model.policy import PolicySet
from extauthz.model.provider import Provider
from extauthz.model.source import Span

ALLOW_PREFIX = "allow_"
"""How the names of native policies begin: the authorizer is asked unless such a one has matched."""


class Verdict(StrEnum):
    """Where a piece of the policy is enforced."""

    NATIVE = "native"
    WASM = "wasm"
    RESIDUAL = "residual"


@dataclass(slots=True)
class Item:
    """A piece of the policy set with what became of it."""

    kind: str
    id: str
    span: Span | None
    reasons: dict[str, None] = field(default_factory=dict)
    """Why it stays with the authorizer, in the order in which that was found."""
    enforced: Verdict = Verdict.NATIVE
    """Where it is enforced when nothing speaks against it."""

    @property
    def verdict(self) -> Verdict:
        return Verdict.RESIDUAL if self.reasons else self.enforced


@dataclass(frozen=True, slots=True)
class Plan:
    """A policy set, sorted."""

    policy_set: PolicySet
    items: tuple[Item, ...]
    providers: tuple[Provider, ...]
    """Whose tokens Envoy verifies as we do."""
    caller_policies: Mapping[str, Formula]
    route_policies: Mapping[str, Formula]
    unauthenticated_routes: tuple[str, ...]
    """The names of the route policies where credentials are not looked at."""
    native_policies: Mapping[str, Conjunction]
    """By name; all of them allow."""
    denial_policies: Mapping[str, Conjunction]
    """By name: how a request is answered that no native policy allows, and that the authorizer denies for certain."""
    challenged_scopes: tuple[tuple[str, ...], ...]
    """The scopes that challenges name, by number, which the names of the denial policies hold."""
    profiles: tuple[Profile, ...]
    """By number, which the names of the policies hold."""

    @property
    def residual(self) -> tuple[Item, ...]:
        """What is left to the authorizer."""
        return tuple(item for item in self.items if item.verdict is Verdict.RESIDUAL)

    def policy_prefix(self, profile: int) -> str:
        """How the names of the policies of one profile begin."""
        return policy_prefix(profile)


def policy_prefix(profile: int) -> str:
    """How the names of the policies of one profile begin."""
    return f"{ALLOW_PREFIX}{profile:04}_"
