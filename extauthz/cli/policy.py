"""`extauthz policy`: check a policy set; print the schema that editors check it by."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from extauthz.cli import EXIT_WRONG_INPUT
from extauthz.cli.render import OutputFormat, console, count, diagnostic_json, print_diagnostics, print_json, visible
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.model.policy import PolicySet
from extauthz.model.source import Diagnostic, Severity

policy_app = typer.Typer(name="policy", help="Check policy sets, and print their schema.", no_args_is_help=True)


@policy_app.command("validate")
def validate(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set.")],
    values: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the outcome.")] = OutputFormat.TEXT,
    lint: Annotated[bool, typer.Option("--lint", help="Warn of what is legal but unwise, too.")] = False,
    warnings_as_errors: Annotated[bool, typer.Option("--warnings-as-errors", help="Warnings fail, too.")] = False,
) -> int:
    """Check a policy set, whole: every problem with its place. Exit 0 when it can be served, 3 when not.

    What a warning is about, and what to write instead: `extauthz policy rule EAZnnn`.

    Example: extauthz policy validate policies/shop --values policies/shop.values.yaml --lint
    """
    from extauthz.sources.policy_files import load

    try:
        loaded = load(
            [str(path) for path in paths], values_file=None if values is None else str(values), with_lint=lint
        )
    except PolicyError as error:
        _report(error.diagnostics, None, output)
        return EXIT_WRONG_INPUT
    except ConfigurationError as error:
        if output is OutputFormat.JSON:
            print_json({"ok": False, "name": None, "revision": None, "diagnostics": [], "error": str(error)})
        raise
    warnings = loaded.parsed.warnings
    refused = warnings_as_errors and bool(warnings)
    _report(warnings, None if refused else loaded.parsed.policy_set, output)
    return EXIT_WRONG_INPUT if refused else 0


@policy_app.command("schema")
def schema(
    tests: Annotated[bool, typer.Option("--tests", help="Of test files (*_test.yaml), not of policy files.")] = False,
) -> None:
    """Print the JSON Schema of policy files, for editors (`# yaml-language-server: $schema=...`).

    Example: extauthz policy schema --tests > test.schema.json
    """
    from extauthz.authoring.language import suite_schema
    from extauthz.languages.policy_yaml import policy_schema

    print_json(suite_schema() if tests else policy_schema())


def _report(diagnostics: Sequence[Diagnostic], policy_set: PolicySet | None, output: OutputFormat) -> None:
    """Say what was found; `policy_set` is None when it may not be served."""
    if output is OutputFormat.JSON:
        print_json(
            {
                "ok": policy_set is not None,
                "name": policy_set.name if policy_set else None,
                "revision": policy_set.revision if policy_set else None,
                "diagnostics": [diagnostic_json(diagnostic) for diagnostic in diagnostics],
            }
        )
        return
    findings = console(stderr=True)
    print_diagnostics(diagnostics, findings)
    if policy_set is None:
        findings.print(_tally(diagnostics), style="bold")
        return
    providers = len(policy_set.providers) + len(policy_set.api_key_providers)
    parts = [count(len(policy_set.routes), "route"), count(len(policy_set.roles), "role"), count(providers, "provider")]
    console().print(f"ok: {visible(policy_set.name)}: {', '.join(parts)}, revision {policy_set.revision}")


def _tally(diagnostics: Sequence[Diagnostic]) -> str:
    errors = sum(diagnostic.severity is Severity.ERROR for diagnostic in diagnostics)
    warnings = len(diagnostics) - errors
    return ", ".join(count(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n)
