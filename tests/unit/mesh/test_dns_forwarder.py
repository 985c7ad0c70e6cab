from __future__ import annotations

import asyncio
import socket
from threading import Thread

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh import dns_forwarder
from extauthz.mesh.dns_forwarder import DnsForwarder


def serve_udp(server: socket.socket) -> None:
    """Answers one query with itself and a word."""
    query, client = server.recvfrom(512)
    server.sendto(query + b" answered", client)


def serve_tcp(server: socket.socket) -> None:
    """The same, for one connection."""
    connection, _ = server.accept()
    with connection:
        connection.sendall(connection.recv(512) + b" answered")


@pytest.fixture
def server(monkeypatch):
    """A name server for one query over UDP and one over TCP; its port stands for 53."""
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(("127.0.0.1", port))
    for each in (tcp, udp):
        each.settimeout(10)
    monkeypatch.setattr(dns_forwarder, "_PORT", port)
    threads = [Thread(target=serve_udp, args=(udp,)), Thread(target=serve_tcp, args=(tcp,))]
    for thread in threads:
        thread.start()
    yield "127.0.0.1"
    for thread in threads:
        thread.join()
    tcp.close()
    udp.close()


async def ask_udp(port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        await asyncio.to_thread(client.sendto, b"query", ("127.0.0.1", port))
        return await asyncio.to_thread(client.recv, 512)


async def ask_tcp(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"query")
    answer = await reader.read()
    writer.close()
    return answer


async def forwarded(*servers: str) -> tuple[bytes, bytes]:
    """What comes back over UDP and over TCP."""
    forwarder = DnsForwarder(servers, port=0)
    started = asyncio.Event()
    running = asyncio.ensure_future(forwarder.run(started))
    await started.wait()
    try:
        return await ask_udp(forwarder.port), await ask_tcp(forwarder.port)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_queries_and_answers_go_through(server):
    """Over both transports, as they are."""
    assert asyncio.run(forwarded(server)) == (b"query answered", b"query answered")


def test_the_next_server_is_asked_where_the_first_does_not_answer(server):
    """127.0.0.9 refuses at that port; nobody waits for it."""
    assert asyncio.run(forwarded("127.0.0.9", server)) == (b"query answered", b"query answered")


def test_a_taken_port_is_told():
    """In one line."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        forwarder = DnsForwarder(["127.0.0.1"], port=taken.getsockname()[1])
        with pytest.raises(EnvironmentUnfitError, match="cannot listen at"):
            asyncio.run(forwarder.run(asyncio.Event()))
