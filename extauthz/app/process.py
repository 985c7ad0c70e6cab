"""The service as a process: signals, and what it says when it answers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING

import uvloop

from extauthz import __version__
from extauthz.app.service import Service
from extauthz.settings import Settings
from extauthz.telemetry.logging import LogFormat, Logger, LogLevel, build_logger

if TYPE_CHECKING:
    from extauthz.app.opa_service import OpaService


def run_service(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the policy again.

    Raises:
        PolicyError: nothing was served: the policy set must be corrected.
        ConfigurationError: likewise: a setting.
        EnvironmentUnfitError: likewise: the machine. Or a part of the service failed later; the log says why.
    """
    # grpcio's core writes a line to standard error for each call that breaks the protocol, which anybody can provoke.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signalled(settings))


async def _serve_until_signalled(settings: Settings) -> None:
    logger = build_logger(sys.stderr, log_format=LogFormat(settings.log_format), level=LogLevel(settings.log_level))
    loop = asyncio.get_running_loop()
    stopped: asyncio.Future[signal.Signals] = loop.create_future()

    def stop(number: signal.Signals) -> None:
        if stopped.done():  # again: whoever asks twice does not want to wait
            os._exit(128 + number)
        stopped.set_result(number)

    async with _service(settings, logger) as service:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop, number)
        loop.add_signal_handler(signal.SIGHUP, service.reload)
        print(ready_line(service), file=sys.stderr, flush=True)  # noqa: T201 - to whoever started it
        number = await stopped
        logger.info("draining", signal=number.name)
        service.report_not_ready()
        if number is signal.SIGTERM:  # somebody at a terminal (SIGINT) does not wait for load balancers
            await asyncio.sleep(settings.drain_delay_seconds)


def _service(settings: Settings, logger: Logger) -> Service | OpaService:
    if settings.opa_config is None:
        return Service(settings, logger=logger)
    from extauthz.app.opa_service import OpaService  # noqa: PLC0415 - Rego's built-ins, which most do without

    return OpaService(settings, logger=logger)


def ready_line(service: Service | OpaService) -> str:
    """What `serve` says once it answers."""
    if not isinstance(service, Service):
        return service.ready_line
    return (
        f"extauthz {__version__} serving policy {service.policy_set.name} revision {service.policy_set.revision} "
        f"at {', '.join(map(str, service.addresses))}; probes at {service.probe}"
    )
