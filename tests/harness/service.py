"""A whole service over a folder of its own, and callers of it."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import io
import json
import ssl
import time
from pathlib import Path

import grpc
import httpx
from cryptography import x509
from envoy.service.auth.v3 import external_auth_pb2
from grpc_health.v1 import health_pb2

from extauthz.app.service import Service
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.server.check_method import CHECK_PATH
from extauthz.server.health import WATCH_PATH
from extauthz.settings import Settings
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from tests.harness.asgi_call import check_message
from tests.harness.certificates import CertificateAuthority

HEALTH_PATH = "/grpc.health.v1.Health/Check"
ANY_PORT = TcpAddress("127.0.0.1", 0)

OPEN = """\
version: 1
name: {name}
routes:
  - {{name: open, path: /{name}, public: true}}
"""

GUARDED = """\
version: 1
name: guarded
providers:
  corp:
    issuer: {issuer}
    audiences: [shop]
    algorithms: [ES256]
    jwks: {{uri: "{issuer}/jwks.json"}}
routes:
  - {{name: open, path: /open, public: true}}
  - {{name: guarded, path: /guarded, allow: [{{authenticated: true}}]}}
"""


class Place:
    """A policy folder, a log, and a service over them."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.policy = folder / "policy"
        self.policy.mkdir()
        self.write(OPEN.format(name="first"))
        self.log = io.StringIO()

    def write(self, text, name="policy.yaml"):
        (self.policy / name).write_text(text)

    def service(self, **settings):
        logger = build_logger(self.log, log_format=LogFormat.JSON, level=LogLevel.DEBUG)
        given = {"paths": (str(self.policy),), "listen": (ANY_PORT,), "admin": ANY_PORT, **settings}
        return Service(Settings(**given), logger=logger)

    def events(self):
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]

    async def logged(self, event, count=1):
        """Wait until the event was logged so many times."""
        async with asyncio.timeout(20):
            while self.events().count(event) < count:  # noqa: ASYNC110 - any of the service's tasks may log it
                await asyncio.sleep(0.02)


def mint(issuer):
    """A token that is good for an hour."""
    return issuer.mint("alice", audience="shop", now=time.time())  # noqa: TID251 - tests have no app.py


async def call(address, path, message):
    async with grpc.aio.insecure_channel(str(address)) as channel:
        return await channel.unary_unary(path)(message, timeout=10)


async def check(service, path, *, index=0, **headers):
    """The decision's metadata, and the response."""
    message = external_auth_pb2.CheckRequest()
    http = message.attributes.request.http
    http.method, http.path, http.host = "GET", path, "shop.example"
    http.headers.update(headers)
    reply = await call(service.addresses[index], CHECK_PATH, message.SerializeToString())
    return external_auth_pb2.CheckResponse.FromString(reply)


async def health(service):
    reply = await call(service.addresses[0], HEALTH_PATH, b"")
    return health_pb2.HealthCheckResponse.FromString(reply).status


@contextlib.asynccontextmanager
async def health_watch(service):
    """Awaited, the next state that a watcher is told."""
    async with grpc.aio.insecure_channel(str(service.addresses[0])) as channel:
        watch = channel.unary_stream(WATCH_PATH)(b"")

        async def told():
            async with asyncio.timeout(10):
                return health_pb2.HealthCheckResponse.FromString(await watch.read()).status

        yield told


async def admin(service, path, tls=None):
    """What the private listener answers, over TLS if a context is given."""
    address = service.admin_address
    transport = httpx.AsyncHTTPTransport(
        uds=address.path if isinstance(address, UnixAddress) else None, verify=True if tls is None else tls
    )
    host = "localhost" if isinstance(address, UnixAddress) else f"localhost:{address.port}"
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.get(f"{'http' if tls is None else 'https'}://{host}{path}")


class Certificates:
    """An authority, and the files that a service reads."""

    def __init__(self, folder: Path):
        self._authority = CertificateAuthority(folder, dt.datetime.now(dt.UTC))  # noqa: TID251 - tests have no app.py
        self.own = folder / "own.pem"
        self.renew()

    def renew(self):
        self._authority.issue(x509.DNSName("localhost")).rename(self.own)

    @property
    def settings(self):
        return {"tls_cert": str(self.own), "tls_key": str(self.own), "client_ca": str(self._authority.certificate)}

    @property
    def admin_settings(self):
        return {f"admin_{name}": value for name, value in self.settings.items()}

    @property
    def anonymous(self):
        """A client that trusts the authority and has no certificate."""
        return ssl.create_default_context(cafile=str(self._authority.certificate))

    @property
    def certified(self):
        """A client with a certificate."""
        context = self.anonymous
        context.load_cert_chain(self._authority.issue(x509.DNSName("operator")))
        return context

    async def check(self, address, path="/first"):
        """As a caller with a certificate."""
        own = self._authority.issue(x509.DNSName("envoy")).read_bytes()
        proof = grpc.ssl_channel_credentials(self._authority.certificate.read_bytes(), own, own)
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(str(address), proof, options=options) as channel:
            return await channel.unary_unary(CHECK_PATH)(check_message(path), timeout=10)
