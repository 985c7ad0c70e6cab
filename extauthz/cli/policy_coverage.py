"""`extauthz policy coverage`: what the tests of a policy set exercise."""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from extauthz.authoring.covered import Kind
from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.options import PathsArgument, ValuesOption
from extauthz.cli.render import console, count, print_json, print_table, visible

if TYPE_CHECKING:
    from extauthz.authoring.coverage import Item
    from extauthz.cli.suites import Bench

_STYLES = {"+": "green", "~": "yellow", "-": "red", " ": "dim"}


class CoverageFormat(StrEnum):
    """`--format`."""

    TEXT = "text"
    SOURCE = "source"
    JSON = "json"
    LCOV = "lcov"


def measure(
    paths: PathsArgument,
    fail_under: Annotated[
        float | None, typer.Option("--fail-under", metavar="N", min=0, max=100, help="Exit 2 below N percent.")
    ] = None,
    kind: Annotated[
        list[Kind] | None, typer.Option(help="What counts, repeatable: by default all of it.", show_default=False)
    ] = None,
    values: ValuesOption = None,
    output: Annotated[CoverageFormat, typer.Option("--format", help="How to print it.")] = CoverageFormat.TEXT,
) -> int:
    """Show which routes, rules, roles, bindings and conditions the tests exercise, by outcome, and lines of Rego.

    Exit 2 when a test fails, or the share is under --fail-under.

    Example: extauthz policy coverage policies/shop --values policies/shop.values.yaml --fail-under 90
    """
    from extauthz.authoring.coverage import share_of
    from extauthz.cli.suites import load_bench

    bench = load_bench(paths, values)
    all_items, failed = _measure(bench)
    kinds = tuple(dict.fromkeys(kind)) if kind else tuple(Kind)
    items = [item for item in all_items if item.kind in kinds]
    match output:
        case CoverageFormat.TEXT:
            _print(items, kinds, console())
        case CoverageFormat.SOURCE:
            _print_source(items, bench, console())
        case CoverageFormat.JSON:
            print_json(_as_json(items, kinds, bench))
        case CoverageFormat.LCOV:
            from extauthz.authoring.coverage_report import lcov

            typer.echo(lcov(items), nl=False)
    share = share_of(items)
    messages = console(stderr=True)
    if failed:
        messages.print(f"{count(failed, 'test')} failed: see `extauthz policy test`", style="bold red")
    too_low = fail_under is not None and share.percent < fail_under
    if too_low:
        messages.print(f"{share.percent:.1f} % is under the {fail_under:g} % asked for", style="bold red")
    return EXIT_NEGATIVE if failed or too_low else 0


def _measure(bench: Bench) -> tuple[Sequence[Item], int]:
    """What there is to exercise, counted, and how many tests failed."""
    from extauthz.authoring.coverage import Coverage
    from extauthz.authoring.rego_coverage import RegoCoverage
    from extauthz.cli.rego_results import counts, rego_results

    coverage = Coverage(bench.runner.snapshot)
    modules = bench.loaded.rego.modules if bench.loaded.rego is not None else ()
    rego = RegoCoverage(modules, bench.policy_set, bench.rego)
    _, failed, _ = counts(rego_results(bench, time.time()))  # noqa: TID251 - a command reads the clock and hands it on
    for suite in bench.suites:
        for case in suite.cases:
            result = bench.runner.run(case)
            failed += not result.passed
            if result.decision is not None:
                coverage.add(result.question, result.decision)
    return (*coverage.items, *rego.items), failed


def _print(items: Sequence[Item], kinds: Sequence[Kind], out: Console) -> None:
    """A table of shares, then everything that is missing at its place."""
    from extauthz.authoring.coverage import share_of

    rows = []
    for kind in kinds:
        share = share_of(item for item in items if item.kind is kind)
        if share.of:
            rows.append((str(kind), f"{share.seen} of {share.of}", f"{share.percent:.1f} %"))
    total = share_of(items)
    rows.append(("all", f"{total.seen} of {total.of}", f"{total.percent:.1f} %"))
    print_table(("what", "outcomes seen", "share"), rows, out)
    for item in items:
        if item.missing:
            line = Text(f"{item.kind:<9} ", style="dim")
            line.append(visible(item.name), style="bold")
            line.append(f" never {' or '.join(item.missing)}", style="yellow")
            if item.span is not None:
                line.append(f"  {visible(str(item.span))}", style="dim")
            out.print(line)


def _print_source(items: Sequence[Item], bench: Bench, out: Console) -> None:
    from extauthz.authoring.coverage_report import by_line, marked_source
    from extauthz.sources.policy_files import read_regular_file

    for path, lines in sorted(by_line(items).items()):
        if path not in bench.loaded.sources:
            continue
        out.print(Text(visible(path), style="bold"))
        for mark, number, line, lacks in marked_source(read_regular_file(path).decode(), lines):
            text = Text(f"{mark} ", style=_STYLES[mark])
            text.append(f"{number:>4}  ", style="dim")
            text.append(visible(line))
            if lacks:
                text.append(f"  # {visible(lacks)}", style=_STYLES[mark])
            out.print(text)


def _as_json(items: Sequence[Item], kinds: Sequence[Kind], bench: Bench) -> dict[str, object]:
    from extauthz.authoring.coverage import share_of

    shares = {str(kind): share_of(item for item in items if item.kind is kind) for kind in kinds}
    return {
        "revision": bench.loaded.parsed.policy_set.revision,
        "percent": round(share_of(items).percent, 2),
        "kinds": {
            kind: {"seen": share.seen, "of": share.of, "percent": round(share.percent, 2)}
            for kind, share in shares.items()
        },
        "items": [
            {
                "kind": item.kind,
                "name": item.name,
                "file": item.span.file if item.span is not None else None,
                "line": item.span.line if item.span is not None else None,
                "column": item.span.column if item.span is not None else None,
                "seen": dict(sorted(item.seen.items())),
                "missing": list(item.missing),
            }
            for item in items
        ],
    }
