"""What `decide` and `policy explain` ask: one request to one policy set, given by flags or captured, and the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authn.claims import principal_of
from extauthz.authn.strict_json import JsonRefusedError, parse_object
from extauthz.authorizer import NeedEngine, Snapshot, authorize_as, build_snapshot
from extauthz.check.answer import Answer, Answerer, new_decision_id
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.check.response import ReplyWriter
from extauthz.cli.options import RequestFlags
from extauthz.cli.sample import Sample, check_request_of, parse_header, parse_time, read_captured
from extauthz.errors import ClaimInvalidError, ConfigurationError, EnvironmentUnfitError, RequestMalformedError
from extauthz.model.access import Principal
from extauthz.model.decision import Reason
from extauthz.model.policy import Authentication, PolicySet
from extauthz.model.provider import Provider
from extauthz.model.source import Diagnostic
from extauthz.sources.jwks import KeySetEvent, KeySetEventKind, KeySetFetcher
from extauthz.sources.policy_files import load, read_regular_file

_FETCH_SECONDS = 5.0
"""How long a remote key set may take."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A question and its answer."""

    snapshot: Snapshot
    warnings: tuple[Diagnostic, ...]
    request: CheckedRequest
    now: float
    principal: Principal | None
    """Who was assumed to ask; None when the request's credentials were verified."""
    answer: Answer

    @property
    def policy_set(self) -> PolicySet:
        return self.snapshot.policy_set


def ask(paths: list[Path], values: Path | None, flags: RequestFlags) -> Asked:
    """Load the set and decide; keys that the policy keeps at an issuer are fetched from there.

    Raises:
        ConfigurationError: a path or flag cannot be used.
        PolicyError: the set must not be served.
        EnvironmentUnfitError: keys cannot be fetched.
    """
    _check_flags(flags)
    now = time.time() if flags.at is None else parse_time(flags.at)  # noqa: TID251 - a command reads the clock
    parsed = load([str(p) for p in paths], values_file=None if values is None else str(values)).parsed
    policy_set = parsed.policy_set
    message = _message(flags, policy_set, now)
    key_sets = KeySets()
    snapshot = build_snapshot(policy_set, key_sets, VerifiedTokens())
    request = _checked(message, flags.request)
    principal = None if flags.claims is None else principal_as(policy_set, flags.claims)
    if principal is None:
        answer = _answer(Answerer(snapshot), message, now, key_sets)
    else:
        answer = _answer_as(snapshot, request, principal, now)
    return Asked(snapshot, parsed.warnings, request, now, principal, answer)


def _message(flags: RequestFlags, policy_set: PolicySet, now: float) -> bytes:
    if flags.request is not None:
        return read_captured(_content(flags.request), str(flags.request))
    headers = [parse_header(text) for text in flags.header or ()]
    headers += [("authorization", f"Bearer {flags.token}")] if flags.token is not None else []
    host = flags.host or only_host(policy_set)
    sample = Sample(flags.method or "GET", flags.path or "", host, headers, flags.source, flags.workload)
    return check_request_of(sample, now)


# --- The request ---------------------------------------------------------------------------------------------------


def _check_flags(flags: RequestFlags) -> None:
    described: Mapping[str, object] = {
        "--method": flags.method,
        "--path": flags.path,
        "--host": flags.host,
        "--header": flags.header,
        "--source": flags.source,
        "--workload": flags.workload,
        "--token": flags.token,
    }
    given = [flag for flag, value in described.items() if value]
    if flags.request is not None and given:
        raise ConfigurationError(f"{given[0]} and --request exclude each other: the capture says it all")
    if flags.request is None and flags.path is None:
        raise ConfigurationError("which request? Give --path, or a captured one by --request")
    if flags.claims is not None and flags.token is not None:
        raise ConfigurationError("--claims and --token exclude each other: who is it?")


def _content(file: Path) -> bytes:
    try:
        return read_regular_file(str(file))
    except OSError as error:
        raise ConfigurationError(f"--request {file}: {error.strerror}") from error


def _checked(message: bytes, file: Path | None) -> CheckedRequest:
    try:
        return read_check_request(message)
    except RequestMalformedError as error:
        raise ConfigurationError(f"--request {file}: {error}") from error


