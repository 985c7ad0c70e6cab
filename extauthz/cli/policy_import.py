"""`extauthz policy import`: a policy set out of what others wrote."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.render import console, visible
from extauthz.errors import ConfigurationError, PolicyError

if TYPE_CHECKING:
    from extauthz.authoring.istio_set import Imported

import_app = typer.Typer(name="import", help="Make policy sets out of others' policies.", no_args_is_help=True)


@import_app.callback()
def _import() -> None:
    """Keep the name of the source a command of its own."""


@import_app.command("istio")
def import_istio(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="YAML with AuthorizationPolicy, RequestAuthentication.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="DIR", help="Write DIR/policy.yaml; by default print it.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(metavar="NS", help="The workload's; by default the only one that there is.")
    ] = None,
    root_namespace: Annotated[
        str, typer.Option(metavar="NS", help="Whose policies are for the whole mesh.")
    ] = "istio-system",
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="A label of the workload; repeat it.")
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(metavar="KIND/NAME", help="A gateway or service that it is; repeat it.")
    ] = None,
    trust_domain: Annotated[
        str, typer.Option(metavar="NAME", help="The mesh's, for which cluster.local stands in principals.")
    ] = "cluster.local",
    hosts_without_port: Annotated[
        bool, typer.Option("--hosts-without-port", help="The proxy strips ports and final dots from hosts.")
    ] = False,
) -> int:
    """Make a policy set of Istio's policies for one workload. Exit 0 when it says the same, 2 when it denies more.

    What Istio's policies say and the set does not is reported on standard error; it is then denied, never allowed.

    FILE is what `kubectl get authorizationpolicy,requestauthentication -A -o yaml` prints, or a file that is applied.

    Example: extauthz policy import istio all.yaml --namespace shop --label app=orders -o policies/orders
    """
    from extauthz.authoring.istio_read import read_objects
    from extauthz.authoring.istio_set import Workload, import_set

    labels = dict(_label(each) for each in label or [])
    workload = Workload(namespace, root_namespace, labels, frozenset(target or []), trust_domain, hosts_without_port)
    objects = [each for file in files for each in read_objects(str(file), _content(file))]
    if not objects:
        raise ConfigurationError("the files hold no policy: name files with AuthorizationPolicy, RequestAuthentication")
    imported = import_set(objects, workload)
    _check(imported.text)
    _report(imported)
    if out is None:
        sys.stdout.write(imported.text)
    else:
        _write(out / "policy.yaml", imported.text)
    return EXIT_NEGATIVE if imported.left_out else 0


def _label(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ConfigurationError(f"--label {text}: write NAME=VALUE")
    return name, value


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error


def _check(text: str) -> None:
    from extauthz.languages.policy_yaml import SourceText, parse_policy_set

    try:
        parse_policy_set([SourceText("policy.yaml", text.encode())], read_file=_no_files)
    except PolicyError as error:
        first = error.diagnostics[0]
        raise ConfigurationError(
            f"the policies make no set that can be served: {first.message}; {first.hint}"
        ) from error


def _no_files(path: str) -> bytes:
    raise FileNotFoundError(path)


def _report(imported: Imported) -> None:
    notes = console(stderr=True)
    for line in imported.left_out:
        notes.print(f"not exact: {visible(line)}", style="yellow", soft_wrap=True)
    for line in imported.not_for_workload:
        notes.print(f"not for this workload: {visible(line)}", style="dim", soft_wrap=True)


def _write(path: Path, text: str) -> None:
    if path.exists():
        raise ConfigurationError(f"{path} exists: name another folder, or remove it first")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as stream:
        stream.write(text)
    console(stderr=True).print(f"wrote {visible(str(path))}")
