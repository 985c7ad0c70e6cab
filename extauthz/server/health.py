"""`grpc.health.v1.Health`: whether this process decides requests (grpc/health/v1/health.proto)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from extauthz.server.call import Call, CallError, ClientGoneError, GrpcStatus, MessageTooLargeError, UnaryMethod
from extauthz.server.check_method import AUTHORIZATION_SERVICE

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

    async def check(self, call: Call) -> None:
        """`Check`: SERVING once a policy set is loaded, until the process drains."""
        try:
            service = health_pb2.HealthCheckRequest.FromString(await call.read(_MAX_REQUEST_BYTES)).service
        except CallError as error:
            await call.refuse(error.status, str(error))
        except (MessageTooLargeError, DecodeError):
            await call.refuse(GrpcStatus.INTERNAL, "not a HealthCheckRequest")
        except ClientGoneError:
            return
        else:
            if service in _KNOWN_SERVICES:
                await call.reply(_SERVING if self._is_ready() else _NOT_SERVING)
            else:
                await call.refuse(GrpcStatus.NOT_FOUND, "unknown service")

    async def watch(self, call: Call) -> None:
        """`Watch`: UNIMPLEMENTED, upon which clients fall back to Check or give up, as its documentation says."""
        await call.refuse(GrpcStatus.UNIMPLEMENTED, "Watch is not supported: poll Check")
