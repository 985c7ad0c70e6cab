"""What the tests of lowering share: policy sets to vary, and real Envoy between a client and a scripted authorizer."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.demo.upstream import echo_upstream
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import front_proxy
from extauthz.model.policy import PathSettings, PolicySet, ResponseSettings

EMPTY_SET = PolicySet(
    name="shop",
    revision="0123456789ab",
    providers=(),
    api_key_providers=(),
    roles={},
    bindings=(),
    routes=(),
    default_providers=(),
    trust_domains=(),
    trusted_proxies=(),
    paths=PathSettings(),
    responses=ResponseSettings(),
    owned_headers=(),
)


@pytest.fixture
def policy_set() -> Callable[..., PolicySet]:
    """Makes a policy set that is empty but for the given fields."""
    return lambda **fields: dataclasses.replace(EMPTY_SET, **fields)


class Front:
    """Envoy as `front_proxy` configures it, its upstream echoing, its authorizer answering what the test says."""

    def __init__(self, envoy: EmbeddedEnvoy, asked: list[CheckRequest], access_log: Path) -> None:
        self.asked = asked
        self._access_log = access_log
        address = envoy.addresses["front"]
        assert isinstance(address, TcpAddress)
        self.address = address

    def send(
        self, method: str = "GET", path: str = "/", headers: Iterable[tuple[str, str]] = (), body: bytes = b""
    ) -> tuple[HTTPResponse, bytes]:
        """One request on a connection of its own; nothing about it is normalised."""
        connection = HTTPConnection(self.address.host, self.address.port, timeout=10)
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in [*headers, *([("content-length", str(len(body)))] if body else [])]:
            connection.putheader(name, value)
        connection.endheaders(body or None)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        return response, answer

    def upstream_headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The headers that the upstream saw of one allowed request."""
        response, body = self.send(headers=headers)
        assert response.status == 200, body
        seen: dict[str, str] = json.loads(body)["headers"]
        return seen

    def log_lines(self, count: int) -> list[dict[str, Any]]:
        """The access log, once it has so many lines."""
        waited = threading.Event()
        lines: list[str] = []
        for _ in range(500):
            lines = self._access_log.read_text().splitlines() if self._access_log.exists() else []
            if len(lines) >= count:
                return [json.loads(line) for line in lines]
            waited.wait(0.01)
        raise AssertionError(f"{len(lines)} lines instead of {count}")


@pytest.fixture
def front(tmp_path: Path) -> Callable[..., Any]:
    """Runs a `Front` for a policy set; `answer` makes the authorizer's reply."""

    @contextmanager
    def run(policy_set: PolicySet, answer: Callable[[CheckRequest], CheckResponse]) -> Iterator[Front]:
        asked: list[CheckRequest] = []
        access_log = tmp_path / "access.log"
        with _authorizer(answer, asked) as authorizer, _upstream() as upstream:
            bootstrap = front_proxy(
                policy_set,
                authorizer=authorizer,
                upstream=upstream,
                listen=TcpAddress("127.0.0.1", 0),
                access_log=str(access_log),
            )
            with EmbeddedEnvoy(bootstrap, tmp_path) as envoy:
                yield Front(envoy, asked, access_log)

    return run


@contextmanager
def _authorizer(answer: Callable[[CheckRequest], CheckResponse], asked: list[CheckRequest]) -> Iterator[TcpAddress]:
    def check(request: CheckRequest, context: grpc.ServicerContext) -> CheckResponse:
        asked.append(request)
        return answer(request)

    handler = grpc.unary_unary_rpc_method_handler(
        check, request_deserializer=CheckRequest.FromString, response_serializer=CheckResponse.SerializeToString
    )
    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler("envoy.service.auth.v3.Authorization", {"Check": handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield TcpAddress("127.0.0.1", port)
    finally:
        server.stop(None).wait()


@contextmanager
def _upstream() -> Iterator[TcpAddress]:
    """The asynchronous echo, on a loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    echo: Any = echo_upstream()
    try:
        yield asyncio.run_coroutine_threadsafe(echo.__aenter__(), loop).result(10)
        asyncio.run_coroutine_threadsafe(echo.__aexit__(None, None, None), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
