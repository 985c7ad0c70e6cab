"""h2corn, embedded: one application on sockets of ours, in the running event loop, drained without loss.

h2corn never reads its certificate again. So a new certificate is served by a new server on the same sockets, and the
old one takes no more connections and finishes what it has.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

from h2corn import CertReqsMode, Config, RequestPolicy, Server
from h2corn._lib import prepare_tls
from h2corn._server import TlsMaterial

from extauthz.errors import ConfigurationError
from extauthz.server.scheduling import let_io_wait_for_decisions
from extauthz.server.sockets import ListeningSocket
from extauthz.server.streams import Streams
from extauthz.tls import Credentials

# A client can put much into headers that a proxy passes on with its call (tracing baggage); refusing them is an error
# over there, so the limits are far above what proxies let in.
_MAX_HEADER_BYTES: Final = 1024 * 1024
_MAX_HEADERS: Final = 2000

# Proxies send before they have read our SETTINGS: with a lower limit a burst on a new connection is refused.
_MAX_CONCURRENT_STREAMS: Final = 4096

RUNTIME_THREADS: Final = 1
"""h2corn's I/O threads; process-global: all servers of a process must say the same, or the later ones fail.

Python is busy long before one of them is, and a second is woken for every reply only to find nothing to do.
"""

_BODY_IDLE_SECONDS: Final = 5.0
_RESPONSE_STALL_SECONDS: Final = 10.0


# h2corn's configuration wants the names of the files; what it is given to serve are their checked contents.
_GIVEN_AS_BYTES: Final = Path("given as bytes")


def grpc_config(*, drain_timeout_seconds: float) -> Config:
    """HTTP/2, gRPC only. Bodies are limited by the application, which answers what h2corn would cut off."""
    every_path = RequestPolicy(
        path="/*",
        max_request_body_size=0,
        timeout_request_body_idle=_BODY_IDLE_SECONDS,
        h2_timeout_response_stall=_RESPONSE_STALL_SECONDS,
    )
    return Config(
        runtime_threads=RUNTIME_THREADS,
        grpc=True,
        http1=False,
        access_log=False,
        lifespan="off",
        max_concurrent_streams=_MAX_CONCURRENT_STREAMS,
        limit_request_fields=_MAX_HEADERS,
        h2_max_header_list_size=_MAX_HEADER_BYTES,
        h2_max_header_block_size=_MAX_HEADER_BYTES,
        request_policies=(every_path,),
        timeout_graceful_shutdown=drain_timeout_seconds,
        date_header=False,
    )


def private_config(*, drain_timeout_seconds: float, max_body_bytes: int) -> Config:
    """HTTP/1.1 and HTTP/2 for probes, scrapes and people."""
    return Config(
        runtime_threads=RUNTIME_THREADS,
        http1=True,
        access_log=False,
        lifespan="off",
        limit_connections=256,
        limit_request_head_size=64 * 1024,
        h2_max_header_list_size=64 * 1024,
        h2_max_header_block_size=64 * 1024,
        max_request_body_size=max_body_bytes,
        timeout_request_body_idle=_BODY_IDLE_SECONDS,
        timeout_graceful_shutdown=drain_timeout_seconds,
    )


BuildApplication: TypeAlias = Callable[[Streams], Any]
"""Makes the ASGI application of one server of h2corn's, with whose end its streams end."""


class HttpServer:
    """One application on any number of listening sockets."""

    def __init__(
        self,
        build_application: BuildApplication,
        sockets: Sequence[ListeningSocket],
        config: Config,
        credentials: Credentials | None = None,
        *,
        insists_on_certificates: bool = True,
    ) -> None:
        """Serve in clear text, or with TLS if there are credentials.

        Args:
            build_application: makes what answers.
            sockets: where requests arrive.
            config: all but the addresses and TLS.
            credentials: the certificate, and whom to let in.
            insists_on_certificates: whether clients need one where credentials name a client authority; if not, they
                may present one, and the application is told.

        Raises:
            ConfigurationError: h2corn cannot use the credentials.
        """
        self._cert_reqs: CertReqsMode = "required" if insists_on_certificates else "optional"
        self._build_application = build_application
        self._sockets = sockets
        self._config = dataclasses.replace(config, bind=tuple(f"fd://{each.descriptor}" for each in sockets))
        self._stopping = False
        self._current = _Generation(build_application, self._config, sockets, credentials, self._cert_reqs)

    async def run(self) -> None:
        """Serve until `stop`; returns when every request in flight is answered, or its time is over.

        Raises:
            RuntimeError: requests outlasted twice the drain timeout.
        """
        try:
            async with asyncio.TaskGroup() as self._generations:
                self._current.start_in(self._generations)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def started(self) -> None:
        """Wait until requests are accepted."""
        await self._current.server.wait_started()
        let_io_wait_for_decisions()

    async def replace_credentials(self, credentials: Credentials) -> None:
        """Serve new connections with other credentials; returns when the old ones are closed. Only while running.

        Raises:
            ConfigurationError: h2corn cannot use them; all is as before.
            RuntimeError: requests on old connections outlasted twice the drain timeout.
        """
        retiring = self._current
        successor = _Generation(self._build_application, self._config, self._sockets, credentials, self._cert_reqs)
        if self._stopping:
            return
        successor.start_in(self._generations)
        self._current = successor
        await successor.server.wait_started()
        retiring.is_current = False
        retiring.shut_down()
        await retiring.end()

    def stop(self) -> None:
        """Accept nothing more and let what is in flight finish."""
        self._stopping = True
        self._current.shut_down()
        for each in self._sockets:
            each.close()


class _Generation:
    """A server of h2corn's, from its start to its end."""

    def __init__(
        self,
        build_application: BuildApplication,
        config: Config,
        sockets: Sequence[ListeningSocket],
        credentials: Credentials | None,
        cert_reqs: CertReqsMode,
    ) -> None:
        material = None
        if credentials is not None:
            client_ca = credentials.client_ca
            material = TlsMaterial(credentials.certificate_chain, credentials.private_key, client_ca)
            config = dataclasses.replace(
                config,
                certfile=_GIVEN_AS_BYTES,
                keyfile=_GIVEN_AS_BYTES,
                ca_certs=_GIVEN_AS_BYTES if client_ca else None,
                cert_reqs=cert_reqs if client_ca else "none",
            )
        try:
            self._tls = prepare_tls(config, material)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"the certificate or its key cannot be served: {error}") from None
        self._streams = Streams()
        self.server = Server(build_application(self._streams), config)
        self.is_current = True
        self._sockets = sockets

    def start_in(self, tasks: asyncio.TaskGroup) -> None:
        self._task = tasks.create_task(self._serve())

    def shut_down(self) -> None:
        """Accept nothing more, end streams, and let other requests finish."""
        self.server.shutdown()
        self._streams.end()

    async def end(self) -> None:
        """Wait for it. Raises RuntimeError when requests outlasted the drain."""
        overrun = await self._task
        if overrun is not None:
            raise overrun

    async def _serve(self) -> RuntimeError | None:
        try:
            # `Server.serve` would bind the sockets itself and print a banner of its own. This is what h2corn's own
            # workers call; the exact version is pinned. It owns the descriptors from here on.
            await self.server._serve_worker_fds(  # noqa: SLF001
                [os.dup(each.descriptor) for each in self._sockets], prepared_tls=self._tls
            )
        except RuntimeError as error:
            if self.is_current:
                raise
            return error  # to `end`: the end of an old server must not end its successor
        return None
