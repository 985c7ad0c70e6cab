"""All tasks of a service: its servers, and what else it does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from extauthz.app.certificate import Certificate
from extauthz.errors import EnvironmentUnfitError
from extauthz.server.http_server import HttpServer
from extauthz.server.transport import Transport
from extauthz.telemetry.logging import Logger

Server: TypeAlias = Transport | HttpServer


@asynccontextmanager
async def serving(
    servers: Mapping[Server, Certificate | None],
    background: Sequence[Coroutine[Any, Any, None]],
    *,
    logger: Logger,
    on_end: Callable[[], None],
) -> AsyncIterator[None]:
    """Serve around the block.

    Args:
        servers: with the certificates to watch; they are ended in their order.
        background: what runs until all of them have ended.
        logger: told of what goes wrong.
        on_end: called when the block is left, before any server is stopped.

    Raises:
        EnvironmentUnfitError: a server or a task failed; the log says where.
    """
    failure: Exception | None = None
    is_ending = False
    async with _task_group(logger) as tasks:
        running = [tasks.create_task(each) for each in background]

        async def serve(server: Server) -> None:
            try:
                await server.run()
            except RuntimeError as error:  # requests outlasted the drain
                if not is_ending:
                    raise
                logger.warning("drain_incomplete", problem=str(error))

        answering = [tasks.create_task(serve(server)) for server in servers]
        try:
            for server, certificate in servers.items():
                await server.started()
                if certificate is not None:  # watched once it is served: until then there is nothing to replace
                    running.append(tasks.create_task(certificate.watch(server.replace_credentials)))
            yield
        except Exception as error:  # noqa: BLE001 - raised again below: inside, the group would wrap it
            failure = error
        finally:
            is_ending = True
            on_end()
            for server, task in zip(servers, answering, strict=True):
                server.stop()
                await asyncio.wait([task])
            for task in running:
                task.cancel()
    if failure is not None:
        raise failure


@asynccontextmanager
async def _task_group(logger: Logger) -> AsyncIterator[asyncio.TaskGroup]:
    """For tasks whose failure is the service's."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except ExceptionGroup as group:
        for error in group.exceptions:
            logger.exception("service_failed", exc_info=error)
        raise EnvironmentUnfitError("the service failed; the log says where") from None