def only_host(policy_set: PolicySet) -> str:
    """The host that a sample is for when none is given: the policy's, if it names exactly one."""
    hosts = {route.host for route in policy_set.routes if route.host is not None}
    if len(hosts) == 1:
        (host,) = hosts
        if not host.suffix:
            return host.host
    return "localhost"


# --- The answer ----------------------------------------------------------------------------------------------------


def _answer(answerer: Answerer, message: bytes, now: float, key_sets: KeySets) -> Answer:
    answer = answerer.answer(message, now)
    if not isinstance(answer, Answer):
        answer = asyncio.run(_answer_with_keys(answerer, message, now, key_sets))
    if answer.failure is not None:
        raise answer.failure
    return answer


async def _answer_with_keys(answerer: Answerer, message: bytes, now: float, key_sets: KeySets) -> Answer:
    """Fetch what is missing once per provider and key, and ask again.

    Raises:
        EnvironmentUnfitError: the issuer cannot be reached; the service would answer 503.
    """
    failures: list[KeySetEvent] = []

    def on_event(event: KeySetEvent) -> None:
        if event.kind is KeySetEventKind.FAILED:
            failures.append(event)

    fetcher = KeySetFetcher(key_sets, state_dir=None, on_event=on_event, clock=lambda: now)
    need = None
    while True:
        answer = answerer.answer(message, now)
        assert not isinstance(answer, NeedEngine)  # noqa: S101 - only the service has an engine
        if isinstance(answer, Answer):
            if need is not None and answer.decision.reason is Reason.KEY_SET_UNAVAILABLE:
                detail = failures[-1].detail if failures else "no keys came"
                raise EnvironmentUnfitError(f"the keys of provider {need.provider.name} cannot be fetched: {detail}")
            return answer
        if need == answer:
            raise EnvironmentUnfitError(f"the keys of provider {need.provider.name} were fetched and are not usable")
        need = answer
        try:
            async with asyncio.timeout(_FETCH_SECONDS):
                await fetcher.fetch(need)
        except TimeoutError as error:
            message_text = f"the keys of provider {need.provider.name} did not come within {_FETCH_SECONDS:g} s"
            raise EnvironmentUnfitError(message_text) from error


def principal_as(policy_set: PolicySet, claims: str) -> Principal:
    """Who the claims are about, though nobody verified them.

    Raises:
        ConfigurationError: no JSON object, of no provider, or not what the provider's mapping takes.
    """
    try:
        stated = parse_object(claims.encode("utf-8", "surrogateescape"))
    except JsonRefusedError as error:
        raise ConfigurationError(f"--claims: {error}") from error
    provider = _provider_of(policy_set, stated.get("iss"))
    try:
        return principal_of(provider, stated, policy_set.roles)
    except ClaimInvalidError as error:
        raise ConfigurationError(f"--claims: {error}; in service the answer would be 401 claim_invalid") from error


def _answer_as(snapshot: Snapshot, request: CheckedRequest, principal: Principal, now: float) -> Answer:
    """Decide for a principal that nobody verified."""
    policy_set = snapshot.policy_set
    decision = authorize_as(request, snapshot, now, principal)
    _check_provider_counts(policy_set, decision.route, principal.provider)
    decision_id = new_decision_id()
    reply = ReplyWriter(policy_set.responses, policy_set.revision).write(decision, decision_id)
    return Answer(reply, decision, request, decision_id)


def _provider_of(policy_set: PolicySet, issuer: object) -> Provider:
    """Whose claims these are: `iss` says it, as in a token; it may be left out where there is one provider."""
    if issuer is None and len(policy_set.providers) == 1:
        return policy_set.providers[0]
    for provider in policy_set.providers:
        if provider.issuer == issuer:
            return provider
    known = ", ".join(provider.issuer for provider in policy_set.providers) or "none"
    raise ConfigurationError(f"--claims: set iss to an issuer of the policy: {known}")


def _check_provider_counts(policy_set: PolicySet, route_name: str | None, provider: str | None) -> None:
    for route in policy_set.routes:
        looks = route.authentication is not Authentication.NONE
        if route.name == route_name and looks and provider not in route.providers:
            raise ConfigurationError(
                f"--claims: route {route.name} does not accept provider {provider} (it accepts "
                f"{', '.join(route.providers)}); in service the answer would be 401 issuer_unknown"
            )
