from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from extauthz.mesh.application_probe import run_probe

LOOPBACK = "127.0.0.1"


class Application(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        good = self.path == "/ready" and self.headers.get("x-probe") == "1" and self.client_address[0] == "127.0.0.6"
        self.send_response(200 if good else 500)
        self.send_header("content-length", "6")
        self.end_headers()
        self.wfile.write(b"secret")

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def port():
    """An application that is ready at /ready."""
    with ThreadingHTTPServer((LOOPBACK, 0), Application) as running:
        thread = Thread(target=running.serve_forever)
        thread.start()
        yield running.server_port
        running.shutdown()
        thread.join()


def test_http(port):
    """The application's own status, asked from the address that is not captured; its text stays with it."""
    handler = {"path": "ready", "port": port, "httpHeaders": [{"name": "x-probe", "value": "1"}]}
    found = run_probe({"httpGet": handler, "timeoutSeconds": 3}, LOOPBACK)
    assert (found.status, found.body) == (200, b"")
    assert run_probe({"httpGet": {**handler, "path": "/other"}}, LOOPBACK).status == 500


def test_tcp(port):
    """A connection is an answer."""
    assert run_probe({"tcpSocket": {"port": port}}, LOOPBACK).status == 200
    assert run_probe({"tcpSocket": {"port": 1}}, LOOPBACK).status == 503


def test_grpc():
    """Serving is ready; everything else, an unknown service too, is not."""
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("shop", health_pb2.HealthCheckResponse.SERVING)
    servicer.set("other", health_pb2.HealthCheckResponse.NOT_SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port(f"{LOOPBACK}:0")
    server.start()
    found = [run_probe({"grpc": {"port": port, "service": name}}, LOOPBACK).status for name in ("shop", "other", "x")]
    server.stop(None).wait()
    assert found == [200, 503, 503]
    assert run_probe({"grpc": {"port": 1}, "timeoutSeconds": 1}, LOOPBACK).status == 503


def test_nobody_there():
    """Not ready, and why."""
    found = run_probe({"httpGet": {"port": 1}}, LOOPBACK)
    assert found.status == 503
    assert b"no answer" in found.body


@pytest.mark.parametrize("probe", [{}, {"httpGet": {}}, {"tcpSocket": {"port": "http"}}, {"grpc": None}])
def test_what_is_no_probe(probe):
    """Never ready."""
    assert run_probe(probe, LOOPBACK).status == 500
