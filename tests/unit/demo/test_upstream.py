import asyncio
import json
from http.client import HTTPConnection

import grpc
import pytest

from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError


def ask(address):
    """What the echo says to a POST with a repeated header."""
    connection = HTTPConnection(address.host, address.port, timeout=5)
    connection.putrequest("POST", "/a%20b?c=d")
    for value in ("1", "2"):
        connection.putheader("x-twice", value)
    connection.putheader("content-length", "100000")
    connection.endheaders(b"x" * 100_000)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def call(address):
    """What the echo says to a gRPC call."""
    with grpc.insecure_channel(str(address)) as channel:
        return json.loads(channel.unary_unary("/shop.Orders/Get")(b"x" * 100_000, timeout=5))


async def with_echo(client):
    """Runs a blocking client against an echo."""
    async with echo_upstream() as address:
        return await asyncio.to_thread(client, address)


def test_http_1_is_echoed():
    """Method, raw path with its query, and every header, repeated ones joined."""
    answer = asyncio.run(with_echo(ask))
    assert (answer["method"], answer["path"], answer["headers"]["x-twice"]) == ("POST", "/a%20b?c=d", "1, 2")


def test_grpc_is_echoed():
    """The same port answers gRPC, with the same text as the message."""
    answer = asyncio.run(with_echo(call))
    assert (answer["method"], answer["path"]) == ("POST", "/shop.Orders/Get")


def test_an_address_in_use_is_one_message():
    """And no traceback."""

    async def twice():
        async with echo_upstream() as address, echo_upstream(address):
            pass

    with pytest.raises(EnvironmentUnfitError, match=r"^cannot listen at 127.0.0.1:\d+"):
        asyncio.run(twice())
