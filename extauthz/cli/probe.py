"""`extauthz probe`: whether a service answers, for health checks in images that hold nothing else to ask with."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from extauthz.cli import EXIT_ENVIRONMENT
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from ssl import SSLContext

_SECONDS = 2.0


def probe(
    url: Annotated[
        str | None,
        typer.Argument(metavar="URL", help="What to GET. [/readyz at EXTAUTHZ_ADMIN]", show_default=False),
    ] = None,
    *,
    ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Whose certificates to believe (PEM), where URL is https.")
    ] = None,
) -> int:
    """Exit 0 when the service answers 200, else 1 with what it says.

    Example: extauthz probe http://127.0.0.1:9180/livez
    """
    from urllib.error import HTTPError, URLError
    from urllib.request import HTTPSHandler, ProxyHandler, build_opener

    target = url or _readiness()
    if not target.startswith(("http://", "https://")):
        raise ConfigurationError(f"'{target}' is no address to probe: write http://host:port/path")
    context = _context(ca, is_own=url is None)
    opener = build_opener(ProxyHandler({}), HTTPSHandler(context=context))  # a health check asks nobody else
    try:
        with opener.open(target, timeout=_SECONDS) as response:
            return 0 if response.status == 200 else EXIT_ENVIRONMENT
    except HTTPError as error:
        with error:
            typer.echo(f"{target}: {error.code} {error.read(500).decode(errors='replace')}".rstrip(), err=True)
    except (URLError, OSError) as error:
        typer.echo(f"{target}: {getattr(error, 'reason', error)}", err=True)
    return EXIT_ENVIRONMENT


def _context(authority: Path | None, *, is_own: bool) -> SSLContext:
    """Whom to believe: anybody at this container's own loopback, where a certificate names another host."""
    from ssl import CERT_NONE, SSLError, create_default_context

    try:
        context = create_default_context(cafile=None if authority is None else str(authority))
    except (OSError, SSLError) as error:
        raise ConfigurationError(f"--ca {authority}: {error.strerror}: name a PEM file that can be read") from None
    if is_own and authority is None:
        context.check_hostname = False
        context.verify_mode = CERT_NONE
    return context


def _readiness() -> str:
    """Of the service in this container: its private listener, which another address than loopback opens to itself."""
    from extauthz.lowering.address import TcpAddress, parse_address

    address = parse_address(os.environ.get("EXTAUTHZ_ADMIN", "127.0.0.1:9180"))
    if not isinstance(address, TcpAddress):
        raise ConfigurationError(f"EXTAUTHZ_ADMIN={address} is a Unix socket: probe takes http://host:port/path")
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - not bound here
    scheme = "https" if os.environ.get("EXTAUTHZ_ADMIN_TLS_CERT") else "http"
    return f"{scheme}://{TcpAddress(host, address.port)}/readyz"
