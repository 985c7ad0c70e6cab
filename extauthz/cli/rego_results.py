"""Tests in Rego, run and shown by `policy test`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from extauthz.authoring.junit import RegoSuiteResult
from extauthz.authoring.rego_tests import RegoTestResult, Verdict
from extauthz.cli.render import count, visible
from extauthz.cli.suites import Bench

_LABELS = {Verdict.FAILED: "FAIL ", Verdict.ERRORED: "ERROR"}


def rego_results(bench: Bench, now: float) -> tuple[RegoSuiteResult, ...]:
    """Run the tests that were asked for, file by file."""
    if bench.rego is None:
        return ()
    suites: list[RegoSuiteResult] = []
    for path, tests in groupby(bench.rego_tests, key=lambda test: test.span.file):
        started = time.perf_counter()
        results = tuple(result for test in tests for result in bench.rego.run(test, now))
        suites.append(RegoSuiteResult(path, results, time.perf_counter() - started))
    return tuple(suites)


def print_rego(suites: Sequence[RegoSuiteResult], out: Console) -> None:
    """A line for each file, and what is wrong below it."""
    for suite in suites:
        failed, skipped = len(suite.failures), _skipped(suite)
        run = len(suite.results) - skipped
        tally = f"{failed} of {count(run, 'test')} failed" if failed else f"{count(run, 'test')} passed"
        note = f", {skipped} to do" if skipped else ""
        out.print(Text(visible(suite.path), style="bold"), Text(tally + note, style="red" if failed else "green"))
        for result in suite.failures:
            _print_failure(result, out)


def _skipped(suite: RegoSuiteResult) -> int:
    return sum(result.verdict is Verdict.SKIPPED for result in suite.results)


def counts(suites: Sequence[RegoSuiteResult]) -> tuple[int, int, int]:
    """How many tests were run, how many of them failed, and how many were skipped."""
    skipped = sum(map(_skipped, suites))
    return sum(len(suite.results) for suite in suites) - skipped, sum(len(s.failures) for s in suites), skipped


def _print_failure(result: RegoTestResult, out: Console) -> None:
    out.print(
        Text(f"  {_LABELS[result.verdict]}", style="bold red"), Text(visible(f" {result.name}"), style="bold"), sep=""
    )
    out.print(Text(f"        {visible(str(result.span))}", style="dim"))
    lines = [("problem", result.problem), *(("printed", line) for line in result.printed)]
    for label, text in lines:
        out.print(Text(f"        {label}  ", style="dim"), Text(visible(text)), sep="")


def rego_json(suites: Sequence[RegoSuiteResult]) -> list[dict[str, object]]:
    """As `--format json` has it."""
    return [
        {
            "file": suite.path,
            "cases": [
                {
                    "name": result.name,
                    "file": result.span.file,
                    "line": result.span.line,
                    "column": result.span.column,
                    "verdict": result.verdict,
                    "problem": result.problem,
                    "printed": list(result.printed),
                }
                for result in suite.results
            ],
        }
        for suite in suites
    ]
