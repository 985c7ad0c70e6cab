"""The demo: real Envoy, the authorizer, an issuer and an upstream on free ports, and requests through all of them."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import grpc

from extauthz.app import Service
from extauthz.demo.assets import policies_dir
from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.demo.table import Caller, DemoRequest, Expected, Outcome
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import front_proxy
from extauthz.settings import Settings
from extauthz.sources.policy_files import load

_ANY_PORT = TcpAddress("127.0.0.1", 0)
_USER_AGENT = "extauthz-demo/"
_REQUEST_SECONDS = 10.0
_LOG_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo."""

    proxy: TcpAddress
    issuer: DevelopmentIssuer
    access_log: Path
    clock: Callable[[], float]
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of requests: the access log's line is found by the one in its user agent."""

    async def send(self, requests: Sequence[DemoRequest]) -> tuple[Outcome, ...]:
        """Send the requests one after another and say what came of each."""
        numbered = {next(self._numbers): request for request in requests}
        replies = await asyncio.to_thread(self._send_all, numbered)
        lines = await self._log_lines(numbered.keys())
        return tuple(Outcome(request, _seen(replies[n], lines[n])) for n, request in numbered.items())

    def mint(self, caller: Caller) -> str:
        """A token that says what the caller's says."""
        token = self.issuer.mint(
            caller.name,
            now=self.clock(),
            audience=caller.audience,
            lifetime_seconds=caller.lifetime_seconds,
            algorithm=caller.algorithm,
            claims=caller.claims,
        )
        return _tamper(token) if caller.tampered else token

    def curl(self, request: DemoRequest) -> str:
        """The request as a command for a shell."""
        words = ["curl", "-i"]
        if request.method != "GET":
            words += ["-X", request.method]
        for name, value in self._headers(request):
            words += ["-H", f"'{name}: {value}'"]
        if request.body:
            words += ["-d", f"'{request.body}'"]
        return " ".join([*words, f"'http://{self.proxy}{request.path}'"])

    def _headers(self, request: DemoRequest) -> list[tuple[str, str]]:
        credential = [] if request.caller is None else [("authorization", f"Bearer {self.mint(request.caller)}")]
        return [*credential, *request.headers]

    def _send_all(self, numbered: Mapping[int, DemoRequest]) -> dict[int, _Reply]:
        return {
            number: (self._call if request.is_grpc else self._fetch)(request, f"{_USER_AGENT}{number}")
            for number, request in numbered.items()
        }

    def _fetch(self, request: DemoRequest, user_agent: str) -> _Reply:
        connection = HTTPConnection(self.proxy.host, self.proxy.port, timeout=_REQUEST_SECONDS)
        try:
            body = request.body.encode()
            connection.putrequest(request.method, request.path, skip_accept_encoding=True)
            for name, value in [*self._headers(request), ("user-agent", user_agent)]:
                connection.putheader(name, value)
            if body:
                connection.putheader("content-length", str(len(body)))
            connection.endheaders(body or None)
            response = connection.getresponse()
            content = response.read()
            return _Reply(str(response.status), content if response.status == 200 else b"")
        finally:
            connection.close()

    def _call(self, request: DemoRequest, user_agent: str) -> _Reply:
        options = [("grpc.primary_user_agent", user_agent)]
        with grpc.insecure_channel(str(self.proxy), options=options) as channel:
            call = channel.unary_unary(request.path)
            try:
                message = call(b"", timeout=_REQUEST_SECONDS, metadata=self._headers(request))
            except grpc.RpcError as error:
                return _Reply(f"grpc {error.code().value[0]}", b"")
            return _Reply("grpc 0", message)

    async def _log_lines(self, numbers: Collection[int]) -> dict[int, dict[str, Any]]:
        """The access log's lines about these requests: Envoy writes them a moment after the responses."""
        deadline = time.monotonic() + _LOG_SECONDS
        while True:
            lines = dict(_numbered(self.access_log))
            missing = [number for number in numbers if number not in lines]
            if not missing:
                return lines
            if time.monotonic() > deadline:
                raise EnvironmentUnfitError(f"Envoy did not log {len(missing)} requests within {_LOG_SECONDS} s")
            await asyncio.sleep(0.01)


@dataclass(frozen=True, slots=True)
class _Reply:
    """What the client got: a status, and the echo's text when the request reached it."""

    status: str
    echo: bytes


@asynccontextmanager
async def running_demo(directory: Path, clock: Callable[[], float]) -> AsyncIterator[Demo]:
    """Start everything, and end it with the block.

    Args:
        directory: An empty folder for configuration and logs.
        clock: Seconds since the epoch, for tokens.
    """
    policy = str(policies_dir() / "shop")
    with DevelopmentIssuer() as issuer:
        values = directory / "values.yaml"
        values.write_text(f"ISSUER: {issuer.url}\n")
        policy_set = load([policy], values_file=str(values)).parsed.policy_set
        settings = Settings(
            paths=(policy,), values=str(values), listen=(_ANY_PORT,), admin=_ANY_PORT, log_level="warning"
        )
        async with _service(settings) as service, echo_upstream() as upstream:
            access_log = directory / "access.log"
            bootstrap = front_proxy(
                policy_set,
                authorizer=service.addresses[0],
                upstream=upstream,
                listen=_ANY_PORT,
                access_log=str(access_log),
                behind_local_proxy=True,  # the client plays the load balancer that writes X-Forwarded-For
            )
            envoy = EmbeddedEnvoy(bootstrap, directory)
            try:
                await asyncio.to_thread(envoy.start)
                yield Demo(_tcp(envoy), issuer, access_log, clock)
            finally:
                await asyncio.to_thread(envoy.stop)


@asynccontextmanager
async def _service(settings: Settings) -> AsyncIterator[Service]:
    """The service; what the block raises comes out as it is, not in the group that the service's tasks would make."""
    failure: Exception | None = None
    try:
        async with Service(settings) as service:
            try:
                yield service
            except Exception as error:  # noqa: BLE001 - raised below, when the service has ended
                failure = error
    except ExceptionGroup as group:
        raise EnvironmentUnfitError(f"the service failed: {group.exceptions[0]!r}") from group
    if failure is not None:
        raise failure


def _tcp(envoy: EmbeddedEnvoy) -> TcpAddress:
    address = envoy.addresses["front"]
    assert isinstance(address, TcpAddress)  # noqa: S101 - the bootstrap says so
    return address


def _seen(reply: _Reply, line: dict[str, Any]) -> Expected:
    user = json.loads(reply.echo)["headers"].get("x-user") if reply.echo else None
    return Expected(reply.status, line["reason"], tuple(line["policies"] or ()), user)


def _numbered(access_log: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The lines of our requests, by the number in the user agent; the last line may still be in writing."""
    text = access_log.read_text() if access_log.exists() else ""
    for written in text.splitlines(keepends=True):
        if not written.endswith("\n"):
            return
        line = json.loads(written)
        agent, _, _ = (line["user_agent"] or "").partition(" ")
        if agent.startswith(_USER_AGENT):
            yield int(agent.removeprefix(_USER_AGENT)), line


def _tamper(token: str) -> str:
    """The token with one role more, under the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    forged = json.dumps({**claims, "roles": ["admin"]}).encode()
    return ".".join([header, base64.urlsafe_b64encode(forged).rstrip(b"=").decode(), signature])
