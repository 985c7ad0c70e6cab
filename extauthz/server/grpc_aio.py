"""The portable transport: gRPC's own library, an order of magnitude dearer than h2corn.

Its core does what `asgi.py` does by hand, on threads of its own: framing, timeouts, statuses. It does not look at the
content type, and answers whoever frames a message as gRPC does.

What it cannot do: listen at descriptors of ours, so that several processes could share them; nor at one version of IP
only, where the address is a wildcard: `0.0.0.0` and `[::]` both mean every address. Under overload it
refuses by itself what Python cannot take in time, which is an error and no denial over there: bound what proxies send
(their circuit breakers do). And when it stops, it cancels the calls that it has accepted and Python
has not taken yet. So `stop` waits for a quiet moment; who must not lose a call under full load lets the service report
first that it will not be ready (`drain_delay_seconds`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, Self

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection

from extauthz.lowering.address import Address, UnixAddress
from extauthz.server.call import CallError, GrpcStatus, MessageTooLargeError, Methods, StreamingMethod, UnaryMethod
from extauthz.server.sockets import bound_by_others
from extauthz.server.streams import Streams
from extauthz.tls import Credentials

_MAX_RECEIVED_BYTES: Final = 64 * 1024 * 1024
"""The core keeps a message whole before we see its length. What is larger than a method reads is denied; only what is
larger than this is an error, RESOURCE_EXHAUSTED: more than a proxy can be brought to send."""

_MAX_METADATA_BYTES: Final = 1024 * 1024
_MAX_CONCURRENT_STREAMS: Final = 4096
MAX_PENDING_CALLS: Final = 1024
"""Calls that the core may hold until Python takes them; it refuses at once (CANCELLED) what comes above that.

