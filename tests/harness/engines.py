"""Who enforces a policy set: the answerer in this process, the server over a Unix socket, a real Envoy before it.

All but the Envoy are asked as Envoy would ask them. An engine starts what it needs when it is first asked about a site;
a stand (`stand.py`) ends all of it.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal, Protocol

import grpc

from extauthz.app import Service
from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answer as Reply
from extauthz.check.answer import Answerer
from extauthz.lowering.address import UnixAddress
from extauthz.settings import Settings
from tests.harness.answer import Answer
from tests.harness.async_host import AsyncHost
from tests.harness.case import CaseRequest
from tests.harness.check_call import apply_reply, check_request
from tests.harness.site import Site

CHECK_METHOD = "/envoy.service.auth.v3.Authorization/Check"


class Engine(Protocol):
    """Answers requests to sites."""

    def ask(self, site: Site, request: CaseRequest) -> Answer:
        """What comes of the request."""


class PdpEngine:
    """The decision alone: bytes to bytes, in this process."""

    def __init__(self) -> None:
        self._answerers: dict[str, Answerer] = {}

    def ask(self, site: Site, request: CaseRequest) -> Answer:
        if site.name not in self._answerers:
            self._answerers[site.name] = Answerer(build_snapshot(site.policy_set, KeySets(), VerifiedTokens()))
        now = time.time()  # noqa: TID251 - tests have no app.py
        message = check_request(request, site.case_set.proxy, now, with_body=site.with_body)
        reply = self._answerers[site.name].answer(message.SerializeToString(), now)
        assert isinstance(reply, Reply), f"keys are missing: {reply}"
        assert reply.failure is None, reply.failure
        return apply_reply(request, reply.reply, now)


class Services:
    """The real service, one for each site, listening on a Unix socket."""

    def __init__(self, host: AsyncHost, directory: Path, transport: Literal["h2corn", "grpcio"] = "h2corn") -> None:
        self._host = host
        self._directory = directory
        self._transport = transport
        self._addresses: dict[str, UnixAddress] = {}

    def address(self, site: Site) -> UnixAddress:
        """Where the site's service listens; it is started when it is first asked for."""
        if site.name not in self._addresses:
            number = len(self._addresses)
            # Short names: a socket's path holds 107 bytes.
            address = UnixAddress(str(self._directory / f"{self._transport}-{number}.sock"))
            settings = Settings(
                paths=site.paths,
                values=None if site.values_path is None else str(site.values_path),
                listen=(address,),
                transport=self._transport,
                admin=UnixAddress(str(self._directory / f"{self._transport}-{number}-admin.sock")),
                log_level="error",
            )
            self._host.enter(lambda: Service(settings))
            self._addresses[site.name] = address
        return self._addresses[site.name]


class ServedEngine:
    """The real server, asked by a gRPC client."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._channels: dict[str, grpc.Channel] = {}

    def ask(self, site: Site, request: CaseRequest) -> Answer:
        if site.name not in self._channels:
            self._channels[site.name] = grpc.insecure_channel(str(self._services.address(site)))
        now = time.time()  # noqa: TID251 - tests have no app.py
        message = check_request(request, site.case_set.proxy, now, with_body=site.with_body)
        call = self._channels[site.name].unary_unary(CHECK_METHOD)
        return apply_reply(request, call(message.SerializeToString(), timeout=5), now)

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()
