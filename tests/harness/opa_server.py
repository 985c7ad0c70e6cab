"""A real `opa run --server`, where the machine has an `opa`."""

from __future__ import annotations

import json
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.harness.required import opa_or_skip

_START_SECONDS = 20.0


class OpaServer:
    """One that answers."""

    def __init__(self, url: str, port: int) -> None:
        self.url = url
        self.port = port

    def put_policy(self, name: str, text: str, token: str | None = None) -> None:
        self.call("PUT", f"/v1/policies/{name}", text.encode(), token)

    def call(self, method: str, path: str, body: bytes | None = None, token: str | None = None) -> tuple[int, bytes]:
        """Status and body."""
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"{self.url}{path}", body, headers, method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()

    def policy_ids(self) -> list[str]:
        listed = json.loads(self.call("GET", "/v1/policies")[1])
        return sorted(each["id"] for each in listed.get("result", []))


@contextmanager
def opa_server(*arguments: str | Path, port: int | None = None) -> Iterator[OpaServer]:
    """A server on a port of loopback, killed at the end."""
    binary = opa_or_skip()
    if port is None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
    command = [binary, "run", "--server", "--addr", f"127.0.0.1:{port}", "--log-level", "error", *map(str, arguments)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        try:
            server = OpaServer(f"http://127.0.0.1:{port}", port)
            _await(server, process)
            yield server
        finally:
            process.kill()


def _await(server: OpaServer, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _START_SECONDS
    while True:
        try:
            server.call("GET", "/health")
        except OSError:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < until, "opa does not answer"
            time.sleep(0.02)
        else:
            return
