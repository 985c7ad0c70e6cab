import asyncio
import contextlib
import socket
import time
from collections import Counter

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import Address, TcpAddress
from extauthz.server.call import GrpcStatus
from extauthz.server.check_method import AUTHORIZATION_SERVICE, CHECK_PATH
from extauthz.server.grpc_aio import MAX_PENDING_CALLS, GrpcioTransport

LOCAL = TcpAddress("127.0.0.1", 0)


@contextlib.asynccontextmanager
async def connected(methods, drain_timeout_seconds=1.0):
    """A running transport, and a channel to it."""
    server = GrpcioTransport(methods, drain_timeout_seconds=drain_timeout_seconds)
    async with server.listening([LOCAL]), asyncio.TaskGroup() as tasks:
        tasks.create_task(server.run())
        await server.started()
        async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
            yield channel
        server.stop()


def test_reflection_names_the_services(bench):
    """And has the description of Check, with all that it refers to."""
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=AUTHORIZATION_SERVICE),
    ]

    async def main():
        async with connected({CHECK_PATH: bench.method()}) as channel:
            call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter(requests))
            return [reply async for reply in call]

    listed, described = asyncio.run(main())
    names = {service.name for service in listed.list_services_response.service}
    assert names == {AUTHORIZATION_SERVICE, "grpc.reflection.v1alpha.ServerReflection"}
    assert len(described.file_descriptor_response.file_descriptor_proto) > 1


def test_a_refusal_has_its_status_and_its_message():
    """As the method gave them."""

    async def refuse(call):
        await call.refuse(GrpcStatus.NOT_FOUND, "unknown service")

    async def main():
        async with connected({"/a/B": refuse}) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/a/B")(b"", timeout=10)
            return caught.value.code(), caught.value.details()

    assert asyncio.run(main()) == (grpc.StatusCode.NOT_FOUND, "unknown service")


def test_a_method_that_does_not_answer_is_no_allow():
    """An empty message would be one."""

    async def forget(_call):
        pass

    async def main():
        async with connected({"/a/B": forget}) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await channel.unary_unary("/a/B")(b"", timeout=10)
            return caught.value.code()

    assert asyncio.run(main()) is grpc.StatusCode.INTERNAL


def test_metadata_is_read_by_name():
    """What is not there is None."""
    seen = []

    async def look(call):
        seen.extend([call.metadata("traceparent"), call.metadata("tracestate")])
        await call.reply(b"")

    async def main():
        async with connected({"/a/B": look}) as channel:
            await channel.unary_unary("/a/B")(b"", timeout=10, metadata=[("traceparent", "00-x")])

    asyncio.run(main())
    assert seen == ["00-x", None]


@pytest.mark.parametrize(("timeout", "least", "most"), [(None, None, None), (5.0, 3.0, 5.1)])
def test_the_time_that_is_left_is_told(timeout, least, most):
    """Without a timeout of the caller's there is none."""
    granted = []

    async def look(call):
        granted.append(call.granted_seconds())
        await call.reply(b"")

    async def main():
        async with connected({"/a/B": look}) as channel:
            await channel.unary_unary("/a/B")(b"", timeout=timeout)

    asyncio.run(main())
    assert granted == [None] if timeout is None else least < granted[0] <= most


def test_under_constant_load_stopping_does_not_wait_for_ever():
    """A quiet moment is waited for, for a part of the drain."""

    async def answer(call):
        await asyncio.sleep(0.001)
        await call.reply(b"")

    async def main():
        stopped = False

        async def ask(channel):
            while not stopped:
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await channel.unary_unary("/a/B")(b"", timeout=10)

        server = GrpcioTransport({"/a/B": answer}, drain_timeout_seconds=0.4)
        async with server.listening([LOCAL]), asyncio.TaskGroup() as tasks:
            running = tasks.create_task(server.run())
            await server.started()
            async with grpc.aio.insecure_channel(str(server.addresses[0])) as channel:
                asking = [tasks.create_task(ask(channel)) for _ in range(20)]
                server.stop()
                async with asyncio.timeout(10):
                    await running
                stopped = True
                await asyncio.wait(asking)

    asyncio.run(main())


def test_a_crowd_is_answered_as_far_as_it_can_be_in_time():
    """What comes above that is refused at once: if it all waited, nobody would be answered in time."""

    async def answer(call):
        time.sleep(0.001)  # noqa: ASYNC251 - a decision takes the only thread that there is
        await call.reply(b"")

    async def main():
        async with connected({"/a/B": answer}) as channel:
            call = channel.unary_unary("/a/B")
            calls = [call(b"", timeout=60) for _ in range(4 * MAX_PENDING_CALLS)]
            return await asyncio.gather(*(each.code() for each in calls))

    codes = Counter(asyncio.run(main()))
    assert set(codes) == {grpc.StatusCode.OK, grpc.StatusCode.CANCELLED}
    assert MAX_PENDING_CALLS <= codes[grpc.StatusCode.OK] < 2 * MAX_PENDING_CALLS


def test_addresses_that_were_bound_are_given_back():
    """When another cannot be, or when it never ran."""
    bound: list[Address] = []

    async def main():
        with socket.create_server(("127.0.0.1", 0)) as taken:
            wanted = [LOCAL, TcpAddress("127.0.0.1", taken.getsockname()[1])]
            with pytest.raises(EnvironmentUnfitError):
                async with GrpcioTransport({}, drain_timeout_seconds=1.0).listening(wanted):
                    pytest.fail("listening")
        async with GrpcioTransport({}, drain_timeout_seconds=1.0).listening([LOCAL]) as server:
            bound.extend(server.addresses)

    asyncio.run(main())
    (address,) = bound
    assert isinstance(address, TcpAddress)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))
