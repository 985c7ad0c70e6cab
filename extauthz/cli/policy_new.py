"""`extauthz policy new`: a first policy set with tests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from extauthz.cli.render import console, visible
from extauthz.errors import ConfigurationError, PolicyError


def write_set(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where to write it; made when it is not there.")],
    name: Annotated[str | None, typer.Option(metavar="NAME", help="The set's name; by default the folder's.")] = None,
    issuer: Annotated[str, typer.Option(metavar="URL", help="Who issues tokens.")] = "https://issuer.example",
    audience: Annotated[str | None, typer.Option(metavar="A", help="Their `aud`; by default the set's name.")] = None,
    jwks_uri: Annotated[
        str | None, typer.Option("--jwks-uri", metavar="URL", help="The issuer's keys; by default ISSUER/jwks.json.")
    ] = None,
) -> None:
    """Write a short, commented policy set with its tests, to begin from. Files that exist are left alone.

    Example: extauthz policy new policies/documents --issuer https://login.example
    """
    from extauthz.authoring.first_set import Issuer, first_set

    name = name or folder.resolve().name
    keys = jwks_uri or f"{issuer.rstrip('/')}/jwks.json"
    files = first_set(name, Issuer(issuer, audience or name, keys))
    _check(files["policy.yaml"])
    existing = [str(folder / file) for file in files if (folder / file).exists()]
    if existing:
        raise ConfigurationError(f"{existing[0]} exists: name another folder, or remove it first")
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in files.items():
        with (folder / file).open("x", encoding="utf-8") as stream:
            stream.write(text)
    out = console()
    for file in files:
        out.print(f"wrote {visible(str(folder / file))}")
    shown = visible(str(folder))
    out.print(f"next: extauthz policy test {shown}; extauthz policy matrix {shown}", style="dim")


def _check(policy: str) -> None:
    """Refuse flags that would make a policy that cannot be served.

    Raises:
        ConfigurationError: with the first finding.
    """
    from extauthz.languages.policy_yaml import SourceText, parse_policy_set

    try:
        parse_policy_set([SourceText("policy.yaml", policy.encode("utf-8", "surrogateescape"))], read_file=_no_files)
    except PolicyError as error:
        raise ConfigurationError(f"the flags make no policy: {error.diagnostics[0].message}") from error


def _no_files(path: str) -> bytes:
    raise FileNotFoundError(path)
