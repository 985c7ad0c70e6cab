"""`extauthz mesh sidecar`: the proxy beside an application, and what decides for it."""

from __future__ import annotations

import dataclasses
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.errors import ConfigurationError
from extauthz.lowering.mode import Mode
from extauthz.mesh.inbound import MutualTls
from extauthz.mesh.outbound import Unknown
from extauthz.telemetry.logging import LogFormat, LogLevel

if TYPE_CHECKING:
    from extauthz.mesh.peer_tls import CertificateSource
    from extauthz.mesh.pod_environment import PodEnvironment
    from extauthz.mesh.services import Registry
    from extauthz.mesh.sidecar import Policies
    from extauthz.mesh.sidecar_bootstrap import ControlPlane, Side, Sidecar
    from extauthz.model.policy import PolicySet
    from extauthz.settings import Settings

_LEVELS = {"warning": LogLevel.WARNING, "error": LogLevel.ERROR, "critical": LogLevel.ERROR, "off": LogLevel.ERROR}
_ENVOY_LEVELS = ("trace", "debug", "info", "warning", "error", "critical", "off")


def run(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="The application's policy. [EXTAUTHZ_PATHS; without: no policy]"),
    ] = None,
    *,
    mutual_tls: Annotated[
        MutualTls, typer.Option("--mtls", help="What callers must bring: a certificate (strict), maybe one, none.")
    ] = MutualTls.STRICT,
    mode: Annotated[
        Mode, typer.Option("--mode", help="Who decides inbound: the authorizer, or Envoy what it can.")
    ] = Mode.CHECK,
    values: Annotated[
        Path | None, typer.Option(metavar="FILE", help="What ${NAME} in the policies stands for: a YAML map.")
    ] = None,
    outbound_policy: Annotated[
        list[Path] | None,
        typer.Option("--outbound-policy", metavar="PATH", help="A policy for the calls that the application makes."),
    ] = None,
    unknown: Annotated[
        Unknown, typer.Option("--unknown", help="Calls to hosts that are no service, and what is not HTTP.")
    ] = Unknown.REFUSE,
    services: Annotated[
        Path | None, typer.Option("--services", metavar="FILE", help="The services that the application may call.")
    ] = None,
    certificates: Annotated[
        Path | None,
        typer.Option(
            "--certs", metavar="FOLDER", help="cert-chain.pem, key.pem and root-cert.pem; read again when swapped."
        ),
    ] = None,
    control: Annotated[
        str | None,
        typer.Option("--control", metavar="ADDR", help="Services and certificates come from `mesh control` there."),
    ] = None,
    control_ca: Annotated[
        Path | None, typer.Option("--control-ca", metavar="FILE", help="Whom the control plane is verified by, PEM.")
    ] = None,
    control_token: Annotated[
        Path | None, typer.Option("--control-token", metavar="FILE", help="The node's secret for the control plane.")
    ] = None,
    directory: Annotated[
        Path, typer.Option("--directory", metavar="FOLDER", help="For Envoy's configuration and sockets.")
    ] = Path("/etc/istio/proxy"),
    access_log: Annotated[Path | None, typer.Option("--access-log", metavar="FILE", help="[standard output]")] = None,
    status_port: Annotated[
        int, typer.Option("--status-port", min=1, max=65535, help="Where kubelets ask for the application's probes.")
    ] = 15020,
    concurrency: Annotated[int, typer.Option(min=1, max=128, help="Envoy's threads.")] = 2,
    drain_seconds: Annotated[
        float, typer.Option(min=0, max=600, help="How long to answer after SIGTERM; SIGINT ends at once.")
    ] = 5.0,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.AUTO,
    log_level: Annotated[
        str, typer.Option(metavar="LEVEL", help="The least that is logged, by Envoy too.")
    ] = "warning",
    print_config: Annotated[
        bool, typer.Option("--print-config", help="Print Envoy's configuration and its listeners, and run nothing.")
    ] = False,
) -> None:
    """Run Envoy beside an application: mutual TLS and policy on the way in, services and policy on the way out.

    Ports: 15006 inbound and 15001 outbound, where `mesh init` sends what it captures; 15020 probes, 15021 health and
    15090 metrics, which it leaves alone; 15000 administration, on the loopback address. What the pod is comes from
    the variables that the injector writes.

    Example: extauthz mesh sidecar policies/first --certs certs --services services.yaml
    """
    from extauthz.demo.envoy import envoy_binary
    from extauthz.mesh.pod_environment import read_environment
    from extauthz.mesh.sidecar import Policies, Proxy, run_sidecar
    from extauthz.mesh.sidecar_bootstrap import Sidecar
    from extauthz.telemetry.logging import build_logger

    if log_level not in _ENVOY_LEVELS:
        raise ConfigurationError(f"--log-level: unknown level '{log_level}': give one of {', '.join(_ENVOY_LEVELS)}")
    pod = dataclasses.replace(read_environment(os.environ), status_port=status_port)
    plane = _control_plane(control, control_ca, control_token, pod)
    source = _certificates(certificates, directory, plane)
    sidecar = Sidecar(
        pod=pod,
        mutual_tls=mutual_tls,
        certificates=source,
        registry=_registry(services, plane),
        control=plane,
        unknown=unknown,
        access_log=None if access_log is None else str(access_log),
    )
    _refuse_missing_certificates(sidecar)
    level = _LEVELS.get(log_level, LogLevel.INFO)
    chosen = tuple(str(each) for each in paths or ()) or pod.policy
    policies = Policies(
        _settings(chosen, values, directory, "inbound"),
        _settings(tuple(str(each) for each in outbound_policy or ()), values, directory, "outbound"),
        mode,
    )
    if print_config:
        _print_configuration(sidecar, policies, directory)
        return
    logger = build_logger(sys.stderr, log_format=log_format, level=level)
    if policies.inbound is None:
        logger.warning("no_policy", note="every caller that mutual TLS lets in reaches the application")
    proxy = Proxy(envoy_binary(), directory, log_level, concurrency, drain_seconds)
    run_sidecar(sidecar, policies, proxy, logger)


