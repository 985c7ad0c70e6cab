"""Refuses requests whose Host is not this machine's.

A web page elsewhere can point its own name at 127.0.0.1 (DNS rebinding) and then read a loopback port as its own
origin; the Host header still carries that name.
"""

from __future__ import annotations

from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class HostCheck:
    """ASGI middleware for a loopback listener."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not is_local(Headers(scope=scope).get("host", "")):
            # 421 Misdirected Request (RFC 9110 section 15.5.20): this server does not answer for that name.
            refusal = PlainTextResponse("this listener answers to localhost and loopback addresses only\n", 421)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def is_local(host: str) -> bool:
    """Whether a Host header names this machine: `localhost` or a loopback address, with or without a port."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
