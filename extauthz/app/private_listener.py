"""The private listener: its socket, its certificate and its application, as the settings want them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from extauthz.admin.application import Guards, build_admin
from extauthz.app.certificate import Certificate
from extauthz.check.answer import Answer
from extauthz.lowering.address import Address, TcpAddress
from extauthz.server.http_server import HttpServer, private_config
from extauthz.server.sockets import ListeningSocket
from extauthz.settings import Settings, is_private
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.status import ServiceStatus
from extauthz.tls import CredentialFiles

_MAX_DECIDE_BYTES: Final = 8 * 1024 * 1024


def open_private_listener(
    settings: Settings,
    socket: ListeningSocket,
    certificate: Certificate | None,
    *,
    status: ServiceStatus,
    metrics: ServiceMetrics,
    decide: Callable[[bytes], Awaitable[Answer]] | None,
) -> HttpServer:
    """The server of probes, metrics and, for whom they are, policy and decisions; without `decide`, OPA's probe.

    Raises:
        ConfigurationError: the credentials cannot be used.
    """
    guards = Guards(
        checks_host=isinstance(settings.admin, TcpAddress) and is_private(settings.admin),
        checks_certificate=settings.admin_client_ca is not None,
    )
    api = decide if settings.serves_api else None
    application = build_admin(status, metrics, api, guards=guards, serves_opa_health=settings.opa_config is not None)
    return HttpServer(
        lambda _: application,
        [socket],
        private_config(drain_timeout_seconds=settings.drain_timeout_seconds, max_body_bytes=_MAX_DECIDE_BYTES),
        None if certificate is None else certificate.credentials,
        insists_on_certificates=False,
    )


def admin_credential_files(settings: Settings) -> CredentialFiles | None:
    """What it proves itself with; None where it speaks in clear text."""
    if settings.admin_tls_cert is None or settings.admin_tls_key is None:
        return None
    return CredentialFiles(settings.admin_tls_cert, settings.admin_tls_key, settings.admin_client_ca)


def probe_url(settings: Settings, address: Address) -> str:
    """Where to ask whether it is ready, for people."""
    if not isinstance(address, TcpAddress):
        return f"{address} /readyz"
    return f"{'http' if settings.admin_tls_cert is None else 'https'}://{address}/readyz"
