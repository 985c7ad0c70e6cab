"""`extauthz policy test`: run the tests of a policy set."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.text import Text

from extauthz.cli import EXIT_INTERRUPTED, EXIT_NEGATIVE
from extauthz.cli.render import console, count, print_diagnostics, print_json, visible
from extauthz.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from extauthz.authoring.failure import FailureWriter
    from extauthz.authoring.junit import RegoSuiteResult, SuiteResult
    from extauthz.authoring.run import CaseResult
    from extauthz.cli.suites import Bench

_POLL_MILLISECONDS = 200
_LONG_RUN = 500
"""Tests from which on a terminal shows progress."""


class ResultFormat(StrEnum):
    """`--format`."""

    TEXT = "text"
    JSON = "json"
    JUNIT = "junit"


def run_tests(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set, with its tests.")
    ],
    run: Annotated[
        str | None, typer.Option(metavar="GLOB", help="Run only the tests whose names match, as in 'orders: *'.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again whenever a file changes, until interrupted.")
    ] = False,
    values: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
    ] = None,
    from_record: Annotated[
        Path | None,
        typer.Option(metavar="LOG", help="Run each kind of decision that `serve --record` wrote there as a test, too."),
    ] = None,
    output: Annotated[ResultFormat, typer.Option("--format", help="How to print the results.")] = ResultFormat.TEXT,
) -> int:
    """Run the tests of a policy set: *_test.yaml, and *_test.rego as `opa test`.

    Exit 0 when all pass, 2 when one fails, 3 when a file is broken. Tests are those in the folders given and beside the
    files given; test files that are named are the only ones run.
    Tokens are signed by keys made for the run, so the whole authentication is tested and nothing is fetched.

    Example: extauthz policy test policies/shop --values policies/shop.values.yaml --run 'orders: *'
    """
    if not watch:
        return _run_once(paths, values, run, from_record, output)
    for _ in _changes(paths, values):
        try:
            _run_once(paths, values, run, from_record, output)
        except PolicyError as error:
            print_diagnostics(error.diagnostics, console(stderr=True))
        except ConfigurationError as error:
            console(stderr=True).print(visible(f"extauthz: {error}"))
    return EXIT_INTERRUPTED  # what ends a watch is an interrupt


def _run_once(
    paths: Sequence[Path], values: Path | None, run: str | None, record: Path | None, output: ResultFormat
) -> int:
    from extauthz.authoring.failure import FailureWriter
    from extauthz.authoring.junit import junit_xml
    from extauthz.cli.rego_results import rego_results
    from extauthz.cli.suites import STATUSES, load_bench

    bench = load_bench(paths, values, run=run, record=record)
    for note in bench.notes:
        console(stderr=True).print(visible(note), style="yellow")
    writer = FailureWriter(bench.runner.snapshot, STATUSES)
    rego = rego_results(bench, time.time())  # noqa: TID251 - a command reads the clock and hands it on
    results = list(_results(bench, writer))
    failed = sum(len(suite.failures) for suite in results) + sum(len(suite.failures) for suite in rego)
    match output:
        case ResultFormat.JSON:
            print_json(_as_json(results, rego, bench))
        case ResultFormat.JUNIT:
            typer.echo(junit_xml(results, rego), nl=False)
        case ResultFormat.TEXT:
            _print(results, rego, console())
    return EXIT_NEGATIVE if failed else 0


def _results(bench: Bench, writer: FailureWriter) -> Iterator[SuiteResult]:
    from extauthz.authoring.junit import SuiteResult

    progress = console(stderr=True)
    total = sum(len(suite.cases) for suite in bench.suites)
    shows = progress.is_terminal and total >= _LONG_RUN
    for suite in bench.suites:
        started = time.perf_counter()
        cases = track(suite.cases, suite.path, console=progress, transient=True, disable=not shows)
        results = tuple(bench.runner.run(case) for case in cases)
        failures = {result.case.name: writer.lines(result) for result in results if not result.passed}
        yield SuiteResult(suite.path, results, failures, time.perf_counter() - started)


def _changes(paths: Sequence[Path], values: Path | None) -> Iterator[None]:
    """At once, and then after every change below the paths."""
    import watchfiles

    folders = {path if path.is_dir() else path.parent for path in (*paths, *([values] if values else []))}
    first = True
    # Listening has begun before anything is yielded: what changes during a run is not missed.
    for changes in watchfiles.watch(
        *folders, watch_filter=None, debounce=400, rust_timeout=_POLL_MILLISECONDS, yield_on_timeout=True
    ):
        if first or changes:
            yield
        first = False


# --- Printing ------------------------------------------------------------------------------------------------------


def _print(results: Sequence[SuiteResult], rego: Sequence[RegoSuiteResult], out: Console) -> None:
    from extauthz.cli.rego_results import counts, print_rego

    print_rego(rego, out)
    for suite in results:
        failed = len(suite.failures)
        tally = (
            f"{failed} of {count(len(suite.results), 'test')} failed"
            if failed
            else f"{count(len(suite.results), 'test')} passed"
        )
        out.print(Text(visible(suite.path), style="bold"), Text(tally, style="red" if failed else "green"))
        for result in suite.results:
            if not result.passed:
                _print_failure(result, suite, out)
    total, failed, skipped = counts(rego)
    failed += sum(len(suite.failures) for suite in results)
    total += sum(len(suite.results) for suite in results)
    seconds = sum(suite.seconds for suite in results) + sum(suite.seconds for suite in rego)
    verdict = f"{failed} failed, {total - failed} passed" if failed else f"{total} passed"
    verdict += f", {skipped} to do" if skipped else ""
    out.print(f"{verdict} in {seconds:.2f} s", style="bold red" if failed else "bold green")


def _print_failure(result: CaseResult, suite: SuiteResult, out: Console) -> None:
    out.print(Text("  FAIL ", style="bold red"), Text(visible(result.case.name), style="bold"), sep="")
    out.print(Text(f"       {visible(str(result.case.expect.span))}", style="dim"))
    lines = suite.failures[result.case.name]
    width = max(len(line.label) for line in lines)
    for line in lines:
        out.print(Text(f"       {line.label:<{width}}  ", style="dim"), Text(visible(line.text)), sep="")


def _as_json(results: Sequence[SuiteResult], rego: Sequence[RegoSuiteResult], bench: Bench) -> dict[str, object]:
    from extauthz.cli.rego_results import counts, rego_json

    total, failed, skipped = counts(rego)
    return {
        "ok": not failed and not any(suite.failures for suite in results),
        "revision": bench.loaded.parsed.policy_set.revision,
        "tests": total + sum(len(suite.results) for suite in results),
        "failures": failed + sum(len(suite.failures) for suite in results),
        **({"skipped": skipped, "rego": rego_json(rego)} if rego else {}),
        "suites": [
            {"file": suite.path, "cases": [_case_json(result, suite) for result in suite.results]} for suite in results
        ],
    }


def _case_json(result: CaseResult, suite: SuiteResult) -> dict[str, object]:
    case, decision = result.case, result.decision
    return {
        "name": case.name,
        "file": case.span.file,
        "line": case.span.line,
        "column": case.span.column,
        "passed": result.passed,
        "differences": [
            {"what": each.what, "expected": each.expected, "decided": each.decided} for each in result.differences
        ],
        "effect": decision.effect if decision else None,
        "reason": decision.reason if decision else None,
        "policies": list(decision.policies) if decision else [],
        "details": [f"{line.label}: {line.text}" for line in suite.failures.get(case.name, ())],
    }
