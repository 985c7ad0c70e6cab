"""`extauthz token`: keys and tokens for development."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.cli.render import print_json
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.demo.issuer import SigningKey
    from extauthz.model.access import JsonValue

token_app = typer.Typer(name="token", help="Keys and tokens for development.", no_args_is_help=True)

_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"(-?[0-9]{1,9})([smhd])")


class Algorithm(StrEnum):
    """What `token keys --new` makes a key for."""

    ES256 = "ES256"
    RS256 = "RS256"


@token_app.command("issue")
def issue(
    *,
    key: Annotated[Path, typer.Option(metavar="FILE", help="Private JWK or JWK Set, as from `token keys --new`.")],
    issuer: Annotated[str, typer.Option(metavar="URL", help="`iss`, as the policy's provider writes it.")],
    subject: Annotated[str | None, typer.Option(metavar="S", help="`sub`.")] = None,
    audience: Annotated[str | None, typer.Option(metavar="A", help="`aud`.")] = None,
    claims: Annotated[str, typer.Option(metavar="JSON", help="Further claims; they win over the other flags.")] = "{}",
    expires: Annotated[
        str, typer.Option(metavar="1h", help="`exp` from now on, in s, m, h or d; negative for an expired token.")
    ] = "1h",
    algorithm: Annotated[
        str | None, typer.Option(metavar="ALG", help="Sign with the first key of this algorithm; else the first key.")
    ] = None,
) -> None:
    """Print a signed token (a JWT).

    Example: extauthz token issue --key private.json --issuer https://issuer.example --audience shop --subject alice
    """
    from extauthz.demo.issuer import token_claims

    payload = token_claims(
        issuer=issuer,
        subject=subject,
        audience=audience,
        now=time.time(),  # noqa: TID251 - a command reads the clock and hands it on
        lifetime_seconds=_parse_duration(expires),
        claims=_parse_claims(claims),
    )
    typer.echo(_select(_read(key), algorithm, key).sign(payload))


@token_app.command("keys")
def keys(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="Private JWK Set to publish.")] = None,
    *,
    new: Annotated[Path | None, typer.Option(metavar="FILE", help="Make keys and keep them here, mode 0600.")] = None,
    algorithm: Annotated[
        list[Algorithm] | None, typer.Option(help="With --new: what for, repeatable. [default: one key of each]")
    ] = None,
) -> None:
    """Print the public JWK Set of private keys, which `jwks: {file: ...}` in a policy reads.

    Example: extauthz token keys --new private.json > jwks.json
    """
    from extauthz.demo.issuer import generate_key, private_key_set, public_key_set

    if (file is None) == (new is None):
        raise ConfigurationError("give either FILE, to publish its keys, or --new FILE, to make keys")
    if file is not None:
        if algorithm:
            raise ConfigurationError("--algorithm goes with --new")
        print_json(public_key_set(_read(file)))
        return
    made = [generate_key(name) for name in dict.fromkeys(algorithm or Algorithm)]
    if new is not None:
        _write_private(new, json.dumps(private_key_set(made), indent=2) + "\n")
    print_json(public_key_set(made))


def _read(file: Path) -> tuple[SigningKey, ...]:
    from extauthz.demo.issuer import read_keys

    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise ConfigurationError(f"{file} cannot be read: {reason}; make keys with: token keys --new {file}") from None
    return read_keys(text, str(file))


def _select(candidates: tuple[SigningKey, ...], algorithm: str | None, file: Path) -> SigningKey:
    for candidate in candidates:
        if algorithm in {None, candidate.algorithm}:
            return candidate
    known = ", ".join(sorted({candidate.algorithm for candidate in candidates}))
    raise ConfigurationError(f"{file} has no key for {algorithm}: it has {known}")


def _write_private(file: Path, text: str) -> None:
    """Create the file, readable by its owner alone; a file that exists may hold keys that are in use."""
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise ConfigurationError(f"{file} exists: remove it first, or give another name") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)


def _parse_duration(text: str) -> float:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"--expires {text}: write a number and a unit, as in 90s, 15m, 1h or 7d")
    return int(match[1]) * _UNIT_SECONDS[match[2]]


def _parse_claims(text: str) -> Mapping[str, JsonValue]:
    try:
        claims = json.loads(text)
    except (ValueError, RecursionError):
        claims = None
    if not isinstance(claims, dict):
        raise ConfigurationError('--claims: write a JSON object, as in \'{"roles": ["reader"]}\'')
    return claims
