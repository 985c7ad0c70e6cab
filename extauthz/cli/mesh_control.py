"""`extauthz mesh control`: the services and certificates of a mesh, to its sidecars."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from extauthz.errors import ConfigurationError
from extauthz.telemetry.logging import LogFormat, LogLevel


def run(
    *,
    registry: Annotated[Path, typer.Option("--registry", metavar="FILE", help="The services: YAML; followed.")],
    nodes: Annotated[
        Path, typer.Option("--nodes", metavar="FILE", help="Whose token stands for which identity: YAML.")
    ],
    authority: Annotated[
        Path, typer.Option("--ca", metavar="FOLDER", help="The authority, ca.pem and ca.key; made if there is none.")
    ],
    listen: Annotated[
        str, typer.Option("--listen", metavar="ADDR", help="Where sidecars ask: host:port over TLS, or unix:/path.")
    ] = "127.0.0.1:15012",
    trust_domain: Annotated[str, typer.Option(metavar="NAME", help="Of all identities.")] = "cluster.local",
    docker: Annotated[
        str | None,
        typer.Option("--docker", metavar="ADDR", help="Also containers with the label extauthz.service, from there."),
    ] = None,
    lifetime: Annotated[
        str, typer.Option(metavar="DURATION", help="Of workloads' certificates; renewed at half of it.")
    ] = "1440m",
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.AUTO,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged.")] = LogLevel.INFO,
) -> None:
    """Serve a mesh's services and certificates to its sidecars, by Envoy's discovery protocol.

    Instances that come and go reach every sidecar at once. Each node gets the certificate of its own identity alone.
    The authority is for development: its key lies in a file.

    Example: extauthz mesh control --registry services.yaml --nodes nodes.yaml --ca authority/
    """
    from extauthz.lowering.address import UnixAddress, parse_address
    from extauthz.mesh.control import Control, run_control
    from extauthz.mesh.identity import check_trust_domain
    from extauthz.mesh.services import parse_seconds
    from extauthz.telemetry.logging import build_logger

    try:
        seconds = parse_seconds(lifetime)
        domain = check_trust_domain(trust_domain)
    except ValueError as error:
        raise ConfigurationError(str(error)) from None
    docker_address = None if docker is None else parse_address(docker)
    if docker_address is not None and not isinstance(docker_address, UnixAddress):
        raise ConfigurationError(f"--docker {docker}: give its Unix socket, as unix:/var/run/docker.sock")
    control = Control(registry, nodes, authority, domain, parse_address(listen), docker_address, seconds)
    logger = build_logger(sys.stderr, log_format=log_format, level=log_level)
    run_control(control, logger, time.time)  # noqa: TID251 - the command hands the clock on
