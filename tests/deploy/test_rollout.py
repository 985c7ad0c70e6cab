"""What the operations chapter says of a real Envoy: its trace is continued, and it can ask without obeying."""

import asyncio
import json
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from extauthz.app import Service
from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import front_proxy
from extauthz.lowering.ext_authz import EXT_AUTHZ
from extauthz.settings import Settings
from tests.harness.collector import Collector

pytestmark = pytest.mark.envoy

ANY_PORT = TcpAddress("127.0.0.1", 0)
NOBODY = TcpAddress("127.0.0.1", 9)
CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

POLICY = """\
version: 1
name: open
routes:
  - {name: open, path: /open, public: true}
  - {name: closed, path: /closed, public: true, deny: [{name: all, anyone: true}]}
"""

TRACING = {
    "provider": {
        "name": "envoy.tracers.opentelemetry",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
            "grpc_service": {"envoy_grpc": {"cluster_name": "extauthz"}},  # which takes no spans: they go nowhere
            "service_name": "edge",
        },
    }
}


@pytest.fixture
def folder():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    made = Path(tempfile.mkdtemp(prefix="rollout-"))
    yield made
    shutil.rmtree(made)


@asynccontextmanager
async def proxied(folder, change, **settings):
    """A client of a front proxy whose connection manager was changed; nobody is behind it: an allow is answered 503."""
    (folder / "policy.yaml").write_text(POLICY)
    authorizer = UnixAddress(str(folder / "authz.sock"))
    given = {"paths": (str(folder / "policy.yaml"),), "listen": (authorizer,), "admin": ANY_PORT, **settings}
    async with Service(Settings(log_level="error", **given)) as service:
        bootstrap = front_proxy(
            service.policy_set,
            authorizer=authorizer,
            upstream=NOBODY,
            listen=ANY_PORT,
            access_log=str(folder / "access.log"),
        )
        (listener,) = bootstrap["static_resources"]["listeners"]
        change(listener["filter_chains"][0]["filters"][0]["typed_config"])
        envoy = EmbeddedEnvoy(bootstrap, folder)
        await asyncio.to_thread(envoy.start)
        try:
            (address,) = envoy.addresses.values()
            async with httpx.AsyncClient(base_url=f"http://{address}", trust_env=False) as client:
                yield client
        finally:
            await asyncio.to_thread(envoy.stop)


def test_the_proxys_own_span_is_the_parent(folder, envoy, monkeypatch):
    """In the client's trace, between the client's span and ours, stands that of Envoy's call."""

    async def main():
        def change(manager):
            manager["tracing"] = TRACING

        async with proxied(folder, change, traces="otlp") as client:
            await client.get("/open", headers={"traceparent": CLIENT})

    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        asyncio.run(main())
    (span,) = collector.spans()
    assert span["traceId"] == CLIENT[3:35]
    assert span["parentSpanId"] != CLIENT[36:52]


def test_shadow_mode_asks_and_does_not_obey(folder, envoy):
    """A request that would be refused goes on, and the logs say what the answer was."""
    decisions = folder / "decisions.log"

    async def main():
        def change(manager):
            (ext_authz,) = [each for each in manager["http_filters"] if each["name"] == EXT_AUTHZ]
            ext_authz["typed_config"]["shadow_mode"] = True

        async with proxied(folder, change, decision_log=str(decisions)) as client:
            return [(await client.get(path)).status_code for path in ("/open", "/closed")]

    assert asyncio.run(main()) == [503, 503], "which is that nobody is behind the proxy; a denial would be a 403"
    logged = [json.loads(line) for line in decisions.read_text().splitlines()]
    assert [(line["effect"], line["reason"]) for line in logged] == [("allow", "allowed"), ("deny", "denied_by_policy")]
    access = [json.loads(line) for line in (folder / "access.log").read_text().splitlines()]
    assert [line["reason"] for line in access] == ["allowed", "denied_by_policy"]
