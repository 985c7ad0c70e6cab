"""`extauthz envoy`: configuration for an Envoy that asks the authorizer, and an Envoy to run it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from extauthz.cli.render import console, print_diagnostics
from extauthz.errors import ConfigurationError
from extauthz.lowering.mode import Mode

if TYPE_CHECKING:
    from extauthz.lowering.client_tls import ClientTls
    from extauthz.lowering.document import JsonObject
    from extauthz.lowering.server_tls import ServerTls
    from extauthz.model.policy import PolicySet

envoy_app = typer.Typer(name="envoy", help="Configure Envoy to ask the authorizer, and run it.", no_args_is_help=True)

_AUTHORIZER = "127.0.0.1:9000"  # where `extauthz serve` listens unless told otherwise
_LISTEN = "127.0.0.1:10000"


Values = Annotated[
    Path | None, typer.Option(metavar="FILE", help="What ${NAME} in providers and hosts stands for: a YAML map.")
]
Authorizer = Annotated[str, typer.Option("--authz", metavar="ADDR", help="Where the authorizer listens.")]
AuthorizerCa = Annotated[
    Path | None,
    typer.Option(
        "--authz-tls-ca", metavar="FILE", help="Speak TLS to the authorizer: the authority of its certificate (PEM)."
    ),
]
AuthorizerCert = Annotated[
    Path | None,
    typer.Option("--authz-tls-cert", metavar="FILE", help="The proxy's own certificate, where it needs one."),
]
AuthorizerKey = Annotated[
    Path | None, typer.Option("--authz-tls-key", metavar="FILE", help="The key of --authz-tls-cert.")
]
EnforcementMode = Annotated[
    Mode,
    typer.Option(
        "--mode",
        help="Who decides: the authorizer every request (check), Envoy what it can exactly (native, wasm), or what it "
        "can exactly allow (split).",
    ),
]
ServerCert = Annotated[
    Path | None, typer.Option("--tls-cert", metavar="FILE", help="Serve over TLS: the proxy's certificate (PEM).")
]
ServerKey = Annotated[Path | None, typer.Option("--tls-key", metavar="FILE", help="The key of --tls-cert.")]
Secrets = Annotated[
    Path | None,
    typer.Option(
        "--sds",
        metavar="DIR",
        help="Have certificates read again when others are moved into their place: the files that tell Envoy so are "
        "written here, and must be here where it runs.",
    ),
]
Upstream = Annotated[
    str | None, typer.Option(metavar="ADDR", help="What the proxy stands in front of: HTTP/1.1, and HTTP/2 for gRPC.")
]
Listen = Annotated[str, typer.Option(metavar="ADDR", help="Where the proxy listens.")]
Admin = Annotated[
    str | None,
    typer.Option(metavar="ADDR", help="Envoy's administration interface, which controls it: off unless given."),
]


@envoy_app.command("config")
def config(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy files and folders: one set.")],
    *,
    mode: EnforcementMode = Mode.CHECK,
    authz: Authorizer = _AUTHORIZER,
    authz_tls_ca: AuthorizerCa = None,
    authz_tls_cert: AuthorizerCert = None,
    authz_tls_key: AuthorizerKey = None,
    upstream: Upstream = None,
    listen: Listen = _LISTEN,
    tls_cert: ServerCert = None,
    tls_key: ServerKey = None,
    sds: Secrets = None,
    admin: Admin = None,
    values: Values = None,
    snippet: Annotated[
        bool, typer.Option("--snippet", help="Only what goes into a configuration that exists, instead of a whole one.")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write here.")] = None,
) -> None:
    """Print Envoy's configuration for a policy set, as JSON.

    A whole one (a front proxy), or with --snippet its parts: `http_filters` go before the router (and
    after a cors filter), `http_connection_manager` are fields to set beside them, `clusters` to add.

    Example: extauthz envoy config policies/first --mode split > envoy.json
    """
    from extauthz.lowering.address import parse_address
    from extauthz.lowering.bootstrap import snippet as lower_snippet
    from extauthz.lowering.document import render
    from extauthz.lowering.enforcement import enforcement_of

    authorizer_tls = _client_tls(authz_tls_ca, authz_tls_cert, authz_tls_key, sds)
    tls = _server_tls(tls_cert, tls_key, sds)
    if snippet:
        if tls is not None:
            raise ConfigurationError("--tls-cert is the listener's, which --snippet leaves to you")
        policy_set = _load(paths, values)
        enforcement = enforcement_of(policy_set, mode)
        document = lower_snippet(
            policy_set, enforcement=enforcement, authorizer=parse_address(authz), authorizer_tls=authorizer_tls
        )
    else:
        document = _front_proxy(
            paths,
            values,
            mode=mode,
            authz=authz,
            authorizer_tls=authorizer_tls,
            upstream=upstream,
            listen=listen,
            tls=tls,
            admin=admin,
        )
    _write_secret_files(sds, authorizer_tls, tls)
    for problem in _unusable_here(authorizer_tls, tls):
        typer.echo(f"warning: {problem}", err=True)
    if output is None:
        typer.echo(render(document), nl=False)
    else:
        output.write_text(render(document), encoding="utf-8")


@envoy_app.command("run")
def run(
    paths: Annotated[list[Path] | None, typer.Argument(metavar="PATH...", help="Policy files: one set.")] = None,
    *,
    config_file: Annotated[
        Path | None, typer.Option("--config", "-c", metavar="FILE", help="Envoy's configuration, instead of PATHs.")
    ] = None,
    mode: EnforcementMode = Mode.CHECK,
    authz: Authorizer = _AUTHORIZER,
    authz_tls_ca: AuthorizerCa = None,
    authz_tls_cert: AuthorizerCert = None,
    authz_tls_key: AuthorizerKey = None,
    upstream: Upstream = None,
    listen: Listen = _LISTEN,
    tls_cert: ServerCert = None,
    tls_key: ServerKey = None,
    sds: Secrets = None,
    admin: Admin = None,
    values: Values = None,
    log_level: Annotated[str, typer.Option(metavar="LEVEL", help="Envoy's own log.")] = "warning",
) -> None:
    """Run the embedded Envoy: with a configuration file, or with what `envoy config` prints for PATHs.

    The access log is on standard output. The authorizer is another process: `extauthz serve PATH...`.

    Example: extauthz envoy run --config envoy.json
    """
    from extauthz.demo.envoy import envoy_binary
    from extauthz.lowering.document import render

    if bool(paths) == (config_file is not None):
        raise ConfigurationError("give either PATHs or --config FILE")
    if config_file is not None:
        if not config_file.is_file():
            raise ConfigurationError(f"--config {config_file}: there is no such file")
        arguments = ["--config-path", str(config_file)]
    else:
        authorizer_tls = _client_tls(authz_tls_ca, authz_tls_cert, authz_tls_key, sds)
        tls = _server_tls(tls_cert, tls_key, sds)
        document = _front_proxy(
            paths or [],
            values,
            mode=mode,
            authz=authz,
            authorizer_tls=authorizer_tls,
            upstream=upstream,
            listen=listen,
            tls=tls,
            admin=admin,
        )
        _write_secret_files(sds, authorizer_tls, tls)
        problems = list(_unusable_here(authorizer_tls, tls))
        if problems:
            raise ConfigurationError("\n".join(problems))
        arguments = ["--config-yaml", render(document)]  # JSON is YAML, and this needs no file
    _replace_process([str(envoy_binary()), *arguments, "--log-level", log_level, "--disable-hot-restart"])


def _client_tls(
    authority: Path | None, certificate: Path | None, key: Path | None, secrets: Path | None
) -> ClientTls | None:
    from extauthz.lowering.client_tls import ClientTls

    if authority is None:
        if certificate is None and key is None:
            return None
        raise ConfigurationError("--authz-tls-ca FILE is missing: whose certificate may the authorizer show?")
    if (certificate is None) != (key is None):
        raise ConfigurationError("--authz-tls-cert and --authz-tls-key go together: give both, or neither")
    folder = None if secrets is None else str(secrets.absolute())  # wherever Envoy is started
    if certificate is None or key is None:
        return ClientTls(str(authority), secrets=folder)
    return ClientTls(str(authority), str(certificate), str(key), secrets=folder)


def _server_tls(certificate: Path | None, key: Path | None, secrets: Path | None) -> ServerTls | None:
    from extauthz.lowering.server_tls import ServerTls

    if (certificate is None) != (key is None):
        raise ConfigurationError("--tls-cert and --tls-key go together: give both, or neither")
    folder = None if secrets is None else str(secrets.absolute())  # wherever Envoy is started
    return None if certificate is None else ServerTls(str(certificate), str(key), secrets=folder)


def _unusable_here(*contexts: ClientTls | ServerTls | None) -> Iterator[str]:
    """What is wrong with certificates that Envoy will show, of those that are on this machine.

    An expired one is refused by the other side, whose log says nothing: to Envoy it looks like any broken connection.
    """
    from extauthz.tls import CredentialFiles, load_credentials

    for each in contexts:
        if each is None or each.certificate is None or each.key is None or not Path(each.certificate).exists():
            continue
        try:
            load_credentials(CredentialFiles(each.certificate, each.key), time.time())  # noqa: TID251 - a command
        except ConfigurationError as error:
            yield str(error)


def _write_secret_files(folder: Path | None, *contexts: ClientTls | ServerTls | None) -> None:
    from extauthz.lowering.document import render

    if folder is None:
        return
    files = {path: text for each in contexts if each is not None for path, text in each.secret_files().items()}
    if not files:
        raise ConfigurationError("--sds: no certificate is named: give --authz-tls-ca or --tls-cert, or leave it out")
    folder.mkdir(parents=True, exist_ok=True)
    for path, document in files.items():
        Path(path).write_text(render(document), encoding="utf-8")


def _front_proxy(
    paths: list[Path],
    values: Path | None,
    *,
    mode: Mode,
    authz: str,
    authorizer_tls: ClientTls | None,
    upstream: str | None,
    listen: str,
    tls: ServerTls | None,
    admin: str | None,
) -> JsonObject:
    from extauthz.lowering.address import parse_address
    from extauthz.lowering.bootstrap import front_proxy
    from extauthz.lowering.enforcement import enforcement_of

    if upstream is None:
        raise ConfigurationError("--upstream ADDR is missing: what does the proxy stand in front of?")
    policy_set = _load(paths, values)
    return front_proxy(
        policy_set,
        enforcement=enforcement_of(policy_set, mode),
        authorizer=parse_address(authz),
        authorizer_tls=authorizer_tls,
        upstream=parse_address(upstream),
        listen=parse_address(listen),
        tls=tls,
        admin=None if admin is None else parse_address(admin),
    )


def _load(paths: list[Path], values: Path | None) -> PolicySet:
    from extauthz.sources.policy_files import load

    parsed = load([str(path) for path in paths], values_file=None if values is None else str(values)).parsed
    print_diagnostics(parsed.warnings, console(stderr=True))
    return parsed.policy_set


def _replace_process(command: list[str]) -> NoReturn:
    """Become Envoy: signals, standard streams and the exit status are its own."""
    os.execv(command[0], command)  # noqa: S606 - no shell