Python takes them in the order in which they came, some 5,000 a second: these wait for a fifth of a second at most. A
shorter queue would refuse a burst of a thousand callers; a longer one is worse than refusals: with 10,000, and twice
the calls that can be answered, whichever Python took had run out of time, and a sixth of what can be answered was
(measured; with 1,024 it was 85 %, with 512 89 %).
"""

_QUIET_PART: Final = 0.5
"""The part of the drain in which to wait for a moment without calls; under constant full load there may be none."""
_MOMENT_SECONDS: Final = 0.002

_IDENTITY_ONLY: Final = 1
"""A compressed message is UNIMPLEMENTED: a small one may be huge."""

_HANDSHAKE_TIMEOUT_MS: Final = 5000

_OPTIONS: Final = (
    # Otherwise a second service on the port would not fail, but take half of the calls.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", _MAX_RECEIVED_BYTES),
    ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
    ("grpc.max_concurrent_streams", _MAX_CONCURRENT_STREAMS),
    ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_CALLS),
    ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
    ("grpc.server_handshake_timeout_ms", _HANDSHAKE_TIMEOUT_MS),
)

_STATUSES: Final[Mapping[GrpcStatus, grpc.StatusCode]] = {
    status: next(code for code in grpc.StatusCode if code.value[0] == status) for status in GrpcStatus
}


class GrpcioTransport:
    """Calls over grpcio, with reflection."""

    def __init__(
        self,
        methods: Methods,
        *,
        drain_timeout_seconds: float,
        credentials: Credentials | None = None,
    ) -> None:
        """Serve `methods`, by their paths; Unix sockets in clear text, for their mode guards them.

        In the event loop that will run it, and `listening`.
        """
        self._drain_timeout_seconds = drain_timeout_seconds
        self._offer = None if credentials is None else _Offer(credentials)
        self._server = grpc.aio.server(options=_OPTIONS)
        self._streams = Streams()
        self._methods = _MethodsByPath(methods, self._streams)
        self._server.add_generic_rpc_handlers((self._methods,))
        services = {path.split("/")[1] for path in methods}
        reflection.enable_server_reflection([*sorted(services), reflection.SERVICE_NAME], self._server)
        self._started = asyncio.Event()
        self._stopping = asyncio.Event()
        self.addresses: tuple[Address, ...] = ()
        """As `Transport` says."""

    @asynccontextmanager
    async def listening(self, addresses: Sequence[Address]) -> AsyncIterator[Self]:
        """Listen at every address around the block, or at none.

        Raises:
            EnvironmentUnfitError: an address is in use, not ours, or not permitted.
        """
        try:
            self.addresses = tuple(bound_by_others(each, self._bind) for each in addresses)
            yield self
        finally:
            if not self._started.is_set():
                await self._server.start()  # a server that was never started goes on listening, stopped or not
            await self._server.stop(None)

    def _bind(self, address: Address) -> bool:
        try:
            if self._offer is None or isinstance(address, UnixAddress):
                return bool(self._server.add_insecure_port(str(address)))
            return bool(self._server.add_secure_port(str(address), self._offer.server_credentials()))
        except RuntimeError:  # why is only in the core's own log; what can go wrong was looked at before
            return False

    async def run(self) -> None:
        """As `Transport` says."""
        await self._server.start()
        self._started.set()
        await self._stopping.wait()
        self._streams.end()
        await self._quiet(self._drain_timeout_seconds * _QUIET_PART)
        await self._server.stop(self._drain_timeout_seconds * (1 - _QUIET_PART))

    async def _quiet(self, patience: float) -> None:
        """Wait until no call has come for a moment: then none waits in the core either, which would cancel it."""
        with suppress(TimeoutError):  # stopping now is what is left
            async with asyncio.timeout(patience):
                seen = -1
                while self._methods.in_flight or self._methods.started != seen:
                    seen = self._methods.started
                    await asyncio.sleep(_MOMENT_SECONDS)

    async def started(self) -> None:
        """As `Transport` says."""
        await self._started.wait()

    async def replace_credentials(self, credentials: Credentials) -> None:
        """As `Transport` says: the core asks for them at the next connection."""
        if self._offer is not None:
            self._offer.replace(credentials)

    def stop(self) -> None:
        """As `Transport` says."""
        self._stopping.set()


class _Offer:
    """The credentials that new connections get. The core asks from threads of its own."""

    def __init__(self, credentials: Credentials) -> None:
        self._requires_client = credentials.client_ca is not None
        self._current = _configuration(credentials)

    def server_credentials(self) -> grpc.ServerCredentials:
        """For one listener."""
        offered = self._current

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal offered
            if self._current is offered:
                return None  # as they are; loading them again for every connection would cost a handshake
            offered = self._current
            return offered

        return grpc.dynamic_ssl_server_credentials(offered, fetch, require_client_authentication=self._requires_client)

    def replace(self, credentials: Credentials) -> None:
        self._current = _configuration(credentials)


def _configuration(credentials: Credentials) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(credentials.private_key, credentials.certificate_chain)], root_certificates=credentials.client_ca
    )


class _MethodsByPath(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Finds the method of a call by its path; the core refuses the others as UNIMPLEMENTED."""

    def __init__(self, methods: Methods, streams: Streams) -> None:
        self._handlers = {path: self._handler(method) for path, method in methods.items()}
        self._streams = streams
        self.in_flight = 0
        """Unary calls that are being answered."""
        self.started = 0
        """Unary calls since the start."""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        return self._handlers.get(handler_call_details.method)

    def _handler(self, method: UnaryMethod | StreamingMethod) -> grpc.RpcMethodHandler:
        if isinstance(method, StreamingMethod):
            return grpc.unary_stream_rpc_method_handler(partial(self._stream, method))
        return grpc.unary_unary_rpc_method_handler(partial(self._answer, method))

    async def _stream(self, method: StreamingMethod, message: bytes, context: Any) -> None:
        call = GrpcioCall(message, context)
        try:
            async with self._streams.opened(), aclosing(method.answer(call)) as messages:
                async for each in messages:
                    await context.write(each)
        except CallError as error:
            await context.abort(_STATUSES[error.status], str(error))

    async def _answer(self, method: UnaryMethod, message: bytes, context: Any) -> bytes:
        call = GrpcioCall(message, context)
        self.in_flight += 1
        self.started += 1
        try:
            await method(call)
        finally:
            self.in_flight -= 1
        if call.refusal is not None:
            status, text = call.refusal
            await context.abort(_STATUSES[status], text)
        if call.answer is None:
            # An empty message would be an allow.
            await context.abort(grpc.StatusCode.INTERNAL, "the method did not answer")
            raise AssertionError("abort returned")
        return call.answer


class GrpcioCall:
    """A call that the core has read."""

    __slots__ = ("_context", "_message", "answer", "refusal")

    def __init__(self, message: bytes, context: Any) -> None:
        self._message = message
        self._context = context
        self.answer: bytes | None = None
        self.refusal: tuple[GrpcStatus, str] | None = None

    def granted_seconds(self) -> float | None:
        """As `Call` says; what is left, without the time that the call has waited already."""
        remaining: float | None = self._context.time_remaining()
        return remaining

    def metadata(self, name: str) -> str | None:
        """As `Call` says."""
        return next((value for key, value in self._context.invocation_metadata() or () if key == name), None)

    async def read(self, max_bytes: int) -> bytes:
        """As `Call` says."""
        if len(self._message) > max_bytes:
            raise MessageTooLargeError
        return self._message

    async def reply(self, message: bytes) -> None:
        """As `Call` says."""
        self.answer = message

    async def refuse(self, status: GrpcStatus, message: str) -> None:
        """As `Call` says."""
        self.refusal = status, message

    async def over(self) -> None:
        """As `Call` says."""
