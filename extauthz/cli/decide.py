"""`extauthz decide`: what the policy says to one request, and which rules say it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.render import OutputFormat, console, print_diagnostics, print_json, visible
from extauthz.errors import ClaimInvalidError, ConfigurationError, EnvironmentUnfitError, RequestMalformedError
from extauthz.model.decision import Effect, PolicyId, Reason
from extauthz.model.policy import Authentication, PolicySet

if TYPE_CHECKING:
    from extauthz.authn.authenticator import KeySets
    from extauthz.authorizer import Snapshot
    from extauthz.check.answer import Answer, Answerer
    from extauthz.check.reply import ClientResponse
    from extauthz.check.request import CheckedRequest
    from extauthz.model.policy import Provider
    from extauthz.model.source import Span

_FETCH_SECONDS = 5.0
"""How long a remote key set may take."""


def decide(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set.")],
    request: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A captured CheckRequest, as JSON or serialised.")
    ] = None,
    method: Annotated[
        str | None, typer.Option(metavar="M", help="The method; GET if not given.", show_default=False)
    ] = None,
    path: Annotated[str | None, typer.Option(metavar="P", help="The path, with its query.")] = None,
    host: Annotated[
        str | None,
        typer.Option(metavar="H", help="The host; if not given, the only one that the policy names, else localhost."),
    ] = None,
    header: Annotated[list[str] | None, typer.Option(metavar="K:V", help="A header; repeatable.")] = None,
    source: Annotated[str | None, typer.Option(metavar="IP", help="The address of the connection's peer.")] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="URI", help="The SPIFFE ID of the connection's peer (mTLS).")
    ] = None,
    token: Annotated[str | None, typer.Option(metavar="T", help="A bearer token, verified as in service.")] = None,
    claims: Annotated[
        str | None, typer.Option(metavar="JSON", help="Claims taken as verified, instead of a token.")
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When: RFC 3339 or epoch seconds; now if not given.", show_default=False),
    ] = None,
    values: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the decision.")] = OutputFormat.TEXT,
) -> int:
    """Decide one request as the service would. Exit 0 when it is allowed, 2 when denied.

    Keys that the policy keeps at an issuer are fetched from there.
    """
    from extauthz.authn.authenticator import KeySets, VerifiedTokens
    from extauthz.authorizer import build_snapshot
    from extauthz.check.answer import Answerer
    from extauthz.cli.sample import Sample, check_request_of, parse_header, parse_time, read_captured
    from extauthz.sources.policy_files import load

    described = {"--method": method, "--path": path, "--host": host, "--header": header}
    described |= {"--source": source, "--workload": workload, "--token": token}
    _check_flags(request, described, claims)
    now = time.time() if at is None else parse_time(at)  # noqa: TID251 - a command reads the clock and hands it on
    parsed = load([str(p) for p in paths], values_file=None if values is None else str(values)).parsed
    policy_set = parsed.policy_set
    if request is not None:
        message = read_captured(_content(request), str(request))
    else:
        headers = [parse_header(text) for text in header or ()]
        headers += [("authorization", f"Bearer {token}")] if token is not None else []
        sample = Sample(method or "GET", path or "", host or only_host(policy_set), headers, source, workload)
        message = check_request_of(sample, now)
    key_sets = KeySets()
    snapshot = build_snapshot(policy_set, key_sets, VerifiedTokens())
    checked = _checked(message, request)
    if claims is None:
        answer = _answer(Answerer(snapshot), message, now, key_sets)
    else:
        answer = _answer_as(snapshot, checked, claims, now)
    if output is OutputFormat.JSON:
        print_json(_as_json(answer, checked, policy_set, now, verified=claims is None))
    else:
        print_diagnostics(parsed.warnings, console(stderr=True))
        _print(answer, checked, policy_set, now, verified=claims is None)
    return 0 if answer.decision.effect is Effect.ALLOW else EXIT_NEGATIVE


# --- The request ---------------------------------------------------------------------------------------------------


def _check_flags(request: Path | None, described: Mapping[str, object], claims: str | None) -> None:
    given = [flag for flag, value in described.items() if value]
    if request is not None and given:
        raise ConfigurationError(f"{given[0]} and --request exclude each other: the capture says it all")
    if request is None and described["--path"] is None:
        raise ConfigurationError("which request? Give --path, or a captured one by --request")
    if claims is not None and described["--token"] is not None:
        raise ConfigurationError("--claims and --token exclude each other: who is it?")


def _content(file: Path) -> bytes:
    from extauthz.sources.policy_files import read_regular_file

    try:
        return read_regular_file(str(file))
    except OSError as error:
        raise ConfigurationError(f"--request {file}: {error.strerror}") from error


def _checked(message: bytes, file: Path | None) -> CheckedRequest:
    from extauthz.check.request import read_check_request

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
    from extauthz.check.answer import Answer

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
    from extauthz.check.answer import Answer
    from extauthz.sources.jwks import KeySetEvent, KeySetEventKind, KeySetFetcher

    failures: list[KeySetEvent] = []

    def on_event(event: KeySetEvent) -> None:
        if event.kind is KeySetEventKind.FAILED:
            failures.append(event)

    fetcher = KeySetFetcher(key_sets, state_dir=None, on_event=on_event, clock=lambda: now)
    need = None
    while True:
        answer = answerer.answer(message, now)
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


def _answer_as(snapshot: Snapshot, request: CheckedRequest, claims: str, now: float) -> Answer:
    """Decide with claims that nobody verified."""
    from extauthz.authn.claims import principal_of
    from extauthz.authn.strict_json import JsonRefusedError, parse_object
    from extauthz.authorizer import authorize_as
    from extauthz.check.answer import Answer, new_decision_id
    from extauthz.check.response import ReplyWriter

    policy_set = snapshot.policy_set
    try:
        stated = parse_object(claims.encode("utf-8", "surrogateescape"))
    except JsonRefusedError as error:
        raise ConfigurationError(f"--claims: {error}") from error
    provider = _provider_of(policy_set, stated.get("iss"))
    try:
        principal = principal_of(provider, stated, policy_set.roles)
    except ClaimInvalidError as error:
        raise ConfigurationError(f"--claims: {error}; in service the answer would be 401 claim_invalid") from error
    decision = authorize_as(request, snapshot, now, principal)
    _check_provider_counts(policy_set, decision.route, provider)
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


def _check_provider_counts(policy_set: PolicySet, route_name: str | None, provider: Provider) -> None:
    for route in policy_set.routes:
        looks = route.authentication is not Authentication.NONE
        if route.name == route_name and looks and provider.name not in route.providers:
            raise ConfigurationError(
                f"--claims: route {route.name} does not accept provider {provider.name} (it accepts "
                f"{', '.join(route.providers)}); in service the answer would be 401 issuer_unknown"
            )


# --- Printing ------------------------------------------------------------------------------------------------------


def _spans(policy_set: PolicySet) -> Mapping[PolicyId, Span]:
    """Where each rule stands."""
    spans = {PolicyId(f"{route.name}.cors"): route.span for route in policy_set.routes}
    for route in policy_set.routes:
        spans |= {rule.id: rule.span for rule in (*route.deny, *route.require, *route.allow)}
    return spans


def _route_span(policy_set: PolicySet, name: str | None) -> Span | None:
    return next((route.span for route in policy_set.routes if route.name == name), None)


def _print(answer: Answer, request: CheckedRequest, policy_set: PolicySet, now: float, *, verified: bool) -> None:
    from extauthz.check.reply import client_response
    from extauthz.check.response import ANSWERS

    decision = answer.decision
    allowed = decision.effect is Effect.ALLOW
    out = console()
    if not verified:
        out.print("claims are taken as given: no token was verified", style="bold yellow")
    out.print(
        Text(decision.effect.upper(), style="bold green" if allowed else "bold red"),
        str(ANSWERS[decision.reason].status),
        str(decision.reason),
    )
    spans = _spans(policy_set)
    lines = [("request", f"{request.method} {request.scheme or 'http'}://{request.host}{request.target}")]
    lines.append(("at", _rfc3339(now)))
    lines.append(("caller", _caller(answer)))
    if decision.route is not None:
        lines.append(("route", f"{decision.route}  {_route_span(policy_set, decision.route)}"))
    lines += [("decided by", f"{policy}  {spans[policy]}") for policy in decision.policies]
    lines += [("failed to evaluate", f"{policy}  {spans[policy]}") for policy in decision.errors]
    lines += [("upstream header", f"{name}: {value}") for name, value in decision.upstream.set]
    lines += [("removed header", name) for name in decision.upstream.remove]
    response = client_response(answer.reply)
    if response is not None:
        lines += [("response header", f"{name}: {value}") for name, value in response.headers]
        lines.append(("response body", response.body.rstrip("\n")))
    for label, text in lines:
        out.print(Text(f"  {label:<20}", style="dim"), Text(visible(text)), sep="")


def _caller(answer: Answer) -> str:
    decision = answer.decision
    if decision.subject is None:
        return "nobody authenticated"
    return f"{decision.subject} (provider {decision.provider})"


def _rfc3339(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _as_json(
    answer: Answer, request: CheckedRequest, policy_set: PolicySet, now: float, *, verified: bool
) -> dict[str, object]:
    from extauthz.check.reply import client_response
    from extauthz.check.response import ANSWERS

    decision, spans = answer.decision, _spans(policy_set)
    return {
        "effect": decision.effect,
        "status": ANSWERS[decision.reason].status,
        "reason": decision.reason,
        "route": decision.route,
        "policies": [_place(policy, spans) for policy in decision.policies],
        "errors": [_place(policy, spans) for policy in decision.errors],
        "provider": decision.provider,
        "subject": decision.subject,
        "credentials_verified": verified,
        "request": {"method": request.method, "host": request.host, "path": request.target},
        "at": _rfc3339(now),
        "revision": policy_set.revision,
        "upstream_headers": {"set": dict(decision.upstream.set), "remove": list(decision.upstream.remove)},
        "response": _response_json(client_response(answer.reply)),
    }


def _place(policy: PolicyId, spans: Mapping[PolicyId, Span]) -> dict[str, object]:
    span = spans[policy]
    return {"id": policy, "file": span.file, "line": span.line, "column": span.column}


def _response_json(response: ClientResponse | None) -> dict[str, object] | None:
    if response is None:
        return None
    return {"status": response.status, "headers": dict(response.headers), "body": response.body}
