"""`extauthz envoy audit`: what in Envoy's configuration lets requests past authorization."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.render import OutputFormat, console, count, diagnostic_json, print_diagnostics, print_json, visible
from extauthz.errors import ConfigurationError
from extauthz.model.source import Severity

if TYPE_CHECKING:
    from extauthz.envoy_audit.audit import Audit
    from extauthz.envoy_audit.rule import Rule


def audit_files(
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="FILE...", help="Bootstraps, listeners or parts of them: YAML or JSON.", show_default=False
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="EAEnnn", help="Do not ask this rule; repeatable.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(metavar="EAEnnn|all", help="Say what a rule is about, or which there are; no FILE then."),
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the outcome.")] = OutputFormat.TEXT,
) -> int:
    """Look in Envoy's configuration for what lets requests past authorization, or be read in two ways.

    Exit 0 when nothing is found, 2 when something is. What comes by discovery is not seen, and told.

    Example: extauthz envoy audit envoy.yaml --ignore EAE302
    """
    if (rule is None) == (not files):
        raise ConfigurationError("name FILEs to look at, or a rule to read about by --rule")
    if rule is not None:
        _describe(rule, output)
        return 0
    ignored = frozenset(_rule(code).code for code in ignore or ())
    audits = {file: _audit(file, ignored) for file in files or ()}
    if output is OutputFormat.JSON:
        print_json([_as_json(file, each) for file, each in audits.items()])
    else:
        for file, each in audits.items():
            _print(file, each)
    return EXIT_NEGATIVE if any(each.findings for each in audits.values()) else 0


def _audit(file: Path, ignored: frozenset[str]) -> Audit:
    from extauthz.envoy_audit.audit import audit
    from extauthz.sources.policy_files import read_regular_file

    try:
        content = read_regular_file(str(file))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    found = audit(str(file), content, ignored=ignored)
    if not found.managers:
        raise ConfigurationError(f"{file} holds no HttpConnectionManager: name a bootstrap, or a listener")
    return found


def _rule(code: str) -> Rule:
    from extauthz.envoy_audit.codes import find

    found = find(code)
    if found is None:
        raise ConfigurationError(f"there is no rule {code!r}: `extauthz envoy audit --rule all` lists them")
    return found


def _print(file: Path, audit: Audit) -> None:
    out = console()
    print_diagnostics(audit.findings, out)
    for note in audit.unseen:
        out.print(f"not seen: {visible(note)}", style="dim")
    errors = sum(each.severity is Severity.ERROR for each in audit.findings)
    warnings = len(audit.findings) - errors
    tally = ", ".join(count(n, noun) for n, noun in ((errors, "error"), (warnings, "warning")) if n) or "ok"
    out.print(f"{visible(str(file))}: {tally} in {count(audit.managers, 'HttpConnectionManager')}", style="bold")


def _as_json(file: Path, audit: Audit) -> dict[str, object]:
    return {
        "file": str(file),
        "ok": not audit.findings,
        "managers": audit.managers,
        "findings": [diagnostic_json(each) for each in audit.findings],
        "unseen": list(audit.unseen),
    }


def _describe(code: str, output: OutputFormat) -> None:
    from extauthz.envoy_audit.codes import RULES

    chosen = RULES if code == "all" else (_rule(code),)
    if output is OutputFormat.JSON:
        print_json(
            [{"code": r.code, "title": r.title, "severity": r.severity, "why": " ".join(r.why.split())} for r in chosen]
        )
        return
    out = console()
    for each in chosen:
        if code == "all":
            out.print(f"{each.code}  {each.title}")
            continue
        out.print(f"{each.code}: {each.title}", style="bold")
        out.print(f"{each.severity}\n\n{each.why}")
        for title, text in (("not", each.wrong), ("but", each.right)):
            out.print(f"\n{title}:\n", style="bold")
            out.print("".join(f"    {line}\n" for line in text.splitlines()), end="")
