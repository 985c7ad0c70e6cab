"""`extauthz demo serve-issuer`, `serve-upstream` and `certificates`: what a stack needs around the service."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.lowering.address import TcpAddress

Listen = Annotated[str, typer.Option(metavar="HOST:PORT", help="Where it listens.")]


def serve_issuer(
    *,
    listen: Listen = "127.0.0.1:8081",
    url: Annotated[
        str | None, typer.Option(metavar="URL", help="What it calls itself, the `iss` of its tokens; else its address.")
    ] = None,
) -> None:
    """Serve an issuer for development: keys, discovery, and POST /token, which signs whatever claims it is sent.

    A token: curl -d '{"sub": "alice", "aud": "shop", "roles": ["clerk"]}' 'http://127.0.0.1:8081/token?alg=RS256'

    Example: extauthz demo serve-issuer --listen 127.0.0.1:8081
    """
    from extauthz.demo.issuer import DevelopmentIssuer

    clock = time.time  # noqa: TID251 - a command reads the clock and hands it on
    with DevelopmentIssuer(_tcp(listen), url=url, clock=clock) as issuer:
        asyncio.run(_until_signalled(f"issuer {issuer.url} at {listen}, for development only: it signs anything"))


def serve_upstream(*, listen: Listen = "127.0.0.1:8082") -> None:
    """Serve an upstream, HTTP/1.1 and gRPC, that answers what reached it: method, path and headers, as JSON.

    Example: extauthz demo serve-upstream --listen 127.0.0.1:8082
    """
    from extauthz.demo.upstream import echo_upstream

    async def serve() -> None:
        async with echo_upstream(_tcp(listen)) as address:
            await _until_signalled(f"upstream at {address}")

    asyncio.run(serve())


def certificates(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.", show_default=False)],
    names: Annotated[
        list[str],
        typer.Argument(metavar="NAME=HOST,...", help="NAME.pem and NAME.key for these hosts.", show_default=False),
    ],
) -> None:
    """Make certificates for development, and ca.pem, whose key is forgotten; those that last a week more are kept.

    Example: extauthz demo certificates certs proxy=localhost,127.0.0.1 authorizer=authz.example
    """
    import datetime as dt

    from extauthz.demo.certificates import make_certificates

    wanted = {name: hosts.split(",") for name, _, hosts in (each.partition("=") for each in names)}
    now = dt.datetime.now(dt.UTC)  # noqa: TID251 - a command reads the clock and hands it on
    made = make_certificates(directory, wanted, now=now)
    typer.echo(f"{'made' if made else 'kept'} certificates in {directory}", err=True)


async def _until_signalled(ready: str) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    typer.echo(ready, err=True)
    await stop.wait()


def _tcp(text: str) -> TcpAddress:
    from extauthz.lowering.address import TcpAddress, parse_address

    address = parse_address(text)
    if not isinstance(address, TcpAddress):
        raise ConfigurationError(f"--listen {text}: write host:port")
    return address
