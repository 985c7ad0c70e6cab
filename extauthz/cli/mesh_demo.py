"""`extauthz mesh demo`: a mesh of three pods on this machine, and what it makes of each call of a table."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.render import OutputFormat, console, count, print_json, print_table

if TYPE_CHECKING:
    from extauthz.mesh.demo.steps import Outcome

_COLUMNS = ("", "what", "from", "request", "expected", "actual", "decided by")
_FILE_WIDTH = 160  # of a table that goes to no terminal: no cell is folded


def demo(
    *, output: Annotated[OutputFormat, typer.Option("--format", help="How to print the table.")] = OutputFormat.TEXT
) -> int:
    """Run three pods as network namespaces, each with a sidecar, and a control plane; needs root.

    Shows mutual TLS, a workload allowed and another denied, tokens at the edge, a policy for calls that go out, limits,
    and an instance that crashes. Exit 0 when every call comes out as expected, 2 when one does not. Nothing stays.

    Example: extauthz mesh demo
    """
    from extauthz.mesh.demo.stage import running_stage
    from extauthz.mesh.demo.steps import run_steps

    with (
        _ending_in_order(),
        tempfile.TemporaryDirectory(prefix="extauthz-mesh-") as folder,
        running_stage(Path(folder)) as stage,
    ):
        outcomes = run_steps(stage)
    _print(outcomes, output, stage.ready_seconds)
    return 0 if all(outcome.is_as_expected for outcome in outcomes) else EXIT_NEGATIVE


@contextmanager
def _ending_in_order() -> Iterator[None]:
    """SIGTERM as Ctrl-C: what was started is ended."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(outcomes: Sequence[Outcome], output: OutputFormat, ready_seconds: float) -> None:
    if output is OutputFormat.JSON:
        print_json(_as_json(outcomes, ready_seconds))
        return
    out = console()
    if not out.is_terminal:
        out.width = _FILE_WIDTH
    print_table(_COLUMNS, [_row(outcome) for outcome in outcomes], out)
    wrong = sum(not outcome.is_as_expected for outcome in outcomes)
    verdict = f"{wrong} not as expected" if wrong else "all as expected"
    style = "bold red" if wrong else "bold green"
    out.print(f"{count(len(outcomes), 'step')}, {verdict}; ready after {ready_seconds:.1f} s", style=style)


def _row(outcome: Outcome) -> Sequence[str | Text]:
    step = outcome.step
    decided: str | Text = outcome.decided
    if step.decided and outcome.decided != step.decided:
        decided = Text(f"{outcome.decided or 'nothing'}, not {step.decided}", style="red")
    return [
        Text("ok", style="green") if outcome.is_as_expected else Text("no", style="bold red"),
        step.title,
        step.source,
        f"{step.method} {step.host}{step.path}",
        step.expected,
        Text(outcome.actual, style="" if outcome.actual == step.expected else "red"),
        decided,
    ]


def _as_json(outcomes: Sequence[Outcome], ready_seconds: float) -> dict[str, object]:
    return {
        "ok": all(outcome.is_as_expected for outcome in outcomes),
        "ready_seconds": round(ready_seconds, 3),
        "steps": [
            {
                "title": outcome.step.title,
                "source": outcome.step.source,
                "request": f"{outcome.step.method} {outcome.step.host}{outcome.step.path}",
                "expected": {"statuses": outcome.step.expected, "decided": outcome.step.decided or None},
                "actual": {"statuses": outcome.actual, "decided": outcome.decided or None},
                "ok": outcome.is_as_expected,
            }
            for outcome in outcomes
        ],
    }
