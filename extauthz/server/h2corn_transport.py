"""The transport for speed: h2corn."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

from extauthz.lowering.address import Address, TcpAddress
from extauthz.server.asgi import GrpcApplication
from extauthz.server.call import Methods
from extauthz.server.http_server import HttpServer, grpc_config
from extauthz.server.sockets import ListeningSocket
from extauthz.tls import Credentials


class H2cornTransport:
    """Calls over h2corn, on sockets of ours: with TLS where they are TCP and there are credentials."""

    def __init__(
        self,
        methods: Methods,
        sockets: Sequence[ListeningSocket],
        *,
        drain_timeout_seconds: float,
        credentials: Credentials | None = None,
    ) -> None:
        """Serve `methods`, by their paths; Unix sockets in clear text, for their mode guards them.

        Raises:
            ConfigurationError: h2corn cannot use the credentials.
        """
        build_application = partial(GrpcApplication, methods)
        config = grpc_config(drain_timeout_seconds=drain_timeout_seconds)
        secured = [each for each in sockets if credentials and isinstance(each.address, TcpAddress)]
        clear = [each for each in sockets if each not in secured]
        self._secured = HttpServer(build_application, secured, config, credentials) if secured else None
        self._clear = HttpServer(build_application, clear, config) if clear else None
        self._servers = [each for each in (self._secured, self._clear) if each is not None]
        self.addresses: tuple[Address, ...] = tuple(each.address for each in sockets)
        """As `Transport` says."""

    async def run(self) -> None:
        """As `Transport` says."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for each in self._servers:
                    tasks.create_task(each.run())
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def started(self) -> None:
        """As `Transport` says."""
        for each in self._servers:
            await each.started()

    async def replace_credentials(self, credentials: Credentials) -> None:
        """As `Transport` says."""
        if self._secured is not None:
            await self._secured.replace_credentials(credentials)

    def stop(self) -> None:
        """As `Transport` says."""
        for each in self._servers:
            each.stop()
