"""What was decided, and why.

A denial is a value, not an exception. A `Decision` that allows without naming a policy that says so cannot be
constructed: there is no allow by default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, NewType

from extauthz.model.access import JsonValue

PolicyId = NewType("PolicyId", str)
"""Names a rule within its set, as in `order.allow.owner`; it leads from a log line back to the source."""


class Effect(StrEnum):
    """What a rule asks for, and what a decision says (Envoy RBAC's words)."""

    ALLOW = "allow"
    DENY = "deny"


class Outcome(StrEnum):
    """What came of evaluating one rule on one request."""

    SATISFIED = "satisfied"
    UNSATISFIED = "unsatisfied"
    ERRORED = "errored"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One rule's say on one request."""

    policy: PolicyId
    effect: Effect
    outcome: Outcome


class Reason(StrEnum):
    """Why a request was decided as it was. Stable: dashboards and tests match on these."""

    ALLOWED = "allowed"
    PREFLIGHT = "preflight"

    REQUEST_MALFORMED = "request_malformed"
    REQUEST_TOO_LARGE = "request_too_large"
    PATH_AMBIGUOUS = "path_ambiguous"
    HOST_INVALID = "host_invalid"
    CREDENTIALS_AMBIGUOUS = "credentials_ambiguous"

    CREDENTIAL_MISSING = "credential_missing"
    TOKEN_MALFORMED = "token_malformed"  # noqa: S105 - a reason, not a secret
    ISSUER_UNKNOWN = "issuer_unknown"
    ALGORITHM_NOT_ALLOWED = "algorithm_not_allowed"
    KEY_UNKNOWN = "key_unknown"
    SIGNATURE_INVALID = "signature_invalid"
    AUDIENCE_MISMATCH = "audience_mismatch"
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - a reason, not a secret
    TOKEN_NOT_YET_VALID = "token_not_yet_valid"  # noqa: S105 - a reason, not a secret
    CLAIM_MISSING = "claim_missing"
    CLAIM_INVALID = "claim_invalid"
    API_KEY_UNKNOWN = "api_key_unknown"

    NO_ROUTE = "no_route"
    DENIED_BY_POLICY = "denied_by_policy"
    REQUIREMENT_FAILED = "requirement_failed"
    EVALUATION_ERROR = "evaluation_error"
    NO_MATCHING_ALLOW = "no_matching_allow"
    INSUFFICIENT_SCOPE = "insufficient_scope"
    UPSTREAM_HEADER_INVALID = "upstream_header_invalid"
    DENIED_BY_ENGINE = "denied_by_engine"

    KEY_SET_UNAVAILABLE = "key_set_unavailable"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"
    POLICY_SET_NOT_LOADED = "policy_set_not_loaded"


ALLOWING = frozenset({Reason.ALLOWED, Reason.PREFLIGHT})


@dataclass(frozen=True, slots=True)
class HeaderChanges:
    """What the upstream request's headers become: each name is in exactly one of the two."""

    set: tuple[tuple[str, str], ...] = ()
    remove: tuple[str, ...] = ()


METADATA_KEYS: Final = frozenset({"decision_id", "effect", "reason", "route", "policies", "revision"})
"""Of the dynamic metadata that every decision carries."""


@dataclass(frozen=True, slots=True)
class ReplyDetails:
    """What a policy says of the reply itself, where it decides about a request as a whole."""

    status: int | None = None
    """HTTP status of a denial; None: the reason's."""
    headers: tuple[tuple[str, str], ...] = ()
    """Of the response to the client: of the denial, or added to what the upstream answers. A name may be repeated."""
    body: str | None = None
    """Of a denial; None: what every denial says."""
    query_set: tuple[tuple[str, str], ...] = ()
    """Parameters of the upstream request's query that are put in."""
    query_remove: tuple[str, ...] = ()
    """And those that are taken out."""
    metadata: Mapping[str, JsonValue] = field(default_factory=dict)
    """Beside what every decision carries."""


@dataclass(frozen=True, slots=True)
class Judgment:
    """What a policy that decides about requests as a whole says of one."""

    outcome: Outcome
    """SATISFIED allows."""
    details: ReplyDetails | None = None
    """None when it says nothing, which is no allow, or could not be evaluated."""
    upstream: HeaderChanges = HeaderChanges()
    could_not_decide: bool = False
    """Of an ERRORED one: whether it was stopped before it had an answer."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one access request.

    INVARIANT: an ALLOW names at least one policy that determined it, and only an ALLOW has an allowing reason.
    """

    effect: Effect
    policies: tuple[PolicyId, ...]
    """The rules that determined the effect; empty when nothing allowed or the request failed before any rule ran."""
    errors: tuple[PolicyId, ...] = ()
    """The rules that could not be evaluated on this request."""
    reason: Reason = Reason.NO_MATCHING_ALLOW
    route: str | None = None
    upstream: HeaderChanges = HeaderChanges()
    challenge: str | None = None
    """The value of WWW-Authenticate (RFC 9110 section 11.6.1, RFC 6750 section 3)."""
    provider: str | None = None
    subject: str | None = None
    """Who asked, for the decision log; None when nobody was authenticated."""
    details: ReplyDetails | None = None
    """What the policy itself says of the reply; None where it leaves that to us."""

    @property
    def given_status(self) -> int | None:
        """The HTTP status that the policy itself gives; None where the reason's counts."""
        return None if self.details is None else self.details.status

    def __post_init__(self) -> None:
        if self.effect is Effect.ALLOW and not self.policies:
            raise ValueError("an ALLOW must name the policies that determined it")
        if (self.reason in ALLOWING) is not (self.effect is Effect.ALLOW):
            raise ValueError(f"the reason {self.reason} does not go with the effect {self.effect}")
