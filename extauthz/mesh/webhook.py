"""Serving the webhook: over TLS, with certificates that are read again when they change, drained at the end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from typing import Final

import uvloop

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import Address
from extauthz.mesh.application import MAX_BODY_BYTES, build_webhook
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.server.http_server import HttpServer, private_config
from extauthz.server.sockets import listen
from extauthz.telemetry.logging import Logger
from extauthz.tls import CredentialFiles, Credentials, CredentialsWatcher, load_credentials

_DRAIN_SECONDS: Final = 10.0
"""An API server waits no longer for an answer, unless it is told to."""


def run_webhook(
    settings: InjectorSettings, address: Address, files: CredentialFiles, logger: Logger, clock: Callable[[], float]
) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the certificate cannot be served.
        EnvironmentUnfitError: the address cannot be listened at.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, address, files, logger, clock))


async def _serve(
    settings: InjectorSettings, address: Address, files: CredentialFiles, logger: Logger, clock: Callable[[], float]
) -> None:
    credentials = load_credentials(files, clock())
    webhook = build_webhook(settings, logger)
    listening = listen(address)
    try:
        config = private_config(drain_timeout_seconds=_DRAIN_SECONDS, max_body_bytes=MAX_BODY_BYTES)
        server = HttpServer(lambda _streams: webhook, [listening], config, credentials)
    except BaseException:
        listening.close()
        raise

    async def replace(loaded: Credentials) -> None:
        await server.replace_credentials(loaded)
        logger.info("certificate_loaded", serial=loaded.serial)

    def keep(error: ConfigurationError) -> None:
        logger.error("certificate_kept", error=str(error))

    watcher = CredentialsWatcher(files, loaded=credentials, on_loaded=replace, on_failed=keep, clock=clock)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.stop)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(server.run())
        await server.started()
        watching = tasks.create_task(watcher.run())
        print(f"extauthz mesh webhook at https://{listening.address}", file=sys.stderr, flush=True)  # noqa: T201
        await serving
        watching.cancel()
