"""`extauthz decide`: what the policy says to one request, and which rules say it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.options import PathsArgument, RequestFlags, ValuesOption, with_request_flags
from extauthz.cli.render import OutputFormat, console, print_diagnostics, print_json, visible
from extauthz.model.decision import Effect, PolicyId
from extauthz.model.policy import PolicySet

if TYPE_CHECKING:
    from extauthz.check.answer import Answer
    from extauthz.check.reply import ClientResponse
    from extauthz.cli.question import Asked
    from extauthz.model.source import Span


@with_request_flags
def decide(
    paths: PathsArgument,
    flags: RequestFlags,
    explain: Annotated[bool, typer.Option("--explain", help="Show every step, rule and condition.")] = False,
    values: ValuesOption = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the decision.")] = OutputFormat.TEXT,
) -> int:
    """Decide one request as the service would. Exit 0 when it is allowed, 2 when denied.

    Keys that the policy keeps at an issuer are fetched from there.

    Example: extauthz decide policies/shop --values policies/shop.values.yaml --path /orders/7 --token "$TOKEN"
    """
    return print_answer(paths, values, flags, output, explain=explain)


def print_answer(
    paths: list[Path], values: Path | None, flags: RequestFlags, output: OutputFormat, *, explain: bool
) -> int:
    """Ask, print what came of it, and why where that is wanted; returns the exit code."""
    from extauthz.cli.explanation import explain_asked, explanation_json, print_explanation
    from extauthz.cli.question import ask

    asked = ask(paths, values, flags)
    explanation = explain_asked(asked) if explain else None
    if output is OutputFormat.JSON:
        document = _as_json(asked)
        print_json(document if explanation is None else {**document, "explanation": explanation_json(explanation)})
    else:
        print_diagnostics(asked.warnings, console(stderr=True))
        _print(asked)
        if explanation is not None:
            print_explanation(explanation, asked.policy_set, console())
    return 0 if asked.answer.decision.effect is Effect.ALLOW else EXIT_NEGATIVE


# --- Printing ------------------------------------------------------------------------------------------------------


def _route_span(policy_set: PolicySet, name: str | None) -> Span | None:
    return next((route.span for route in policy_set.routes if route.name == name), None)


def _print(asked: Asked) -> None:
    from extauthz.authoring.failure import rule_places
    from extauthz.check.reply import client_response
    from extauthz.check.response import status_of

    answer, request, policy_set = asked.answer, asked.request, asked.policy_set
    decision = answer.decision
    allowed = decision.effect is Effect.ALLOW
    out = console()
    if asked.principal is not None:
        out.print("claims are taken as given: no token was verified", style="bold yellow")
    out.print(
        Text(decision.effect.upper(), style="bold green" if allowed else "bold red"),
        str(status_of(decision)),
        str(decision.reason),
    )
    spans = rule_places(policy_set)
    lines = [("request", f"{request.method} {request.scheme or 'http'}://{request.host}{request.target}")]
    lines.append(("at", _rfc3339(asked.now)))
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


def _as_json(asked: Asked) -> dict[str, object]:
    from extauthz.authoring.failure import rule_places
    from extauthz.check.reply import client_response
    from extauthz.check.response import status_of

    answer, request, policy_set = asked.answer, asked.request, asked.policy_set
    decision, spans = answer.decision, rule_places(policy_set)
    return {
        "effect": decision.effect,
        "status": status_of(decision),
        "reason": decision.reason,
        "route": decision.route,
        "policies": [_place(policy, spans) for policy in decision.policies],
        "errors": [_place(policy, spans) for policy in decision.errors],
        "provider": decision.provider,
        "subject": decision.subject,
        "credentials_verified": asked.principal is None,
        "request": {"method": request.method, "host": request.host, "path": request.target},
        "at": _rfc3339(asked.now),
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
