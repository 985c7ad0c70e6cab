"""The demo's client: sends the table's requests through a proxy, with tokens that somebody mints.

It runs in the demo's own process, or against a proxy that runs elsewhere. HTTP/1.1 is written as the table has it:
HTTP libraries would normalise the paths.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, Final, TypeAlias
from urllib.parse import urlsplit

import grpc

from extauthz.demo.issuer import TOKEN_PATH
from extauthz.demo.table import Caller, DemoRequest
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from extauthz.model.access import JsonValue

REQUEST_SECONDS: Final = 10.0

Mint: TypeAlias = Callable[[Mapping[str, JsonValue], str], str]
"""Claims and an algorithm -> a signed token of the issuer that the policy trusts; `iss` is the issuer's to add."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where an HTTP server is reached, and whom its certificate is verified by."""

    address: TcpAddress
    ca_file: Path | None = None
    """TLS, under these authorities (PEM) alone; clear text when None."""

    def __str__(self) -> str:
        return f"{'https' if self.ca_file else 'http'}://{self.address}"

    def connect(self) -> HTTPConnection:
        """A connection for one HTTP/1.1 request, opened when it is sent."""
        host, port = self.address.host, self.address.port
        if self.ca_file is None:
            return HTTPConnection(host, port, timeout=REQUEST_SECONDS)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return HTTPSConnection(host, port, timeout=REQUEST_SECONDS, context=context)

    def channel(self, user_agent: str) -> grpc.Channel:
        """A gRPC channel whose calls carry this user agent."""
        options = [("grpc.primary_user_agent", user_agent)]
        if self.ca_file is None:
            return grpc.insecure_channel(str(self.address), options=options)
        credentials = grpc.ssl_channel_credentials(self.ca_file.read_bytes())
        return grpc.secure_channel(str(self.address), credentials, options=options)


def parse_server(url: str, ca_file: Path | None = None) -> Server:
    """Read `http://host[:port]`, or `https://` with the file of its authorities.

    Raises:
        ConfigurationError: It is neither, or the file does not go with it.
    """
    parts = urlsplit(url)
    try:
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (KeyError, ValueError):
        port = 0
    if not (port and parts.hostname) or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ConfigurationError(f"'{url}' is no address of a server: write http://host:port or https://host:port")
    if (parts.scheme == "https") != (ca_file is not None):
        raise ConfigurationError(f"{url}: --ca FILE goes with https, and only there")
    if ca_file is not None and not ca_file.is_file():
        raise ConfigurationError(f"--ca {ca_file}: there is no such file")
    return Server(TcpAddress(parts.hostname, port), ca_file)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client got."""

    status: str
    """The HTTP status, or `grpc N`."""
    echo: bytes = b""
    """The upstream's text, when the request reached it."""

    @property
    def user(self) -> str | None:
        """`x-user` as the upstream saw it."""
        user: str | None = json.loads(self.echo)["headers"].get("x-user") if self.echo else None
        return user


@dataclass(frozen=True, slots=True)
class DemoClient:
    """Sends requests of the table to one proxy."""

    proxy: Server
    mint: Mint
    clock: Callable[[], float]
    """Seconds since the epoch, for the tokens' times."""

    def send(self, request: DemoRequest, user_agent: str) -> Reply:
        """Send one request on a connection of its own.

        Raises:
            EnvironmentUnfitError: No answer came.
        """
        try:
            return (self._call if request.is_grpc else self._fetch)(request, user_agent)
        except (OSError, HTTPException) as error:
            raise EnvironmentUnfitError(f"{request.method} {request.path} got no answer: {error!r}") from None

    def token(self, caller: Caller) -> str:
        """A token that says what the caller's says."""
        now = int(self.clock())
        claims: dict[str, JsonValue] = {
            "sub": caller.name,
            "aud": caller.audience,
            "iat": now,
            "exp": now + int(caller.lifetime_seconds),
            **caller.claims,
        }
        token = self.mint(claims, caller.algorithm)
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
        return " ".join([*words, f"'{self.proxy}{request.path}'"])

    def _headers(self, request: DemoRequest) -> list[tuple[str, str]]:
        credential = [] if request.caller is None else [("authorization", f"Bearer {self.token(request.caller)}")]
        return [*credential, *request.headers]

    def _fetch(self, request: DemoRequest, user_agent: str) -> Reply:
        connection = self.proxy.connect()
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
            return Reply(str(response.status), content if response.status == 200 else b"")
        finally:
            connection.close()

    def _call(self, request: DemoRequest, user_agent: str) -> Reply:
        with self.proxy.channel(user_agent) as channel:
            call = channel.unary_unary(request.path)
            try:
                message = call(b"", timeout=REQUEST_SECONDS, metadata=self._headers(request))
            except grpc.RpcError as error:
                return Reply(f"grpc {error.code().value[0]}")
            return Reply("grpc 0", message)


def mint_at(issuer: Server) -> Mint:
    """Tokens from a development issuer that runs elsewhere and mints on request."""

    def mint(claims: Mapping[str, JsonValue], algorithm: str) -> str:
        connection = issuer.connect()
        try:
            connection.request("POST", f"{TOKEN_PATH}?alg={algorithm}", json.dumps(dict(claims)))
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read()) if response.status == 200 else {}
        except (OSError, HTTPException, ValueError) as error:
            raise EnvironmentUnfitError(f"no token from {issuer}{TOKEN_PATH}: {error!r}") from None
        finally:
            connection.close()
        token = answer.get("access_token")
        if not isinstance(token, str):
            raise EnvironmentUnfitError(f"no token from {issuer}{TOKEN_PATH}: status {response.status}")
        return token

    return mint


def _tamper(token: str) -> str:
    """The token with one role more, under the old signature."""
    header, payload, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    forged = json.dumps({**claims, "roles": ["admin"]}).encode()
    return ".".join([header, base64.urlsafe_b64encode(forged).rstrip(b"=").decode(), signature])
