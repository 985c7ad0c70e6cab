"""The demo: real Envoy, the authorizer, an issuer and an upstream on free ports, and requests through all of them.

Or requests through a proxy that runs elsewhere, as in containers, with an issuer that mints on request.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from extauthz.app import Service
from extauthz.demo.assets import policies_dir
from extauthz.demo.client import DemoClient, Reply, Server, mint_at
from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.demo.table import DemoRequest, Expected, Outcome
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.lowering.bootstrap import front_proxy
from extauthz.lowering.enforcement import enforcement_of
from extauthz.lowering.mode import Mode
from extauthz.settings import Settings
from extauthz.sources.policy_files import load

_ANY_PORT = TcpAddress("127.0.0.1", 0)
_USER_AGENT = "extauthz-demo/"
_LOG_SECONDS = 5.0
_POLL_SECONDS = 0.2
_ATTEMPTS = 5
_UNDECIDED = {"503", "grpc 14"}  # gRPC's UNAVAILABLE


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo."""

    client: DemoClient
    issuer: DevelopmentIssuer
    """Mints on request, too."""
    access_log: Path
    decisions_seen: bool = True
    """Whether each decision is in the access log: where Envoy decides by itself, there is none."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    """Of requests: the access log's line is found by the one in its user agent."""

    async def send(self, requests: Sequence[DemoRequest]) -> tuple[Outcome, ...]:
        """Send the requests one after another and say what came of each."""
        numbered = {next(self._numbers): request for request in requests}
        replies = await asyncio.to_thread(self._send_all, numbered)
        lines = await self._log_lines(numbered.keys())
        seen = self.decisions_seen
        return tuple(
            Outcome(request, _seen(replies[n], lines[n]), decision_seen=seen) for n, request in numbered.items()
        )

    def _send_all(self, numbered: Mapping[int, DemoRequest]) -> dict[int, Reply]:
        return {number: self.client.send(request, f"{_USER_AGENT}{number}") for number, request in numbered.items()}

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


def send_against(
    proxy: Server,
    issuer: Server,
    requests: Sequence[DemoRequest],
    *,
    clock: Callable[[], float],
    start_seconds: float,
) -> tuple[Outcome, ...]:
    """Send the requests through a proxy that runs elsewhere; what it decided is seen in statuses and echoes alone.

    Args:
        proxy: In front of the echo upstream, under the example set `shop`.
        issuer: The development issuer that the set trusts.
        clock: Seconds since the epoch, for tokens.
        start_seconds: How long to wait until the first request comes out as expected.

    Raises:
        EnvironmentUnfitError: Nobody answers there.
    """
    client = DemoClient(proxy, mint_at(issuer), clock)
    _wait_until_served(client, requests[0], start_seconds)
    replies = ((request, _send_until_decided(client, request)) for request in requests)
    return tuple(
        Outcome(request, Expected(reply.status, None, user=reply.user), decision_seen=False)
        for request, reply in replies
    )


def _send_until_decided(client: DemoClient, request: DemoRequest) -> Reply:
    """The reply; a machine that is short of time may fail to decide at first, which is no answer of the policy."""
    for _ in range(_ATTEMPTS - 1):
        reply = client.send(request, f"{_USER_AGENT}against")
        if reply.status not in _UNDECIDED or reply.status == request.expected.status:
            return reply
        time.sleep(_POLL_SECONDS)
    return client.send(request, f"{_USER_AGENT}against")


def _wait_until_served(client: DemoClient, request: DemoRequest, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        problem = None
        try:
            if client.send(request, f"{_USER_AGENT}ready").status == request.expected.status:
                return
        except EnvironmentUnfitError as error:
            problem = error
        if time.monotonic() > deadline:
            if problem is None:  # it answers, and the table says what
                return
            raise EnvironmentUnfitError(
                f"nothing answers at {client.proxy}: start it first, as with docker compose up ({problem})"
            )
        time.sleep(_POLL_SECONDS)


@asynccontextmanager
async def running_demo(
    directory: Path, clock: Callable[[], float], mode: Mode = Mode.CHECK, example: str = "shop"
) -> AsyncIterator[Demo]:
    """Start everything, and end it with the block.

    Args:
        directory: An empty folder for configuration and logs.
        clock: Seconds since the epoch, for tokens.
        mode: Who decides; only in mode check every decision is the authorizer's, and seen.
        example: The example set that is served.
    """
    policy = str(policies_dir() / example)
    with DevelopmentIssuer(clock=clock) as issuer:
        values = directory / "values.yaml"
        values.write_text(f"ISSUER: {issuer.url}\n")
        policy_set = load([policy], values_file=str(values)).parsed.policy_set
        settings = Settings(
            paths=(policy,), values=str(values), listen=(_ANY_PORT,), admin=_ANY_PORT, log_level="warning"
        )
        async with Service(settings) as service, echo_upstream() as upstream:
            access_log = directory / "access.log"
            bootstrap = front_proxy(
                policy_set,
                enforcement=enforcement_of(policy_set, mode),
                authorizer=service.addresses[0],
                upstream=upstream,
                listen=_ANY_PORT,
                access_log=str(access_log),
                behind_local_proxy=True,  # the client plays the load balancer that writes X-Forwarded-For
            )
            envoy = EmbeddedEnvoy(bootstrap, directory)
            try:
                await asyncio.to_thread(envoy.start)
                client = DemoClient(Server(_tcp(envoy)), issuer.sign, clock)
                yield Demo(client, issuer, access_log, decisions_seen=mode is Mode.CHECK)
            finally:
                await asyncio.to_thread(envoy.stop)


def _tcp(envoy: EmbeddedEnvoy) -> TcpAddress:
    address = envoy.addresses["front"]
    assert isinstance(address, TcpAddress)  # noqa: S101 - the bootstrap says so
    return address


def _seen(reply: Reply, line: dict[str, Any]) -> Expected:
    return Expected(reply.status, line["reason"], tuple(line["policies"] or ()), reply.user)


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
