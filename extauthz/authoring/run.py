"""Tests, run: each is decided by the authorizer, as in service, and compared with what it expects."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authoring.expectation import Difference, differences
from extauthz.authoring.suite import DEFAULT_CLAIMS, AssumedPrincipal, Case, MintedToken, WrittenRequest
from extauthz.authorizer import NeedEngine, Snapshot, authorize, authorize_as
from extauthz.errors import ExtAuthzError
from extauthz.model.access import AccessRequest, JsonValue, Principal
from extauthz.model.decision import Decision, Reason
from extauthz.model.policy import Authentication
from extauthz.model.provider import Provider

SignToken = Callable[[Provider, Mapping[str, JsonValue]], str]
"""A JWT with these claims and no others, signed by a key that the snapshot trusts for the provider."""


class NotDecidableError(ExtAuthzError):
    """A test whose question has no answer: the message says why, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Question:
    """A test, ready to be decided: the request as it arrives, and who is assumed to ask."""

    request: AccessRequest
    principal: Principal | None
    """None: the request's credentials are verified."""
    now: float


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What came of one test."""

    case: Case
    question: Question
    decision: Decision | None
    """None when the question has no answer."""
    differences: tuple[Difference, ...]
    problem: str = ""
    """Why it has none."""

    @property
    def passed(self) -> bool:
        return self.decision is not None and not self.differences


class Runner:
    """Runs tests against one compiled set."""

    def __init__(self, snapshot: Snapshot, statuses: Mapping[Reason, int], sign: SignToken) -> None:
        self.snapshot = snapshot
        self._statuses = statuses
        self._sign = sign
        self._tokens: dict[tuple[int, float], tuple[MintedToken, str]] = {}
        """By the caller's identity, which stays its own while it is kept here."""
        self._accepted = {
            route.name: (frozenset(route.providers), route.authentication) for route in snapshot.policy_set.routes
        }

    def run(self, case: Case) -> CaseResult:
        """Decide one test and compare."""
        question = self.question(case)
        try:
            decision = self._decide(question)
        except NotDecidableError as error:
            return CaseResult(case, question, None, (), str(error))
        status = decision.given_status or self._statuses[decision.reason]
        return CaseResult(case, question, decision, differences(case.expect, decision, status))

    def question(self, case: Case) -> Question:
        """The test's request with the caller's credential in its place."""
        if isinstance(case.caller, AssumedPrincipal):
            return Question(case.request, case.caller.principal, case.now)
        if isinstance(case.caller, MintedToken) and isinstance(case.request, WrittenRequest):
            token = self._token(case.caller, case.now)
            return Question(_carrying(case.request, case.caller.provider, token), None, case.now)
        return Question(case.request, None, case.now)

    def _decide(self, question: Question) -> Decision:
        if question.principal is not None:
            decision = authorize_as(question.request, self.snapshot, question.now, question.principal)
            self._check_provider_counts(decision, question.principal)
            return decision
        decided = authorize(question.request, self.snapshot, question.now)
        if isinstance(decided, NeedKeySet):
            raise NotDecidableError(f"the keys of provider {decided.provider.name} are not at hand")
        assert not isinstance(decided, NeedEngine)  # noqa: S101 - only the service has an engine
        return decided

    def _check_provider_counts(self, decision: Decision, principal: Principal) -> None:
        """In service the caller would not be known on this route, and the answer would be 401, or for another one."""
        policy_set = self.snapshot.policy_set
        providers, authentication = frozenset(policy_set.default_providers), Authentication.REQUIRED
        if decision.route is not None:
            providers, authentication = self._accepted[decision.route]
        if authentication is not Authentication.NONE and principal.provider not in providers:
            where = f"route {decision.route}" if decision.route else "a request that no route owns"
            raise NotDecidableError(
                f"credentials of provider {principal.provider} do not count on {where}: "
                "write `token` to test what comes of them"
            )

    def _token(self, caller: MintedToken, now: float) -> str:
        key = (id(caller), now)
        if key not in self._tokens:
            self._tokens[key] = caller, self._mint(caller, now)
        return self._tokens[key][1]

    def _mint(self, caller: MintedToken, now: float) -> str:
        provider = caller.provider
        defaults: dict[str, JsonValue] = {
            "iss": provider.issuer,
            "iat": int(now),
            "exp": int(now + caller.expires_in_seconds),
        }
        if caller.subject is not None:
            defaults["sub"] = caller.subject
        if provider.audiences:
            defaults["aud"] = provider.audiences[0]
        # A null leaves a default out.
        claims = {
            name: value
            for name, value in {**defaults, **caller.claims}.items()
            if value is not None or name not in DEFAULT_CLAIMS
        }
        token = self._sign(provider, claims)
        return _tampered(token) if caller.tampered else token


def _tampered(token: str) -> str:
    """The token with a claim more, which its signature does not cover."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    changed = base64.urlsafe_b64encode(json.dumps({**claims, "tampered": True}).encode()).rstrip(b"=").decode()
    return f"{header}.{changed}.{signature}"


def _carrying(request: WrittenRequest, provider: Provider, token: str) -> WrittenRequest:
    """The request with the token where the provider reads it first."""
    location = provider.tokens[0]
    if location.header is None:
        header = ("cookie", f"{location.cookie}={token}")
    else:
        header = (location.header, f"{location.scheme} {token}" if location.scheme else token)
    return replace(request, headers=(*request.headers, header))