def _control_plane(
    address: str | None, authorities: Path | None, token: Path | None, pod: PodEnvironment
) -> ControlPlane | None:
    from extauthz.lowering.address import TcpAddress, parse_address
    from extauthz.mesh.identity import control_identity
    from extauthz.mesh.sidecar_bootstrap import ControlPlane

    if address is None:
        if authorities is not None or token is not None:
            raise ConfigurationError("--control-ca and --control-token go with --control ADDR")
        return None
    where = parse_address(address)
    if token is None:
        raise ConfigurationError("--control-token FILE is missing: the control plane must know who asks")
    if isinstance(where, TcpAddress) != (authorities is not None):
        raise ConfigurationError("--control-ca FILE goes with --control host:port, where it is needed, and only there")
    return ControlPlane(where, control_identity(pod.trust_domain), str(authorities), _read_token(token))


def _read_token(file: Path) -> str:
    from extauthz.mesh.nodes import check_token

    try:
        return check_token(file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigurationError(f"--control-token {file}: {getattr(error, 'strerror', None) or error}") from None


def _certificates(folder: Path | None, directory: Path, plane: ControlPlane | None) -> CertificateSource | None:
    from extauthz.mesh.peer_tls import ControlledCertificates, FileCertificates

    if plane is not None:
        if folder is not None:
            raise ConfigurationError("give --certs or --control: certificates come from one place")
        return ControlledCertificates()
    if folder is None:
        return None
    source = FileCertificates(folder.absolute(), directory)
    for file in source.needed:
        if not file.is_file():
            raise ConfigurationError(f"--certs {folder}: there is no file {file.name}")
    return source


def _registry(file: Path | None, plane: ControlPlane | None) -> Registry:
    from extauthz.mesh.services import EMPTY, load_registry

    if file is None:
        return EMPTY
    if plane is not None:
        raise ConfigurationError("give --services or --control: services come from one place")
    return load_registry(file)


def _refuse_missing_certificates(sidecar: Sidecar) -> None:
    from extauthz.mesh.sidecar_bootstrap import needs_certificates

    if sidecar.certificates is not None:
        return
    give = "give --certs FOLDER or --control ADDR"
    if sidecar.mutual_tls is not MutualTls.DISABLE:
        raise ConfigurationError(f"mutual TLS needs a certificate: {give}, or --mtls disable")
    needing = needs_certificates(sidecar.registry)
    if needing:
        raise ConfigurationError(f"{', '.join(needing)}: called with mutual TLS, which needs a certificate: {give}")


def _settings(paths: tuple[str, ...], values: Path | None, directory: Path, side: str) -> Settings | None:
    from extauthz.mesh.sidecar import authorizer_address, authorizer_admin
    from extauthz.settings import Settings

    if not paths:
        return None
    return Settings(
        paths=paths,
        values=None if values is None else str(values),
        listen=(authorizer_address(directory, side),),
        admin=authorizer_admin(directory, side),
    )


def _print_configuration(sidecar: Sidecar, policies: Policies, directory: Path) -> None:
    from extauthz.lowering.document import render
    from extauthz.mesh.sidecar import inbound_side, listeners_path, outbound_side
    from extauthz.mesh.sidecar_bootstrap import bootstrap, listener_file

    inbound = None if policies.inbound is None else inbound_side(_load(policies.inbound), policies.mode, directory)
    outbound = None if policies.outbound is None else outbound_side(_load(policies.outbound), directory)
    sides: list[Side | None] = [inbound, outbound]
    path = listeners_path(directory)
    files = {"envoy.json": bootstrap(sidecar, sides, path), path.name: listener_file(sidecar, sides)}
    typer.echo(render(files), nl=False)


def _load(settings: Settings) -> PolicySet:
    from extauthz.sources.policy_files import load

    return load(settings.paths, values_file=settings.values).parsed.policy_set
