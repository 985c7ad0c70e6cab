"""`grpc.health.v1.Health`: whether this process decides requests (grpc/health/v1/health.proto)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from extauthz.server.call import (
    Call,
    CallError,
    ClientGoneError,
    GrpcStatus,
    MessageTooLargeError,
    Methods,
    Question,
    StreamingMethod,
)
from extauthz.server.check_method import AUTHORIZATION_SERVICE

_SERVICE: Final = "grpc.health.v1.Health"
CHECK_PATH: Final = f"/{_SERVICE}/Check"
WATCH_PATH: Final = f"/{_SERVICE}/Watch"

_MAX_REQUEST_BYTES: Final = 4096
_KNOWN_SERVICES: Final = ("", AUTHORIZATION_SERVICE)
"""The empty name is the server as a whole."""


def _serialised(status: health_pb2.HealthCheckResponse.ServingStatus) -> bytes:
    message: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
    return message


_SERVING: Final = _serialised(health_pb2.HealthCheckResponse.SERVING)
_NOT_SERVING: Final = _serialised(health_pb2.HealthCheckResponse.NOT_SERVING)
_SERVICE_UNKNOWN: Final = _serialised(health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)


class Health:
    """Answers health checks from the service's state: SERVING once a policy set is loaded, until the process drains."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        """`is_ready` is asked at each check, and by watchers after each `announce`."""
        self._is_ready = is_ready
        self._change = asyncio.Event()

    @property
    def methods(self) -> Methods:
        """By path."""
        return {CHECK_PATH: self.check, WATCH_PATH: StreamingMethod(self.watch)}

    def announce(self) -> None:
        """Tell the watchers that the state may be another."""
        self._change.set()
        self._change = asyncio.Event()

    async def check(self, call: Call) -> None:
        """`Check`: the state as it is, or NOT_FOUND for a service that is none of ours."""
        try:
            service = await _read_service(call)
        except CallError as error:
            await call.refuse(error.status, str(error))
        except ClientGoneError:
            return
        else:
            if service in _KNOWN_SERVICES:
                await call.reply(self._status(service))
            else:
                await call.refuse(GrpcStatus.NOT_FOUND, "unknown service")

    async def watch(self, question: Question) -> AsyncGenerator[bytes, None]:
        """`Watch`: the state at once, then each other one. Of a service that is none of ours, SERVICE_UNKNOWN, no end.

        "The server will immediately send back a message indicating the current serving status. It will then
        subsequently send a new message whenever the service's serving status changes."
        """
        service = await _read_service(question)
        told: bytes | None = None
        while True:
            change = self._change
            status = self._status(service)
            if status != told:
                yield status
                told = status
            await change.wait()

    def _status(self, service: str) -> bytes:
        if service not in _KNOWN_SERVICES:
            return _SERVICE_UNKNOWN
        return _SERVING if self._is_ready() else _NOT_SERVING


async def _read_service(question: Question) -> str:
    """The name that is asked for.

    Raises:
        CallError: the message is broken.
        ClientGoneError: it will never be whole.
    """
    try:
        service: str = health_pb2.HealthCheckRequest.FromString(await question.read(_MAX_REQUEST_BYTES)).service
    except (MessageTooLargeError, DecodeError):
        raise CallError(GrpcStatus.INTERNAL, "not a HealthCheckRequest") from None
    return service
