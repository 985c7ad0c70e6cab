"""`extauthz opa`: policies and data in a running OPA."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import Progress
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.render import OutputFormat, console, count, print_json, print_table, visible
from extauthz.errors import EnvironmentUnfitError

if TYPE_CHECKING:
    from extauthz.sources.opa_admin import OpaAdmin, OpaHealth
    from extauthz.sources.opa_push import PushPlan, Step

opa_app = typer.Typer(name="opa", help="Policies and data in a running OPA.", no_args_is_help=True)

_STYLES = {"add": "green", "change": "yellow", "remove": "red", "keep": "dim"}
_LONG_PUSH = 20
"""Changes from which on a terminal shows progress."""

Url = Annotated[str, typer.Option(metavar="URL", help="OPA's root.")]
TokenFile = Annotated[Path | None, typer.Option(metavar="FILE", help="A bearer token that OPA takes.")]
CaFile = Annotated[Path | None, typer.Option(metavar="FILE", help="The only authorities to believe (PEM).")]
ClientCert = Annotated[Path | None, typer.Option(metavar="FILE", help="Our certificate, where OPA asks for one.")]
ClientKey = Annotated[Path | None, typer.Option(metavar="FILE", help="The key of --client-cert.")]
Format = Annotated[OutputFormat, typer.Option("--format", help="How to print.")]

_DEFAULT_URL = "http://127.0.0.1:8181"


@opa_app.command()
def push(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Rego modules, data documents, and folders of them.")
    ],
    url: Url = _DEFAULT_URL,
    name: Annotated[str, typer.Option(metavar="NAME", help="Of this push: the next one of the name replaces it.")] = (
        "main"
    ),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would change.")] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Replace data that is there and not of this push.")
    ] = False,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    output: Format = OutputFormat.TEXT,
) -> None:
    """Put Rego modules and data into a running OPA; what an earlier push of the name left and is gone here is removed.

    Modules get the ids extauthz/NAME/FILE. Nothing that other people put there is touched.

    Example: extauthz opa push policies/shop-rego --url https://opa.example:8181 --token-file token --dry-run
    """
    from extauthz.sources.opa_push import apply_push, check_name, plan_push, read_local

    check_name(name)
    local = read_local(paths)
    with _admin(url, token_file, ca_file, client_cert, client_key) as opa:
        plan = plan_push(name, local, opa, takes_over=take_over)
        if not dry_run:
            with _progress(plan) as done:
                apply_push(plan, opa, done)
    if output is OutputFormat.JSON:
        print_json(_plan_json(plan, url, pushed=not dry_run))
    else:
        _print_plan(plan, url, pushed=not dry_run)


@opa_app.command()
def status(
    url: Url = _DEFAULT_URL,
    token_file: TokenFile = None,
    ca_file: CaFile = None,
    client_cert: ClientCert = None,
    client_key: ClientKey = None,
    output: Format = OutputFormat.TEXT,
) -> int:
    """Say how a running OPA is and what it has. Exit 0 when it is healthy, 2 when it is not, 1 when it is not reached.

    Example: extauthz opa status --url http://127.0.0.1:8181 --format json
    """
    from extauthz.sources.opa_push import PUSHES

    with _admin(url, token_file, ca_file, client_cert, client_key) as opa:
        health, packages, pushes = opa.health(), dict(opa.packages()), opa.data(PUSHES) or {}
    if output is OutputFormat.JSON:
        print_json(
            {
                "url": url,
                "healthy": health.healthy,
                "version": health.version,
                "bundles": dict(health.bundles),
                "policies": [{"id": id_, "package": package} for id_, package in sorted(packages.items())],
                "pushes": {each: {"revision": left["revision"]} for each, left in sorted(pushes.items())},
            }
        )
    else:
        _print_status(url, health, packages, pushes)
    return 0 if health.healthy else EXIT_NEGATIVE


@contextmanager
def _admin(
    url: str, token_file: Path | None, ca_file: Path | None, client_cert: Path | None, client_key: Path | None
) -> Iterator[OpaAdmin]:
    try:
        from extauthz.sources.opa_admin import OpaAdmin, OpaConnection
    except ModuleNotFoundError:
        raise EnvironmentUnfitError("this needs opa-python-client: pip install 'extauthz[opa]'") from None
    with OpaAdmin(OpaConnection(url, token_file, ca_file, client_cert, client_key)) as opa:
        yield opa


@contextmanager
def _progress(plan: PushPlan) -> Iterator[Any]:
    out = console(stderr=True)
    shows = out.is_terminal and len(plan.changes) >= _LONG_PUSH
    with Progress(console=out, transient=True, disable=not shows) as progress:
        task = progress.add_task("pushing", total=len(plan.changes))

        def done(_: Step) -> None:
            progress.advance(task)

        yield done


def _plan_json(plan: PushPlan, url: str, *, pushed: bool) -> dict[str, Any]:
    return {
        "url": url,
        "name": plan.name,
        "revision": plan.local.revision,
        "pushed": pushed,
        "changes": len(plan.changes),
        "steps": [{"action": step.action, "kind": step.kind, "name": step.name} for step in plan.steps],
    }


def _print_plan(plan: PushPlan, url: str, *, pushed: bool) -> None:
    out = console()
    rows = [
        (Text(step.action, style=_STYLES[step.action]), step.kind, step.name)
        for step in sorted(plan.changes, key=lambda step: (step.kind, step.name))
    ]
    if rows:
        print_table(["", "", "name"], rows, out)
    kept = count(len(plan.steps) - len(rows), "item")
    verb = "pushed to" if pushed else "would be pushed to"
    out.print(visible(f"{count(len(rows), 'change')} {verb} {url} as {plan.name}, {kept} kept; {plan.local.revision}"))


def _print_status(url: str, health: OpaHealth, packages: dict[str, str], pushes: dict[str, Any]) -> None:
    out = console()
    state = Text("healthy", style="green") if health.healthy else Text("not healthy", style="bold red")
    out.print(Text(visible(f"{url}: OPA {health.version}, ")) + state)
    for bundle, revision in sorted(health.bundles.items()):
        out.print(visible(f"bundle {bundle}: revision {revision or '(none)'}"))
    for name, left in sorted(pushes.items()):
        out.print(visible(f"push {name}: revision {left['revision'] or '(not finished: push again)'}"))
    if packages:
        print_table(["policy", "package"], sorted(packages.items()), out)
    else:
        out.print("no policies")
