"""A Check as Envoy sends it, over gRPC's own client."""

from __future__ import annotations

from typing import Self

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from grpc_health.v1 import health_pb2

from extauthz.lowering.address import Address
from extauthz.server.check_method import CHECK_PATH

HEALTH_PATH = "/grpc.health.v1.Health/Check"
SERVING = health_pb2.HealthCheckResponse.SERVING


def check_message(path: str, **headers: str) -> bytes:
    """A GET of this path."""
    message = CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "GET", path, "shop.example"
    http.headers.update(headers)
    serialized: bytes = message.SerializeToString()
    return serialized


class Client:
    """One connection: all its calls go to one worker. Use it as a context manager."""

    def __init__(self, address: Address) -> None:
        # A pool of its own: otherwise channels to one address share a connection.
        options = [("grpc.use_local_subchannel_pool", 1)]
        self._channel = grpc.aio.insecure_channel(str(address), options=options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._channel.close()

    async def check(self, path: str, **headers: str) -> CheckResponse:
        """The decision on a GET of this path."""
        reply = await self._channel.unary_unary(CHECK_PATH)(check_message(path, **headers), timeout=10)
        return CheckResponse.FromString(reply)

    async def code(self, path: str, **headers: str) -> int:
        """Its status code: 0 for an allow."""
        response = await self.check(path, **headers)
        return int(response.status.code)

    async def revision(self, path: str) -> str:
        """Which policy set decided."""
        response = await self.check(path)
        return str(response.dynamic_metadata["revision"])

    async def health(self) -> int:
        """What the health check says."""
        reply = await self._channel.unary_unary(HEALTH_PATH)(b"", timeout=10)
        return int(health_pb2.HealthCheckResponse.FromString(reply).status)
