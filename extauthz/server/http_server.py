"""h2corn, embedded: one application on sockets of ours, in the running event loop, drained without loss."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any, Final

from h2corn import Config, RequestPolicy, Server
from h2corn._lib import prepare_tls

from extauthz.server.sockets import ListeningSocket

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


def grpc_config(*, drain_timeout_seconds: float) -> Config:
    """HTTP/2 without TLS, gRPC only. Bodies are limited by the application, which answers what h2corn would cut off."""
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


class HttpServer:
    """One application on any number of listening sockets."""

    def __init__(self, application: Any, sockets: Sequence[ListeningSocket], config: Config) -> None:
        self._sockets = sockets
        self._config = dataclasses.replace(config, bind=tuple(f"fd://{each.descriptor}" for each in sockets))
        self._server = Server(application, self._config)

    async def run(self) -> None:
        """Serve until `stop`; returns when every request in flight is answered, or its time is over.

        Raises:
            RuntimeError: requests outlasted twice the drain timeout.
        """
        # `Server.serve` would bind the sockets itself and print a banner of its own. This is what h2corn's own workers
        # call; the exact version is pinned. It owns the descriptors from here on.
        await self._server._serve_worker_fds(  # noqa: SLF001
            [os.dup(each.descriptor) for each in self._sockets], prepared_tls=prepare_tls(self._config)
        )

    async def started(self) -> None:
        """Wait until requests are accepted."""
        await self._server.wait_started()

    def stop(self) -> None:
        """Accept nothing more and let what is in flight finish."""
        self._server.shutdown()
        for each in self._sockets:
            each.close()
