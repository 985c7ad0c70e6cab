from __future__ import annotations

import asyncio
from typing import cast

import grpc
import grpc.aio
import pytest

from extauthz.lowering.address import TcpAddress
from extauthz.server.sockets import bound_by_others
from extauthz.xds.catalogue import Caller, Catalogue
from extauthz.xds.server import DiscoveryServer


class Refusing:
    """A catalogue that serves nobody and remembers who asked."""

    def __init__(self):
        self.callers = []

    def identify(self, caller):
        self.callers.append(caller)


@pytest.mark.parametrize(
    ("metadata", "authorization"),
    [([], None), ([("authorization", "")], ""), ([("authorization", "Bearer x"), ("other", "y")], "Bearer x")],
)
def test_what_is_known_of_a_caller(metadata, authorization):
    """The header as it came, absent told from empty; without a certificate there is no name in one."""

    async def ask():
        owner = Refusing()
        path = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
        async with DiscoveryServer(cast("Catalogue", owner), bound_by_others).serving(
            TcpAddress("127.0.0.1", 0)
        ) as address:
            channel = grpc.aio.insecure_channel(str(address))
            with pytest.raises(grpc.aio.AioRpcError):
                await channel.stream_stream(path)(metadata=metadata).read()
            await channel.close()
        return owner.callers

    assert asyncio.run(ask()) == [Caller(authorization, [])]
