"""`extauthz compile`: a policy set into Envoy configuration that enforces it, with a report of what goes where."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.cli.compile_watch import compile_delivered, follow, write_files
from extauthz.cli.render import OutputFormat, console, print_diagnostics, visible
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.lowering.address import Address
    from extauthz.lowering.istio import Workloads
    from extauthz.lowering.plan import Plan
    from extauthz.lowering.wasm.compiler import WasmPlan
    from extauthz.model.policy import PolicySet

_AUTHORIZER = "127.0.0.1:9000"  # where `extauthz serve` listens unless told otherwise


class Target(StrEnum):
    """What a policy set is compiled to."""

    ENVOY = "envoy"
    """Envoy's own filters, with the authorizer behind them for what they cannot decide."""
    WASM = "wasm"
    """A WebAssembly module that Envoy runs, with the authorizer behind it for what it cannot decide."""
    ISTIO = "istio"
    """Envoy's own filters as an EnvoyFilter of Istio's; or an AuthorizationPolicy that asks the authorizer."""


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
    namespace: Annotated[
        str | None, typer.Option("--namespace", metavar="NAME", help="With --to istio: of the workloads.")
    ] = None,
    selector: Annotated[
        list[str] | None,
        typer.Option("--selector", metavar="LABEL=VALUE", help="With --to istio: which workloads; repeatable."),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="With --to wasm: go on, and write the module anew when the policy changes; Envoy takes it."
        ),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that is not empty.")] = False,
    report_format: Annotated[
        OutputFormat, typer.Option("--format", help="How to print the report.")
    ] = OutputFormat.TEXT,
) -> None:
    """Compile a policy set for Envoy, and say which rules Envoy enforces by itself and which the authorizer does.

    Writes http_filters.json (an array, to go before the router, and after a cors filter), hcm.json (further fields of
    the HttpConnectionManager), clusters.json (an array, to add) and report.json; with --to wasm also policy.wasm, the
    module that http_filters.json holds. With --to istio, for the workloads that --namespace and --selector name:
    envoy_filter.json, or in its place authorization_policy.json and mesh_config.json, and report.json.

    With --to wasm --watch the module is in extension.json, which the filters name by the path of DIR and Envoy reads
    again when it is replaced; Envoy's node needs an id and a cluster. A change that needs other filters or clusters is
    refused, as is a wrong policy: the last good one stays. SIGHUP loads the files again, SIGTERM ends it.

    Example: extauthz compile policies/shop --values policies/shop.values.yaml --to envoy -o build/
    """
    from extauthz.lowering.address import parse_address
    from extauthz.lowering.document import render
    from extauthz.lowering.report import refuse_residual, render_report, report_document
    from extauthz.lowering.wasm.compiler import WasmPlan
    from extauthz.sources.policy_files import load

    authorizer = parse_address(authz)
    if watch and to is not Target.WASM:
        raise ConfigurationError("--watch goes with --to wasm: several filters cannot be replaced at one moment")
    workloads = _workloads(to, namespace, selector)
    _check_folder(output, force=force)
    loaded = load([str(path) for path in paths], values_file=None if values is None else str(values))
    parsed = loaded.parsed
    print_diagnostics(parsed.warnings, console(stderr=True))
    has_authorizer = residual is Residual.ALLOW
    plan = _plan(parsed.policy_set, to, has_authorizer=has_authorizer)
    if residual is Residual.FORBID:
        refuse_residual(plan)
    residual_to = authorizer if has_authorizer else None
    delivered = compile_delivered(plan, residual_to, output) if watch and isinstance(plan, WasmPlan) else None
    write_files(output, _files(plan, residual_to, workloads) if delivered is None else delivered.files)
    if report_format is OutputFormat.JSON:
        typer.echo(render(report_document(plan, has_authorizer=has_authorizer)), nl=False)
    else:
        typer.echo("\n".join(visible(line) for line in render_report(plan, has_authorizer=has_authorizer)))
    if delivered is not None:
        follow(loaded, paths, values, delivered.name, output, residual_to)


def _plan(policy_set: PolicySet, to: Target, *, has_authorizer: bool) -> Plan | WasmPlan:
    from extauthz.lowering.planner import make_plan
    from extauthz.lowering.wasm.compiler import compile_module

    match to:
        case Target.ENVOY | Target.ISTIO:
            return make_plan(policy_set)
        case Target.WASM:
            return compile_module(policy_set, has_authorizer=has_authorizer)


def _files(plan: Plan | WasmPlan, authorizer: Address | None, workloads: Workloads | None) -> Mapping[str, str | bytes]:
    from extauthz.lowering.compile import compile_native, compile_wasm
    from extauthz.lowering.istio import compile_istio
    from extauthz.lowering.plan import Plan

    if isinstance(plan, Plan):
        if workloads is not None:
            return compile_istio(plan, workloads, authorizer=authorizer)
        return compile_native(plan, authorizer=authorizer)
    return compile_wasm(plan, authorizer=authorizer)


def _workloads(to: Target, namespace: str | None, selector: list[str] | None) -> Workloads | None:
    """For whom the policy is, where that is to be said."""
    from extauthz.lowering.istio import Workloads, parse_selector

    if to is not Target.ISTIO:
        if namespace is not None or selector:
            raise ConfigurationError("--namespace and --selector go with --to istio")
        return None
    return Workloads(namespace or "default", parse_selector(selector or []))


def _check_folder(folder: Path, *, force: bool) -> None:
    """Refuse what would be overwritten; before anything is read, since a policy may be large."""
    if folder.exists() and not folder.is_dir():
        raise ConfigurationError(f"--output {folder}: is no folder")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise ConfigurationError(f"--output {folder}: is not empty; --force writes into it")
