from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.server.sockets import bound_by_others
from extauthz.xds.resource import CLUSTER, SECRET, make_resource
from extauthz.xds.server import DiscoveryServer

SERVICE = "/envoy.service.discovery.v3.AggregatedDiscoveryService"
LOCAL = TcpAddress("127.0.0.1", 0)


class Owner:
    """A catalogue of one cluster for everybody, and a secret of one's own; it remembers what it was told."""

    def __init__(self):
        self.events = []
        self.timeout = "1s"

    def identify(self, caller):
        return None if caller.authorization is None else caller.authorization.removeprefix("Bearer ")

    def snapshot(self, identity):
        cluster = make_resource(CLUSTER, "a", {"name": "a", "connect_timeout": self.timeout})
        secret = make_resource(SECRET, "own", {"name": identity})
        return {CLUSTER: {"a": cluster}, SECRET: {"own": secret}}

    def on_connected(self, identity, node):
        self.events.append(("connected", identity, node))

    def on_disconnected(self, identity, node):
        self.events.append(("disconnected", identity, node))

    def on_rejected(self, identity, node, refused):
        self.events.append(("rejected", identity, node, *refused))


@asynccontextmanager
async def serving(address=LOCAL):
    """A server and a channel to it."""
    owner = Owner()
    server = DiscoveryServer(owner, bound_by_others)
    async with server.serving(address) as real, grpc.aio.insecure_channel(str(real)) as channel:
        yield owner, server, channel


def open_stream(channel, identity="alice", *, is_delta=True):
    """A call of either method, as a proxy makes it."""
    name, message = ("Delta", DeltaDiscoveryResponse) if is_delta else ("Stream", DiscoveryResponse)
    call = channel.stream_stream(
        f"{SERVICE}/{name}AggregatedResources",
        request_serializer=lambda request: request.SerializeToString(),
        response_deserializer=message.FromString,
    )
    return call(metadata=[] if identity is None else [("authorization", f"Bearer {identity}")])


def run(scenario):
    asyncio.run(asyncio.wait_for(scenario, 30))


@pytest.mark.parametrize("is_delta", [False, True])
def test_a_change_reaches_whoever_asked(is_delta):
    """On the same stream, as soon as it is there; and the owner hears who comes and goes."""

    async def scenario():
        async with serving() as (owner, server, channel):
            stream = open_stream(channel, is_delta=is_delta)
            message = DeltaDiscoveryRequest if is_delta else DiscoveryRequest
            await stream.write(message(type_url=CLUSTER, node={"id": "n"}))
            first = await stream.read()
            await stream.write(message(type_url=CLUSTER, response_nonce=first.nonce))
            owner.timeout = "2s"
            server.changed()
            second = await stream.read()
            assert second.resources != first.resources
            refusal = {"message": "no"}
            await stream.write(message(type_url=CLUSTER, response_nonce=second.nonce, error_detail=refusal))
            await stream.done_writing()
            assert await stream.read() is grpc.aio.EOF
            assert owner.events == [
                ("connected", "alice", "n"),
                ("rejected", "alice", "n", (CLUSTER, "a")),
                ("disconnected", "alice", "n"),
            ]

    run(scenario())


def test_each_gets_its_own():
    """What one identity may have is made for it alone."""

    async def scenario():
        async with serving() as (_, _, channel):
            names = []
            for identity in ("alice", "bob"):
                stream = open_stream(channel, identity)
                request = DeltaDiscoveryRequest(type_url=SECRET, resource_names_subscribe=["own"], node={"id": "n"})
                await stream.write(request)
                names.append((await stream.read()).resources[0].resource.value)
                stream.cancel()
            assert b"alice" in names[0]
            assert b"bob" in names[1]

    run(scenario())


def test_nobody_is_served_without_a_name():
    """UNAUTHENTICATED, before anything is read."""

    async def scenario():
        async with serving() as (owner, _, channel):
            stream = open_stream(channel, None)
            with pytest.raises(grpc.aio.AioRpcError) as raised:
                await stream.read()
            assert raised.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert owner.events == []

    run(scenario())


def test_over_a_unix_socket(tmp_path):
    """Whoever may open the file; nothing of it stays behind."""

    async def scenario():
        path = tmp_path / "xds.sock"
        async with serving(UnixAddress(str(path))) as (_, _, channel):
            stream = open_stream(channel)
            await stream.write(DeltaDiscoveryRequest(type_url=CLUSTER, node={"id": "n"}))
            assert len((await stream.read()).resources) == 1
            stream.cancel()

    run(scenario())


def test_other_machines_are_served_over_tls_alone():
    """What is served may be a secret."""

    async def scenario():
        async with DiscoveryServer(Owner(), bound_by_others).serving(TcpAddress("0.0.0.0", 0)):
            raise AssertionError

    with pytest.raises(ConfigurationError, match="needs TLS"):
        run(scenario())


def test_a_taken_address():
    """Is told in one line, and not shared."""

    async def scenario():
        async with serving() as (_, server, _), DiscoveryServer(Owner(), bound_by_others).serving(server.address):
            raise AssertionError

    with pytest.raises(EnvironmentUnfitError, match="another process listens there"):
        run(scenario())


def test_the_socket_is_where_it_should_be(tmp_path):
    """A path that does not exist is told."""

    async def scenario():
        async with DiscoveryServer(Owner(), bound_by_others).serving(UnixAddress(str(Path(tmp_path, "none", "x")))):
            raise AssertionError

    with pytest.raises(EnvironmentUnfitError, match="cannot listen"):
        run(scenario())
