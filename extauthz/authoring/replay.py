"""Recorded decisions, made again by another policy set: what would have come out otherwise.

Each request is decided at the time at which it was. Its caller is who was verified then: the set looks up their
provider by issuer, checks audience and validity and maps the claims by its own rules. What a record cannot tell is
said, not guessed: a credential that nobody looked at, and what a remote engine would say now.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from extauthz.authn.api_key import holder_of
from extauthz.authn.claims import principal_of
from extauthz.authn.token import check_audience, check_time, validity
from extauthz.authoring.record import (
    REFUSALS,
    KeyHolder,
    Record,
    RecordedCaller,
    RecordedDecision,
    RefusedCredential,
    UnseenCredential,
    Vouched,
    credential_headers,
)
from extauthz.authorizer import Snapshot, authorize_by
from extauthz.errors import ApiKeyUnknownError, ExtAuthzError, IssuerUnknownError
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Decision, Effect, Reason
from extauthz.model.engine import ENGINE_POLICY
from extauthz.model.policy import Route


class Change(StrEnum):
    """How a decision differs, the most grave first."""

    WIDENED = "widened"
    """DENY -> ALLOW."""
    NARROWED = "narrowed"
    """ALLOW -> DENY."""
    REASON = "reason"
    """The same effect for another reason."""
    ROUTE = "route"
    """The same effect and reason on another route."""
    RULES = "rules"
    """The same on the same route, determined by other rules."""
    UNKNOWN = "unknown"
    """The record does not tell."""


class UnseenCredentialError(ExtAuthzError):
    """The set looks at a credential that was not looked at when the request was recorded."""


@dataclass(slots=True)
class Group:
    """Requests whose decisions changed in the same way."""

    change: Change
    was: RecordedDecision
    now: RecordedDecision | None
    """None: it cannot be told."""
    first: Record
    line: int
    """Of the first."""
    count: int = 0
    redacted: set[str] = field(default_factory=set)
    """What was replaced in these requests besides credentials: a condition on it may have been decided wrongly."""


class Replay:
    """Decides records by one compiled set, and keeps what changed."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._issuers = {provider.issuer: provider for provider in snapshot.policy_set.providers}
        self._key_providers = {provider.name: provider for provider in snapshot.policy_set.api_key_providers}
        self._credentials = {f"header:{name}" for name in credential_headers(snapshot.policy_set)}
        self._groups: dict[object, Group] = {}
        self.records = 0

    @property
    def groups(self) -> list[Group]:
        """What changed: the gravest first, then the most frequent."""
        order = list(Change)
        return sorted(self._groups.values(), key=lambda group: (order.index(group.change), -group.count, group.line))

    def add(self, line: int, record: Record) -> None:
        """Decide a record again."""
        self.records += 1
        was = _of_the_set(record.decision)
        now: RecordedDecision | None
        try:
            now = self.decide(record)
        except UnseenCredentialError:
            now = None
        change = Change.UNKNOWN if now is None else _change(was, now)
        if change is None:
            return
        group = self._groups.setdefault((was, now), Group(change, was, now, record, line))
        group.count += 1
        group.redacted.update(place for place in record.redacted if place not in self._credentials)

    def decide(self, record: Record) -> RecordedDecision:
        """What the set says to the request.

        Raises:
            UnseenCredentialError: it would look at a credential that was not recorded.
        """
        decision = authorize_by(
            record.request, self._snapshot, record.at, lambda route: self._caller(record.caller, route, record.at)
        )
        return recorded(decision)

    def _caller(self, caller: RecordedCaller, route: Route | None, now: float) -> Principal:
        """Who it is to the set.

        Raises:
            DecidedError: the credential would be refused.
        """
        policy_set = self._snapshot.policy_set
        accepted = policy_set.default_providers if route is None else route.providers
        match caller:
            case None:
                return ANONYMOUS
            case UnseenCredential():
                raise UnseenCredentialError
            case RefusedCredential(reason):
                raise REFUSALS[reason](f"it was refused then: {reason}")
            case Vouched(_, claims):
                provider = self._issuers.get(str(claims.get("iss")))
                if provider is None or provider.name not in accepted:
                    raise IssuerUnknownError("no provider of the route has this issuer")
                check_audience(claims, provider.audiences)
                check_time(*validity(claims, provider.clock_skew_seconds), now)
                return principal_of(provider, claims, policy_set.roles)
            case KeyHolder(name, subject):
                holders = self._key_providers.get(name) if name in accepted else None
                key = next((key for key in holders.keys if key.subject == subject), None) if holders else None
                if holders is None or key is None:
                    raise ApiKeyUnknownError("no provider of the route has a key for this holder")
                return holder_of(holders, key, policy_set.roles)


def recorded(decision: Decision) -> RecordedDecision:
    """A decision as far as records hold it."""
    return RecordedDecision(decision.effect, decision.reason, decision.route, decision.policies, decision.errors)


def _of_the_set(was: RecordedDecision) -> RecordedDecision:
    """What the policy set alone said: an engine is asked only about what the set allows."""
    if ENGINE_POLICY not in was.policies:
        return was
    if was.effect is Effect.ALLOW:
        policies = tuple(policy for policy in was.policies if policy != ENGINE_POLICY)
        return RecordedDecision(was.effect, was.reason, was.route, policies, was.errors)
    errors = tuple(policy for policy in was.errors if policy != ENGINE_POLICY)
    return RecordedDecision(Effect.ALLOW, Reason.ALLOWED, was.route, (), errors)


def _change(was: RecordedDecision, now: RecordedDecision) -> Change | None:
    if was.effect is not now.effect:
        return Change.WIDENED if now.effect is Effect.ALLOW else Change.NARROWED
    if was.reason is not now.reason:
        return Change.REASON
    if was.route != now.route:
        return Change.ROUTE
    rules_are_known = bool(was.policies) or was.effect is Effect.DENY
    is_same = (was.policies, was.errors) == (now.policies, now.errors)
    return Change.RULES if rules_are_known and not is_same else None
