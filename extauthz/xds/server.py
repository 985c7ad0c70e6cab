"""The discovery service over gRPC: `envoy.service.discovery.v3.AggregatedDiscoveryService`, both of its methods.

Off loopback it is spoken over TLS only: what is served may be a secret, and what is believed configures a proxy.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias

import grpc
import grpc.aio
from envoy.service.discovery.v3 import discovery_pb2

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import Address, UnixAddress
from extauthz.settings import is_private
from extauthz.xds.catalogue import Caller, Catalogue
from extauthz.xds.stream import Stream

_SERVICE: Final = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_OPTIONS: Final = (
    # Otherwise a second server on the port would not fail, but take half of the nodes.
    ("grpc.so_reuseport", 0),
    ("grpc.max_concurrent_streams", 128),
    ("grpc.server_handshake_timeout_ms", 5000),
    # Nodes ping while nothing changes.
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5000),
)
_FIRST_SECONDS: Final = 10.0
"""A stream on which nothing is asked for so long is closed."""

Bound: TypeAlias = Callable[[Address, Callable[[Address], bool]], Address]
"""Has a library listen that takes no descriptors: an address, and what makes the library listen there -> the real one.

Raises EnvironmentUnfitError."""


class DiscoveryServer:
    """For one event loop."""

    def __init__(
        self, catalogue: Catalogue, bound: Bound, *, credentials: grpc.ServerCredentials | None = None
    ) -> None:
        """Serve over TLS if there are credentials; Unix sockets in clear text, for their mode guards them."""
        self._catalogue = catalogue
        self._bound = bound
        self._credentials = credentials
        self._waking: set[asyncio.Event] = set()
        self.address: Address | None = None
        """Where it listens; port 0 has become what the system chose."""

    def changed(self) -> None:
        """There is something new for somebody."""
        for each in self._waking:
            each.set()

    @asynccontextmanager
    async def serving(self, address: Address) -> AsyncIterator[Address]:
        """Serve around the block; yields the real address.

        Raises:
            ConfigurationError: other machines reach the address, and there are no credentials.
            EnvironmentUnfitError: the address cannot be listened at.
        """
        if self._credentials is None and not is_private(address):
            raise ConfigurationError(f"{address} is reachable from other machines: discovery there needs TLS")
        server = grpc.aio.server(options=_OPTIONS)
        methods = {
            "StreamAggregatedResources": self._method(
                discovery_pb2.DiscoveryRequest, discovery_pb2.DiscoveryResponse, is_delta=False
            ),
            "DeltaAggregatedResources": self._method(
                discovery_pb2.DeltaDiscoveryRequest, discovery_pb2.DeltaDiscoveryResponse, is_delta=True
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        self.address = self._bound(address, partial(self._bind, server))
        await server.start()
        try:
            yield self.address
        finally:
            await server.stop(0)

    def _bind(self, server: Any, address: Address) -> bool:
        try:
            if self._credentials is None or isinstance(address, UnixAddress):
                return bool(server.add_insecure_port(str(address)))
            return bool(server.add_secure_port(str(address), self._credentials))
        except RuntimeError:  # why is only in the core's own log; what can go wrong was looked at before
            return False

    def _method(self, request: Any, response: Any, *, is_delta: bool) -> Any:
        return grpc.stream_stream_rpc_method_handler(
            partial(self._serve, is_delta=is_delta),
            request_deserializer=request.FromString,
            response_serializer=response.SerializeToString,
        )

    async def _serve(self, _requests: Any, context: Any, *, is_delta: bool) -> None:
        """One stream, from the first request until either side ends it."""
        identity = self._catalogue.identify(_caller(context))
        if identity is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "who are you? bring a token that is known here")
            raise AssertionError("abort returned")
        stream, waking = Stream(is_delta=is_delta), asyncio.Event()
        reading = asyncio.ensure_future(self._read(identity, stream, context, waking))
        self._waking.add(waking)
        try:
            while not reading.done():
                await waking.wait()
                waking.clear()
                for response in stream.respond(self._catalogue.snapshot(identity)):
                    await context.write(response)
            await reading
        finally:
            self._waking.discard(waking)
            reading.cancel()
            if stream.node:
                self._catalogue.on_disconnected(identity, stream.node)

    async def _read(self, identity: str, stream: Stream, context: Any, waking: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(_FIRST_SECONDS):
                request = await context.read()
            while request is not grpc.aio.EOF:
                is_new = not stream.node
                refused = stream.receive(request)
                if is_new and stream.node:
                    self._catalogue.on_connected(identity, stream.node)
                if refused:
                    found = {(type_url, name): rejection for type_url, name, rejection in refused}
                    self._catalogue.on_rejected(identity, stream.node, found)
                waking.set()
                request = await context.read()
        except (TimeoutError, grpc.aio.UsageError):
            return  # nothing was asked, or the other side is gone
        finally:
            waking.set()


def _caller(context: Any) -> Caller:
    metadata = dict(context.invocation_metadata() or ())
    found = metadata.get("authorization")
    identities = [each.decode("utf-8", "replace") for each in context.peer_identities() or ()]
    return Caller(found if isinstance(found, str) else None, identities)
