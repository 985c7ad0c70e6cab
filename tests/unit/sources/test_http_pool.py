import asyncio
import socket
import ssl

import pytest

from extauthz.sources.http_pool import ConnectionPool, Endpoint, ExchangeError, ReplyTooLargeError
from tests.harness.http_server import certificate
from tests.harness.scripted_http import ScriptedServer, replies


def pool_to(server, *, size=4, maximum_bytes=1000, tls=None):
    return ConnectionPool(Endpoint("127.0.0.1", server.port, b"opa:8181", tls), size=size, maximum_bytes=maximum_bytes)


def run(answer, use, **options):
    """Have `use(pool, server)` run against a server that answers like this."""

    async def main():
        async with ScriptedServer(answer).serving() as server:
            pool = pool_to(server, **options)
            try:
                return await asyncio.wait_for(use(pool, server), 20)
            finally:
                pool.close()

    return asyncio.run(main())


def raw(data, *, close=False):
    async def answer(_asked, writer):
        writer.write(data)
        if close:
            writer.close()

    return answer


def test_a_post_and_its_answer():
    """As they are sent."""

    async def use(pool, server):
        reply = await pool.post(b"/v1/data/x?a=b", [(b"authorization", b"Bearer t")], b'{"input":1}')
        (asked,) = server.asked
        assert (asked.target, asked.body) == ("/v1/data/x?a=b", b'{"input":1}')
        assert [asked.header(name) for name in ("host", "authorization", "accept-encoding")] == [
            "opa:8181",
            "Bearer t",
            "identity",
        ]
        assert (reply.status, reply.body) == (404, b"none")
        assert (b"x-a", b"1") in reply.headers

    run(replies(404, b"none", b"x-a: 1"), use)


def test_connections_are_used_again():
    """One after another over the same one, and no more at once than there may be."""

    async def use(pool, server):
        for _ in range(3):
            await pool.post(b"/", [], b"")
        assert server.connections == 1
        await asyncio.gather(*(pool.post(b"/", [], b"") for _ in range(20)))
        assert len(server.asked) == 23
        assert 1 < server.connections <= 4

    run(replies(), use)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}",
    ],
)
def test_every_form_of_an_answer_is_read(data):
    """Chunks, an interim answer, and one after which the connection ends."""

    async def use(pool, server):
        for _ in range(2):
            reply = await pool.post(b"/", [], b"")
            assert (reply.status, reply.body) == (200, b"{}")
        assert server.connections == (2 if b"close" in data else 1)

    run(raw(data), use)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n{",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 20_000,
    ],
)
def test_no_whole_answer_is_an_error(data):
    """Nothing, half of one, another protocol, headers without end; the next request has a connection of its own."""

    async def use(pool, server):
        for count in (1, 2):
            with pytest.raises(ExchangeError):
                await pool.post(b"/", [], b"")
            assert server.connections == count

    run(raw(data, close=True), use)


def test_an_answer_that_is_too_large_is_not_read():
    """Whether it says so or not; its connection is not used again."""

    async def use(pool, server):
        with pytest.raises(ReplyTooLargeError):
            await pool.post(b"/", [], b"")
        server.answer = replies()
        await pool.post(b"/", [], b"")
        assert server.connections == 2

    run(replies(200, b"x" * 5000), use)


def test_nobody_listens():
    """And the message says so without the address, which the operator knows."""

    async def use(pool, _server):
        with pytest.raises(ExchangeError, match="cannot connect: Connect"):
            await pool.post(b"/", [], b"")

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        closed = ConnectionPool(Endpoint("127.0.0.1", taken.getsockname()[1], b"x", None), size=1, maximum_bytes=1)
        asyncio.run(use(closed, None))


def test_a_connection_that_the_server_closed_meanwhile_costs_nothing():
    """The request goes out again on a new one: it changes nothing over there."""

    async def use(pool, server):
        await asyncio.gather(*(pool.post(b"/", [], b"") for _ in range(3)))
        server.drop()
        assert (await pool.post(b"/", [], b"")).status == 200
        assert (await pool.post(b"/", [], b"")).status == 200

    run(replies(), use)


def test_what_comes_unasked_is_no_answer():
    """A second answer behind the first would be taken for that of the next request."""
    two = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n1" * 2

    async def use(pool, server):
        assert (await pool.post(b"/", [], b"")).body == b"1"
        server.answer = replies(200, b"2")
        assert (await pool.post(b"/", [], b"")).body == b"2"
        assert server.connections == 2

    run(raw(two), use)


def test_whoever_gives_up_leaves_no_answer_behind():
    """The connection is closed, and its place is free again."""
    released = asyncio.Event()

    async def slow(_asked, writer):
        await released.wait()
        await replies(200, b"late")(_asked, writer)

    async def use(pool, server):
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await pool.post(b"/", [], b"")
        server.answer = replies(200, b"new")
        released.set()
        assert (await pool.post(b"/", [], b"")).body == b"new"

    run(slow, use, size=1)


def test_tls_believes_the_given_authority_alone(tmp_path):
    """And the name counts, not the address that it has."""
    tls, authority = certificate(tmp_path, "localhost")

    async def main():
        async with ScriptedServer(replies(200, b"secret")).serving(tls) as server:
            believing = ssl.create_default_context(cafile=authority)
            endpoint = Endpoint("localhost", server.port, b"localhost", lambda: believing)
            pool = ConnectionPool(endpoint, size=1, maximum_bytes=100)
            assert (await pool.post(b"/", [], b"")).body == b"secret"
            pool.close()
            stranger = Endpoint("localhost", server.port, b"localhost", ssl.create_default_context)
            with pytest.raises(ExchangeError, match="certificate verify failed"):
                await ConnectionPool(stranger, size=1, maximum_bytes=100).post(b"/", [], b"")
            wrong_name = Endpoint("127.0.0.1", server.port, b"localhost", lambda: believing)
            with pytest.raises(ExchangeError, match="certificate verify failed"):
                await ConnectionPool(wrong_name, size=1, maximum_bytes=100).post(b"/", [], b"")

    asyncio.run(main())
