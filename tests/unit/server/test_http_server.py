import asyncio
import contextlib
import time

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress
from extauthz.model.decision import Reason
from extauthz.server.check_method import CHECK_PATH, CheckLimits
from extauthz.server.http_server import HttpServer, grpc_config, private_config
from extauthz.server.sockets import listen
from extauthz.tls import Credentials

UNLIMITED = [("grpc.max_send_message_length", -1)]


def check_message(body=b""):
    message = external_auth_pb2.CheckRequest()
    message.attributes.request.http.method = "GET"
    message.attributes.request.http.path = "/open"
    message.attributes.request.http.host = "shop.example"
    message.attributes.request.http.raw_body = body
    return message.SerializeToString()


@contextlib.asynccontextmanager
async def served(application, config, count=1):
    """An application on `count` sockets."""
    sockets = [listen(TcpAddress("127.0.0.1", 0)) for _ in range(count)]
    server = HttpServer(lambda _streams: application, sockets, config)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(server.run())
        await server.started()
        yield server, [each.address for each in sockets]
        server.stop()
        await running


async def ask(address, message, path=CHECK_PATH, **options):
    async with grpc.aio.insecure_channel(str(address), options=UNLIMITED) as channel:
        reply = await channel.unary_unary(path)(message, timeout=10, **options)
    return external_auth_pb2.CheckResponse.FromString(reply)


def test_a_real_client_is_answered_on_every_socket(bench):
    """Through h2corn."""

    async def main():
        async with served(bench.application(), grpc_config(drain_timeout_seconds=5), count=2) as (_, addresses):
            return [await ask(address, check_message()) for address in addresses]

    assert [reply.WhichOneof("http_response") for reply in asyncio.run(main())] == ["ok_response"] * 2


@pytest.mark.parametrize("mebibytes", [5, 20, 70])
def test_a_message_of_any_size_is_answered_by_a_denial(bench, mebibytes):
    """h2corn cuts nothing off: a reset would be an error that may open."""

    async def main():
        async with served(bench.application(), grpc_config(drain_timeout_seconds=5)) as (_, (address,)):
            return await ask(address, check_message(b"x" * (mebibytes << 20)))

    reply = asyncio.run(main())
    assert (reply.status.code, reply.denied_response.status.code) == (7, 413)


def test_many_large_headers_are_no_error(bench):
    """A client can have a proxy pass them on as tracing baggage."""
    baggage = tuple((f"uberctx-{number}", "x" * 1000) for number in range(300))

    async def main():
        async with served(bench.application(), grpc_config(drain_timeout_seconds=5)) as (_, (address,)):
            return await ask(address, check_message(), metadata=baggage)

    assert asyncio.run(main()).WhichOneof("http_response") == "ok_response"


def test_an_unknown_method_and_compression_are_unimplemented(bench):
    """Told by a status, as a real client sees it."""

    async def main():
        async with served(bench.application(), grpc_config(drain_timeout_seconds=5)) as (_, (address,)):
            for path, compression in [("/other/Method", None), (CHECK_PATH, grpc.Compression.Gzip)]:
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask(address, check_message(b"x" * 10_000), path=path, compression=compression)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED

    asyncio.run(main())


def test_a_burst_on_a_new_connection_is_not_refused(bench):
    """Proxies send before they know our limits."""

    async def main():
        async with (
            served(bench.application(), grpc_config(drain_timeout_seconds=5)) as (_, (address,)),
            grpc.aio.insecure_channel(str(address)) as channel,
        ):
            call = channel.unary_unary(CHECK_PATH)
            return await asyncio.gather(*[call(check_message(), timeout=10) for _ in range(1000)])

    assert len(asyncio.run(main())) == 1000


def test_a_crowd_that_h2corn_holds_back_is_seen_and_refused(bench):
    """It hands requests over in batches: were they smaller than we take for full, nobody would ever be refused."""
    bench.limits = CheckLimits(deadline_seconds=0.05, capacity=100)
    answer_at_once = bench.answerer.answer

    def slowly(message, now, deadline):
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        return answer_at_once(message, now, deadline)

    bench.answerer.answer = slowly

    async def crowd(address):
        async with grpc.aio.insecure_channel(str(address)) as channel:
            call = channel.unary_unary(CHECK_PATH)
            return await asyncio.gather(*[call(check_message(), timeout=60) for _ in range(1000)])

    async def main():
        async with served(bench.application(), grpc_config(drain_timeout_seconds=5)) as (_, (address,)):
            # In a thread, so that the client goes on sending while the server is busy.
            return await asyncio.to_thread(lambda: asyncio.run(crowd(address)))

    replies = [external_auth_pb2.CheckResponse.FromString(reply) for reply in asyncio.run(main())]
    assert {reply.dynamic_metadata["reason"] for reply in replies} == {Reason.ALLOWED, Reason.OVERLOADED}
    assert all(reply.status.code == 7 for reply in replies if reply.dynamic_metadata["reason"] == Reason.OVERLOADED)


def test_stopping_answers_what_is_in_flight_and_takes_nothing_new():
    """Loss-free drain."""

    async def application(_scope, _receive, send):
        fetching.set()
        await released.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/grpc")]})
        await send({"type": "http.response.body", "body": b""})

    async def main():
        async with (
            served(application, grpc_config(drain_timeout_seconds=5)) as (server, (address,)),
            grpc.aio.insecure_channel(str(address)) as channel,
        ):
            call = asyncio.ensure_future(channel.unary_unary("/any/Method")(b"", timeout=10))
            await fetching.wait()
            server.stop()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(address.host, address.port)
            released.set()
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call
            return caught.value.code()

    fetching, released = asyncio.Event(), asyncio.Event()
    # No grpc-status in the reply: the client makes it UNKNOWN; a lost call would be UNAVAILABLE.
    assert asyncio.run(main()) is grpc.StatusCode.UNKNOWN


def test_credentials_that_h2corn_cannot_use_are_refused(bench):
    """At the start, and when they are to replace others: then all is as before."""
    unusable = Credentials(b"no certificate", b"no key", None, 0.0)

    async def main():
        config = grpc_config(drain_timeout_seconds=5)
        unserved = listen(TcpAddress("127.0.0.1", 0))
        with pytest.raises(ConfigurationError, match="the certificate or its key cannot be served"):
            HttpServer(lambda _streams: bench.application(), [unserved], config, unusable)
        unserved.close()
        async with served(bench.application(), config) as (server, (address,)):
            with pytest.raises(ConfigurationError):
                await server.replace_credentials(unusable)
            return await ask(address, check_message())

    assert asyncio.run(main()).status.code == 0


def test_the_private_listener_speaks_http_1():
    """For probes and curl."""

    async def application(scope, receive, send):
        del receive
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": scope["http_version"].encode()})

    async def main():
        config = private_config(drain_timeout_seconds=1, max_body_bytes=10)
        async with served(application, config) as (_, (address,)):
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            reply = await reader.read()
            writer.close()
            await writer.wait_closed()
            return reply

    assert asyncio.run(main()).endswith(b"1.1")


def test_reasons_reach_the_client_of_h2corn(bench):
    """The whole way: what is denied says so in its metadata."""

    async def main():
        async with served(bench.application(), grpc_config(drain_timeout_seconds=5)) as (_, (address,)):
            return await ask(address, b"\xff")

    reply = asyncio.run(main())
    assert reply.dynamic_metadata["reason"] == Reason.REQUEST_MALFORMED
