"""`grpc.health.v1.Health`: whether this process decides requests (grpc/health/v1/health.proto)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from extauthz.server.asgi import AUTHORIZATION_SERVICE
from extauthz.server.grpc_wire import (
    CallError,
    ClientGoneError,
    GrpcStatus,
    MessageTooLargeError,
    Metadata,
    Receive,
    Send,
    UnaryMethod,
    read_message,
    send_message,
    send_status,
)

_SERVICE: Final = "grpc.health.v1.Health"
_MAX_REQUEST_BYTES: Final = 4096
_KNOWN_SERVICES: Final = ("", AUTHORIZATION_SERVICE)
"""The empty name is the server as a whole."""

_SERVING: Final = health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING).SerializeToString()
_NOT_SERVING: Final = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.NOT_SERVING
).SerializeToString()


class Health:
    """Answers health checks from the service's state."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    @property
    def methods(self) -> dict[str, UnaryMethod]:
        """By path."""
        return {f"/{_SERVICE}/Check": self.check, f"/{_SERVICE}/Watch": self.watch}

    async def check(self, _metadata: Metadata, receive: Receive, send: Send) -> None:
        """`Check`: SERVING once a policy set is loaded, until the process drains."""
        try:
            service = health_pb2.HealthCheckRequest.FromString(await read_message(receive, _MAX_REQUEST_BYTES)).service
        except CallError as error:
            await send_status(send, error.status, str(error))
        except (MessageTooLargeError, DecodeError):
            await send_status(send, GrpcStatus.INTERNAL, "not a HealthCheckRequest")
        except ClientGoneError:
            return
        else:
            if service in _KNOWN_SERVICES:
                await send_message(send, _SERVING if self._is_ready() else _NOT_SERVING)
            else:
                await send_status(send, GrpcStatus.NOT_FOUND, "unknown service")

    async def watch(self, _metadata: Metadata, _receive: Receive, send: Send) -> None:
        """`Watch`: UNIMPLEMENTED, upon which clients fall back to Check or give up, as its documentation says."""
        await send_status(send, GrpcStatus.UNIMPLEMENTED, "Watch is not supported: poll Check")
