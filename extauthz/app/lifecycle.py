"""What every service does, whatever it decides by: entering runs it, leaving drains it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

from extauthz.lowering.address import Address
from extauthz.server.health import Health
from extauthz.server.supervisor import Supervisor
from extauthz.telemetry.status import ServiceStatus


class Lifecycle(ABC):
    """The whole service in one event loop: `async with` it."""

    def __init__(self, status: ServiceStatus, admin_address: Address) -> None:
        """Not running yet; `admin_address` is where its private listener is wanted."""
        self._status = status
        self._health = Health(lambda: status.is_ready)
        self._supervisor: Supervisor | None = None
        """Where worker processes answer."""
        self._running: AbstractAsyncContextManager[None] | None = None
        self.addresses: tuple[Address, ...] = ()
        """Where calls are answered; port 0 has become what the system chose."""
        self.admin_address = admin_address

    async def __aenter__(self) -> Self:
        self._running = self._run()
        await self._running.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._running is not None:
            await self._running.__aexit__(kind, error, traceback)

    def report_not_ready(self) -> None:
        """From now on probes and health checks say that no new requests should be sent; they are still answered."""
        self._status.is_draining = True
        self._health.announce()
        if self._supervisor is not None:
            self._supervisor.report_not_ready()

    @abstractmethod
    def _run(self) -> AbstractAsyncContextManager[None]:
        """Serve around the block."""
