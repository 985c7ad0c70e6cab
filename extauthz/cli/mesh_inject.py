"""`extauthz mesh inject`, `webhook` and `manifests`: sidecars for pods, in files and on their way into a cluster."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from extauthz.errors import ConfigurationError
from extauthz.telemetry.logging import LogFormat, LogLevel

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="FILE", help="What to inject where pods do not say otherwise: YAML.")
]
CertificateOption = Annotated[str, typer.Option("--tls-cert", metavar="FILE", help="The certificate chain, PEM.")]
KeyOption = Annotated[str, typer.Option("--tls-key", metavar="FILE", help="Its private key, PEM.")]
_LISTEN = "127.0.0.1:15017"


def inject_file(
    *,
    file: Annotated[Path, typer.Option("--file", "-f", metavar="FILE", help="Manifests, YAML or JSON; - for stdin.")],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here. [standard output]")
    ] = None,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Of pods that name none.")] = "default",
    config: ConfigOption = None,
) -> None:
    """Put the sidecar into the pods of a manifest: pods, and templates of Deployments, Jobs and the like.

    What is no pod, and pods that want or may have none, come out as they are; standard error says which and why.

    Example: extauthz mesh inject -f deployment.yaml > injected.yaml
    """
    from extauthz.mesh.injection import Outcome
    from extauthz.mesh.injector_settings import load_injector_settings
    from extauthz.mesh.manifest_pods import inject_document
    from extauthz.mesh.yaml_text import dump_documents

    settings = load_injector_settings(config)

    def tell(name: str, outcome: Outcome) -> None:
        what = "left as it is" if outcome.injected is None else "injected"
        typer.echo(f"{name}: {what}: {outcome.because}", err=True)

    try:
        documents = [inject_document(each, settings, namespace, tell) for each in _read_documents(file)]
    except ConfigurationError as error:
        raise ConfigurationError(f"{file}: {error}") from None
    text = dump_documents(documents)
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def serve_webhook(
    *,
    certificate: CertificateOption,
    key: KeyOption,
    listen: Annotated[str, typer.Option(metavar="ADDR", help="Where API servers call.")] = _LISTEN,
    config: ConfigOption = None,
    log_format: Annotated[LogFormat, typer.Option(help="How log lines look.")] = LogFormat.AUTO,
    log_level: Annotated[LogLevel, typer.Option(help="The least that is logged.")] = LogLevel.INFO,
) -> None:
    """Answer a cluster's API servers: POST /inject for pods, POST /validate for ConfigMaps with a policy set.

    Over TLS; the certificate is read again when its files change.

    Example: extauthz mesh webhook --tls-cert tls.crt --tls-key tls.key
    """
    import time

    from extauthz.lowering.address import parse_address
    from extauthz.mesh.injector_settings import load_injector_settings
    from extauthz.mesh.webhook import run_webhook
    from extauthz.telemetry.logging import build_logger
    from extauthz.tls import CredentialFiles

    run_webhook(
        load_injector_settings(config),
        parse_address(listen),
        CredentialFiles(certificate, key),
        build_logger(sys.stderr, log_format=log_format, level=log_level),
        time.time,  # noqa: TID251 - the command hands the clock on
    )


def write_manifests(
    *,
    authority: Annotated[
        Path | None,
        typer.Option(
            "--ca", metavar="FILE", help="Who signed the webhook's certificate (a Secret *-tls holds it): PEM."
        ),
    ] = None,
    cert_manager: Annotated[bool, typer.Option("--cert-manager", help="cert-manager makes the certificate.")] = False,
    namespace: Annotated[str, typer.Option(metavar="NAME", help="Where the webhook runs.")] = "extauthz-system",
    replicas: Annotated[int, typer.Option(min=1, max=100, help="How many of it.")] = 2,
    reinvoked: Annotated[
        bool, typer.Option("--reinvoked", help="Have it called again when a later webhook has changed the pod.")
    ] = False,
    config: ConfigOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here. [standard output]")
    ] = None,
) -> None:
    """Write what a cluster needs for the webhook: a deployment, and what makes API servers call it.

    Example: extauthz mesh manifests --cert-manager -o webhook.yaml
    """
    from extauthz.mesh.injector_settings import load_injector_settings
    from extauthz.mesh.manifests import Installation, Reinvocation, render_manifests

    if (authority is None) is not cert_manager:
        raise ConfigurationError("give either --ca FILE or --cert-manager: API servers must know whom to trust")
    text = render_manifests(
        Installation(
            namespace=_object_name(namespace),
            settings=load_injector_settings(config),
            settings_text=None if config is None else config.read_text(encoding="utf-8"),
            authority=None if authority is None else _read_authority(authority),
            replicas=replicas,
            reinvocation=Reinvocation.IF_NEEDED if reinvoked else Reinvocation.NEVER,
        )
    )
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _read_documents(file: Path) -> list[object]:
    import yaml

    from extauthz.mesh.yaml_text import load_documents

    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8")
        documents = load_documents(text)
    except OSError as error:
        raise ConfigurationError(f"cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"no YAML: {' '.join(str(error).split())}") from None
    if not documents:
        raise ConfigurationError("there is no document in it")
    return documents


def _read_authority(file: Path) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    try:
        found = x509.load_pem_x509_certificates(file.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"--ca {file} cannot be read: {error.strerror}") from None
    except ValueError:
        raise ConfigurationError(f"--ca {file} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None
    return b"".join(each.public_bytes(Encoding.PEM) for each in found)


def _object_name(text: str) -> str:
    if not (text.isascii() and text.replace("-", "").isalnum() and text == text.lower().strip("-") and len(text) <= 63):
        raise ConfigurationError(f"--namespace: '{text}' is no name of a namespace")
    return text
