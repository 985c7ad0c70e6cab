"""Refuses callers without a certificate what is for certified ones alone.

The listener asks for a certificate and does not insist: a kubelet that probes has none, and need not. What is presented
was verified in the handshake, or there is no connection.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

OPEN_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""INVARIANT: what may be reachable by anybody is named here; all else is for certified callers."""


class CertificateCheck:
    """ASGI middleware for a listener that asks for certificates."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not is_certified(scope):
            await PlainTextResponse("present a certificate of an authority in admin_client_ca\n", 403)(
                scope, receive, send
            )
        else:
            await self._app(scope, receive, send)


def is_certified(scope: Scope) -> bool:
    """Whether the connection's peer has proved a certificate (ASGI TLS extension, version 0.2)."""
    extensions = scope.get("extensions") or {}
    return bool((extensions.get("tls") or {}).get("client_cert_chain"))
