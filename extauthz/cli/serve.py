"""`extauthz serve`: answer Envoy's calls under a policy set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="PATH...",
            help="Policy files and folders: one set. With --opa-config: Rego, data and bundles.",
            show_default=False,
        ),
    ] = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(metavar="ADDR", help="Where calls arrive: host:port or unix:/path; repeatable. [127.0.0.1:9000]"),
    ] = None,
    transport: Annotated[
        str | None, typer.Option(metavar="h2corn|grpcio", help="The library that speaks gRPC. [h2corn]")
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak TLS at TCP addresses: the certificate chain (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The key of --tls-cert.")] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Let only callers in that have a certificate of these authorities."),
    ] = None,
    admin: Annotated[
        str | None, typer.Option(metavar="ADDR", help="The private listener: probes, metrics. [127.0.0.1:9180]")
    ] = None,
    admin_tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Speak TLS there: the certificate chain (PEM).")
    ] = None,
    admin_tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="The key of --admin-tls-cert.")] = None,
    admin_client_ca: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Whose certificates /v1/* asks for; needed to serve it off loopback."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(metavar="N", help="Processes that answer calls, under one that supervises them. [1]")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keeps the last good key sets over restarts; created 0700.")
    ] = None,
    decision_log: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|stdout|otlp|off", help="A line for every decision; otlp sends it as OTEL_* say. [off]"
        ),
    ] = None,
    decision_log_max_bytes: Annotated[
        int | None, typer.Option(metavar="BYTES", help="Put the decision log aside at this size. [never]")
    ] = None,
    decision_log_keep: Annotated[
        int | None, typer.Option(metavar="N", help="How many of those are kept, as FILE.1, FILE.2. [5]")
    ] = None,
    record: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Keep requests with their decisions, without secrets, for `replay`."),
    ] = None,
    traces: Annotated[
        str | None,
        typer.Option(metavar="off|otlp", help="A span for every decision, sent as the OTEL_* variables say. [off]"),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(metavar="YAML", help="A remote OPA that must allow, too: {opa: {url: URL, path: shop/allow}}."),
    ] = None,
    opa_config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Serve as a drop-in for opa-envoy-plugin, by OPA's configuration file."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="With --opa-config: the set that vouches for callers; repeatable."),
    ] = None,
    strict: Annotated[
        bool | None,
        typer.Option("--strict", help="With --opa-config: deny what is not decided, whatever failure_mode_allow says."),
    ] = None,
    values: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Settings in YAML; flags and EXTAUTHZ_* win over it.")
    ] = None,
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print the settings that result, and exit.")
    ] = False,
) -> None:
    """Answer Envoy's ext_authz calls; the policy is loaded again when its files change, or on SIGHUP.

    Example: extauthz serve policies/shop --values policies/shop.values.yaml --listen 0.0.0.0:9000
    """
    from extauthz.settings import load_settings, render_settings

    given: dict[str, object] = {
        "paths": paths or None,
        "listen": listen or None,
        "transport": transport,
        "tls_cert": None if tls_cert is None else str(tls_cert),
        "tls_key": None if tls_key is None else str(tls_key),
        "client_ca": None if client_ca is None else str(client_ca),
        "admin": admin,
        "admin_tls_cert": None if admin_tls_cert is None else str(admin_tls_cert),
        "admin_tls_key": None if admin_tls_key is None else str(admin_tls_key),
        "admin_client_ca": None if admin_client_ca is None else str(admin_client_ca),
        "workers": workers,
        "state": None if state is None else str(state),
        "decision_log": decision_log,
        "decision_log_max_bytes": decision_log_max_bytes,
        "decision_log_keep": decision_log_keep,
        "record": None if record is None else str(record),
        "traces": traces,
        "engine": engine,
        "opa_config": None if opa_config is None else str(opa_config),
        "policy": policy or None,
        "strict": strict,
        "values": None if values is None else str(values),
    }
    flags = {name: value for name, value in given.items() if value is not None}
    settings = load_settings(flags, None if config is None else str(config))
    if print_config:
        typer.echo(render_settings(settings), nl=False)
        return
    from extauthz.app import run_service

    run_service(settings)
