"""`extauthz demo`: the policies/shop set in front of a real Envoy, and what it makes of each request of a table.

On this machine, or against a stack that runs elsewhere, as in containers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.demo_serve import certificates, serve_issuer, serve_upstream
from extauthz.cli.render import OutputFormat, console, count, print_json, print_table
from extauthz.errors import ConfigurationError
from extauthz.lowering.mode import Mode

if TYPE_CHECKING:
    from extauthz.demo.run import Demo
    from extauthz.demo.table import DemoRequest, Outcome

demo_app = typer.Typer(name="demo", invoke_without_command=True)

_DECISION_COLUMNS = ("reason", "decided by")
_COLUMNS = ("", "request", "caller", "expected", "actual", *_DECISION_COLUMNS, "x-user")
_FILE_WIDTH = 160  # of a table that goes to no terminal: no cell is folded
_START_SECONDS = 30.0


@demo_app.callback()
def demo(
    context: typer.Context,
    *,
    hold: Annotated[bool, typer.Option("--hold", help="Keep everything up, with curl lines, until Ctrl-C.")] = False,
    mode: Annotated[
        Mode, typer.Option(help="Who decides: the authorizer (check), or Envoy what it can (native, wasm, split).")
    ] = Mode.CHECK,
    against: Annotated[
        str | None, typer.Option(metavar="URL", help="Start nothing; send the requests to this proxy.")
    ] = None,
    issuer: Annotated[
        str, typer.Option(metavar="URL", help="With --against: who mints the tokens, as `demo serve-issuer`.")
    ] = "http://localhost:8081",
    ca: Annotated[
        Path | None, typer.Option("--ca", metavar="FILE", help="With --against https://...: the authorities, PEM.")
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the table.")] = OutputFormat.TEXT,
) -> int | None:
    """Run real Envoy, an issuer, an upstream and the service on free ports, and requests through them.

    The policy is the example set `shop`; `rego` and `mixed` are served beside it.

    Exit 0 when every request comes out as expected, 2 when one does not.

    Example: extauthz demo --mode native
    """
    if context.invoked_subcommand is not None:
        return None
    if against is not None:
        if hold:
            raise ConfigurationError("--hold keeps up what the demo starts, and with --against it starts nothing")
        if mode is not Mode.CHECK:
            raise ConfigurationError("--mode is for what the demo starts, and with --against it starts nothing")
        return _exit_code(_send_against(against, issuer, ca, output))
    if ca is not None:
        raise ConfigurationError("--ca goes with --against")
    started = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(prefix="extauthz-demo-") as directory:
            return _exit_code(asyncio.run(_run(Path(directory), started, output, mode, hold=hold)))
    except asyncio.CancelledError:
        return 128 + signal.SIGTERM


demo_app.command("certificates")(certificates)
demo_app.command("serve-issuer")(serve_issuer)
demo_app.command("serve-upstream")(serve_upstream)


def _exit_code(outcomes: Sequence[Outcome]) -> int:
    return EXIT_NEGATIVE if any(outcome.differences for outcome in outcomes) else 0


def _send_against(against: str, issuer: str, ca_file: Path | None, output: OutputFormat) -> Sequence[Outcome]:
    from extauthz.demo.client import parse_server
    from extauthz.demo.run import send_against
    from extauthz.demo.table import requests_of

    outcomes = send_against(
        parse_server(against, ca_file),
        parse_server(issuer),
        requests_of("shop"),
        clock=time.time,  # noqa: TID251 - the command hands the clock on
        start_seconds=_START_SECONDS,
    )
    _print(outcomes, output, ready_seconds=None)
    return outcomes


async def _run(directory: Path, started: float, output: OutputFormat, mode: Mode, *, hold: bool) -> Sequence[Outcome]:
    from extauthz.demo.run import running_demo
    from extauthz.demo.table import examples, requests_of

    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - asyncio.run made it
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)  # as Ctrl-C: what was started is stopped
    async with AsyncExitStack() as stack:
        demos: dict[str, Demo] = {}
        for example in examples():
            (directory / example).mkdir()
            running = running_demo(directory / example, time.time, mode, example)  # noqa: TID251 - it hands the clock on
            demos[example] = await stack.enter_async_context(running)
        ready_seconds = time.monotonic() - started
        outcomes = [outcome for example, demo in demos.items() for outcome in await demo.send(requests_of(example))]
        _print(outcomes, output, ready_seconds)
        if hold:
            for example, demo in demos.items():
                _print_curl_lines(demo, requests_of(example))
            stop = asyncio.Event()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, stop.set)
            await stop.wait()
    return outcomes


def _print(outcomes: Sequence[Outcome], output: OutputFormat, ready_seconds: float | None) -> None:
    if output is OutputFormat.JSON:
        print_json(_as_json(outcomes, ready_seconds))
    else:
        _print_outcomes(outcomes, ready_seconds)


def _print_outcomes(outcomes: Sequence[Outcome], ready_seconds: float | None) -> None:
    out = console()
    if not out.is_terminal:
        out.width = _FILE_WIDTH
    seen = any(outcome.decision_seen for outcome in outcomes)
    columns = [column for column in _COLUMNS if seen or column not in _DECISION_COLUMNS]
    print_table(columns, [_row(outcome) for outcome in outcomes], out)
    wrong = sum(bool(outcome.differences) for outcome in outcomes)
    verdict = f"{wrong} not as expected" if wrong else "all as expected"
    ready = "" if ready_seconds is None else f"; ready after {ready_seconds:.1f} s"
    out.print(f"{count(len(outcomes), 'request')}, {verdict}{ready}", style="bold red" if wrong else "bold green")


def _row(outcome: Outcome) -> Sequence[str | Text]:
    request, actual, expected = outcome.request, outcome.actual, outcome.request.expected
    allowed = actual.status in {"200", "grpc 0"}
    return [
        Text("no", style="bold red") if outcome.differences else Text("ok", style="green"),
        f"{request.method} {request.path}",
        _caller(request),
        expected.status,
        Text(actual.status, style="green" if allowed else "yellow"),
        *_decision(outcome),
        _compare(expected.user or "", actual.user or ""),
    ]


def _decision(outcome: Outcome) -> Sequence[str | Text]:
    if not outcome.decision_seen:
        return ()
    expected, actual = outcome.request.expected, outcome.actual
    return (
        _compare(expected.reason or "", actual.reason or ""),
        _compare(", ".join(expected.policies), ", ".join(actual.policies)),
    )


def _caller(request: DemoRequest) -> str:
    caller = "anonymous" if request.caller is None else request.caller.label or request.caller.name
    return f"{caller} ({request.note})" if request.note else caller


def _compare(expected: str, actual: str) -> str | Text:
    return actual if expected == actual else Text(f"{actual or 'nothing'}, not {expected or 'nothing'}", style="red")


def _as_json(outcomes: Sequence[Outcome], ready_seconds: float | None) -> dict[str, object]:
    return {
        "ok": not any(outcome.differences for outcome in outcomes),
        "ready_seconds": None if ready_seconds is None else round(ready_seconds, 3),
        "requests": [
            {
                "method": outcome.request.method,
                "path": outcome.request.path,
                "caller": None if outcome.request.caller is None else outcome.request.caller.name,
                "note": outcome.request.note,
                "example": outcome.request.example,
                "expected": dataclasses.asdict(outcome.request.expected),
                "actual": dataclasses.asdict(outcome.actual),
                "decision_seen": outcome.decision_seen,
                "differences": list(outcome.differences),
            }
            for outcome in outcomes
        ],
    }


def _print_curl_lines(demo: Demo, requests: Sequence[DemoRequest]) -> None:
    out = console(stderr=True)
    out.print(f"\nEnvoy at {demo.client.proxy}, its access log in {demo.access_log}; Ctrl-C ends it. Try:\n")
    for request in requests:
        if not request.is_grpc:
            out.print(f"# {_caller(request)}: {request.expected.status} {request.expected.reason or ''}".rstrip())
            out.print(demo.client.curl(request) + "\n")
