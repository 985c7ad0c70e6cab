"""`extauthz compile`: a policy set into Envoy configuration that enforces it, with a report of what goes where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from extauthz.cli.render import OutputFormat, console, print_diagnostics, visible
from extauthz.errors import ConfigurationError

_AUTHORIZER = "127.0.0.1:9000"  # where `extauthz serve` listens unless told otherwise


class Target(StrEnum):
    """What a policy set is compiled to."""

    ENVOY = "envoy"
    """Envoy's own filters, with the authorizer behind them for what they cannot decide."""


class Residual(StrEnum):
    """What to do with rules that Envoy cannot decide exactly."""

    ALLOW = "allow"
    """The authorizer decides them."""
    FORBID = "forbid"
    """They are errors; there is no authorizer."""


def compile_(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set.")],
    *,
    to: Annotated[Target, typer.Option("--to", help="What to compile to.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="The folder to write into.")],
    authz: Annotated[str, typer.Option("--authz", metavar="ADDR", help="Where the authorizer listens.")] = _AUTHORIZER,
    residual: Annotated[
        Residual,
        typer.Option(
            help="Rules that Envoy cannot decide exactly go to the authorizer, or are errors: then none runs."
        ),
    ] = Residual.ALLOW,
    values: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    report_format: Annotated[
        OutputFormat, typer.Option("--format", help="How to print the report.")
    ] = OutputFormat.TEXT,
) -> None:
    """Compile a policy set to Envoy's own filters, and say which rules they enforce and which the authorizer does.

    Writes http_filters.json (an array, to go before the router, and after a cors filter), hcm.json (further fields of
    the HttpConnectionManager), clusters.json (an array, to add) and report.json.
    """
    from extauthz.lowering.address import parse_address
    from extauthz.lowering.compile import REPORT_FILE, compile_native
    from extauthz.lowering.planner import make_plan
    from extauthz.lowering.report import refuse_residual, render_report
    from extauthz.sources.policy_files import load

    assert to is Target.ENVOY  # noqa: S101 - there is no other
    authorizer = parse_address(authz)
    _check_folder(output, force=force)
    parsed = load([str(path) for path in paths], values_file=None if values is None else str(values)).parsed
    print_diagnostics(parsed.warnings, console(stderr=True))
    plan = make_plan(parsed.policy_set)
    if residual is Residual.FORBID:
        refuse_residual(plan)
    has_authorizer = residual is Residual.ALLOW
    files = compile_native(plan, authorizer=authorizer if has_authorizer else None)
    _write(output, files)
    if report_format is OutputFormat.JSON:
        typer.echo(files[REPORT_FILE], nl=False)
    else:
        typer.echo("\n".join(visible(line) for line in render_report(plan, has_authorizer=has_authorizer)))


def _check_folder(folder: Path, *, force: bool) -> None:
    """Refuse what would be overwritten; before anything is read, since a policy may be large."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--output {folder}: is no folder")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ConfigurationError(f"--output {folder}: is not empty; --force writes into it")


def _write(folder: Path, files: Mapping[str, str]) -> None:
    """Each file appears whole or not at all: an Envoy may be reading the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        temporary = folder / f".{name}.{os.getpid()}"
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)
