from __future__ import annotations

import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.mesh.local_http import connects, get


class Echo(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = f"{self.command} {self.path} {self.headers.get('x-a')} {self.client_address[0]}".encode()
        self.send_response(201)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def server() -> Iterator[TcpAddress]:
    """Says what it was asked, and from where."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield TcpAddress("127.0.0.1", running.server_port)
        running.shutdown()
        thread.join()


def test_a_request_from_an_address(server):
    """Method, path and headers as given; the source is what the capture goes by."""
    found = get(server, "/a?b", method="POST", headers={"x-a": "1"}, source="127.0.0.6")
    assert (found.status, found.body) == (201, b"POST /a?b 1 127.0.0.6")


def test_over_a_unix_socket(tmp_path):
    """As the authorizer's private listener is reached."""
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(path)
        listening.listen()

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

        thread = Thread(target=answer)
        thread.start()
        assert get(UnixAddress(path), "/").body == b"ok"
        thread.join()


def test_no_answer_is_one_line(tmp_path):
    """Nobody there, no file, or no HTTP."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(EnvironmentUnfitError, match="no answer: timed out"):
            get(TcpAddress("127.0.0.1", port), "/", timeout_seconds=0.05)
    for address in (TcpAddress("127.0.0.1", port), UnixAddress(str(tmp_path / "none"))):
        with pytest.raises(EnvironmentUnfitError, match="no answer"):
            get(address, "/")


def test_whether_somebody_accepts(server):
    """A connection is enough."""
    assert connects(server, source="127.0.0.6", timeout_seconds=1)
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    assert not connects(TcpAddress("127.0.0.1", port), source=None, timeout_seconds=1)
