"""`extauthz compile`: a policy set into Envoy configuration that enforces it, with a report of what goes where."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

    Example: extauthz compile policies/shop --values policies/shop.values.yaml --to envoy -o build/
    """
    from extauthz.lowering.address import parse_address
    from extauthz.lowering.document import render
    from extauthz.lowering.report import refuse_residual, render_report, report_document
    from extauthz.sources.policy_files import load

    authorizer = parse_address(authz)
    workloads = _workloads(to, namespace, selector)
    _check_folder(output, force=force)
    parsed = load([str(path) for path in paths], values_file=None if values is None else str(values)).parsed
    print_diagnostics(parsed.warnings, console(stderr=True))
    has_authorizer = residual is Residual.ALLOW
    plan = _plan(parsed.policy_set, to, has_authorizer=has_authorizer)
    if residual is Residual.FORBID:
        refuse_residual(plan)
    files = _files(plan, authorizer if has_authorizer else None, workloads)
    _write(output, files)
    if report_format is OutputFormat.JSON:
        typer.echo(render(report_document(plan, has_authorizer=has_authorizer)), nl=False)
    else:
        typer.echo("\n".join(visible(line) for line in render_report(plan, has_authorizer=has_authorizer)))


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


def _write(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Each file appears whole or not at all: an Envoy may be reading the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        temporary = folder / f".{name}.{os.getpid()}"
        try:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)
