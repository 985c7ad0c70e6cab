"""`extauthz policy diff`: what changed in meaning."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.options import ValuesOption
from extauthz.cli.render import console, print_json, visible

if TYPE_CHECKING:
    from extauthz.authoring.diff import Comparison
    from extauthz.model.policy import PolicySet

_STYLES = {"wider": "bold red", "narrower": "bold yellow", "note": "bold", "plain": ""}


class DiffFormat(StrEnum):
    """`--format`."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


class FailOn(StrEnum):
    """`--fail-on`."""

    ANY = "any"
    WIDENED = "widened"


def compare_sets(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The set as it was: a policy file or folder.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The set as it would be.")],
    fail_on: Annotated[
        FailOn,
        typer.Option(help="What exits 2: any difference, or only what may let more through."),
    ] = FailOn.ANY,
    values: ValuesOption = None,
    output: Annotated[DiffFormat, typer.Option("--format", help="How to print it.")] = DiffFormat.TEXT,
) -> int:
    """Show which requests one set allows and the other denies, each kind by an example; DENY -> ALLOW first.

    Every kind of host, path, method, caller, address and outcome of conditions is decided by both sets. Exit 0 when
    they decide every request alike, for certain; 2 when they do not, or when that could not be shown. With `--fail-on
    widened`, 2 only when NEW allows something that OLD denies, or that cannot be excluded.

    Example: extauthz policy diff policies/shop proposed/shop --values policies/shop.values.yaml --fail-on widened
    """
    from extauthz.authoring.diff_report import as_json, markdown

    comparison = _compare(_load(old, values), _load(new, values))
    match output:
        case DiffFormat.TEXT:
            _print(comparison)
        case DiffFormat.JSON:
            print_json(as_json(comparison))
        case DiffFormat.MARKDOWN:
            typer.echo(markdown(comparison), nl=False)
    failed = comparison.may_widen if fail_on is FailOn.WIDENED else not comparison.is_same
    return EXIT_NEGATIVE if failed else 0


def _load(path: Path, values: Path | None) -> PolicySet:
    from extauthz.sources.policy_files import load

    return load([str(path)], values_file=None if values is None else str(values)).parsed.policy_set


def _compare(old: PolicySet, new: PolicySet) -> Comparison:
    from extauthz.authoring.diff import compare

    with Progress(console=console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("comparing", total=None)
        return compare(old, new, on_progress=lambda done, total: progress.update(task, completed=done, total=total))


def _print(comparison: Comparison) -> None:
    from extauthz.authoring.diff_report import extent, heading, lines, summary

    out = console()
    out.print(visible(heading(comparison)), style="bold")
    for line in lines(comparison):
        out.print(Text(visible(line.text), style=_STYLES[line.tone]))
    out.print(summary(comparison), style="bold")
    out.print(extent(comparison), style="dim")
