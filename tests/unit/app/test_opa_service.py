import asyncio
import io
import json
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from extauthz.app.opa_service import OpaService
from extauthz.app.process import ready_line
from extauthz.errors import ConfigurationError, EnvironmentUnfitError, PolicyError
from extauthz.lowering.address import UnixAddress
from extauthz.server.check_method import AUTHORIZATION_SERVICE
from extauthz.settings import Settings
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from tests.harness.authn import CORP, jwks, token
from tests.harness.bundles import archive
from tests.harness.grpc_check import SERVING, Client
from tests.harness.scripted_http import ScriptedServer, replies
from tests.harness.service import ANY_PORT, admin

ALLOW = 'package envoy.authz\n\nallow := input.parsed_path[0] == "{name}"\n'
SET = """\
version: 1
name: callers
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {{inline: {keys}}}
routes:
  - {{name: person, path: "/people/{{id}}", authentication: optional, allow: [{{anyone: true}}]}}
"""
CALLER = """\
package envoy.authz

default allow := false

allow if {
    input.principal.subject == input.path.id
    input.claims.tier == "gold"
}
"""


class Plugin:
    """A configuration, a policy, a log, and a service over them."""

    def __init__(self, place):
        self.folder = place.folder
        self.policy = place.folder / "policy.rego"
        self.write("open")
        self.log = io.StringIO()

    def write(self, name):
        self.policy.write_text(ALLOW.format(name=name))

    def service(self, document=None, paths=None, **settings):
        config = self.folder / "config.yaml"
        plugin = {"addr": f"unix://{self.folder}/s", **(document or {}).pop("plugin", {})}
        config.write_text(json.dumps({"plugins": {"envoy_ext_authz_grpc": plugin}, **(document or {})}))
        logger = build_logger(self.log, log_format=LogFormat.JSON, level=LogLevel.DEBUG)
        given: dict[str, Any] = {"paths": (str(self.policy),) if paths is None else paths, "admin": ANY_PORT}
        given["opa_config"] = str(config)
        return OpaService(Settings(**(given | settings)), logger=logger)

    def events(self):
        return [json.loads(line)["event"] for line in self.log.getvalue().splitlines()]

    async def logged(self, event, count=1):
        async with asyncio.timeout(20):
            while self.events().count(event) < count:  # noqa: ASYNC110 - any of the service's tasks may log it
                await asyncio.sleep(0.02)


@pytest.fixture
def plugin(place):
    return Plugin(place)


async def codes(service, *paths, **headers):
    async with Client(service.addresses[0]) as client:
        return [await client.code(path, **headers) for path in paths]


async def failure(service, path):
    async with Client(service.addresses[0]) as client:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await client.check(path)
    return failed.value.code(), failed.value.details()


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"transport": "grpcio"}])
def test_decisions(plugin, options):
    """At the address of OPA's configuration, whichever transport and process answers."""

    async def main():
        async with plugin.service(**options) as service:
            assert service.addresses == (UnixAddress(f"{plugin.folder}/s"),)
            assert await codes(service, "/open", "/shut", "/%zz") == [0, 7, 7]
            async with Client(service.addresses[0]) as client:
                assert await client.health() == SERVING
            assert f"serving policy opa revision {service._policy.revision} at unix:" in ready_line(service)
            assert (await admin(service, "/v1/policy")).status_code == 404

    asyncio.run(main())


def test_our_own_address(plugin):
    """Given on purpose, it wins."""

    async def main():
        async with plugin.service(listen=(ANY_PORT,)) as service:
            assert await codes(service, "/open") == [0]
            assert not (plugin.folder / "s").exists()

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_reload(plugin, workers):
    """What changes is loaded; what is broken is told, and the last good one stays."""

    async def main():
        async with plugin.service(workers=workers) as service:
            await plugin.logged("policy_loaded")
            plugin.write("second")
            await plugin.logged("policy_loaded", 2)
            assert await codes(service, "/open", "/second") == [7, 0]
            plugin.policy.write_text("package envoy.authz\n\nallow if {\n")
            await plugin.logged("policy_load_failed")
            assert await codes(service, "/second") == [0]
            ready = await admin(service, "/readyz")
            assert (ready.status_code, ready.json()["degraded"]) == (200, ["policy_reload"])
            plugin.write("third")
            service.reload()
            await plugin.logged("policy_loaded", 3)
            assert await codes(service, "/third") == [0]
            assert (await admin(service, "/readyz")).json()["degraded"] == []

    asyncio.run(main())


def bundles(server):
    return {
        "services": {"s": {"url": f"http://127.0.0.1:{server.port}"}},
        "bundles": {
            "authz": {"resource": "b.tar.gz", "polling": {"min_delay_seconds": 0.02, "max_delay_seconds": 0.05}}
        },
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_bundles(plugin, workers):
    """Until one comes nothing is decided; then the last good one is, whatever comes."""

    def bundle(name, revision):
        return archive({"p.rego": ALLOW.format(name=name), ".manifest": {"revision": revision}})

    async def main():
        async with ScriptedServer(replies(503)).serving() as server:
            if workers > 1:  # which wait for it before anything listens
                server.answer = replies(200, bundle("one", "1"), b'etag: "1"')
            async with plugin.service(bundles(server), paths=(), workers=workers) as service:
                if workers == 1:
                    await plugin.logged("bundle_fetch_failed")
                    assert await failure(service, "/one") == (grpc.StatusCode.UNKNOWN, "undefined decision")
                    assert (await admin(service, "/readyz")).status_code == 503
                    assert "no policy until bundles come" in ready_line(service)
                    server.answer = replies(200, bundle("one", "1"), b'etag: "1"')
                await plugin.logged("policy_loaded")
                assert await codes(service, "/one", "/two") == [0, 7]
                assert (await admin(service, "/health?plugins&bundles")).status_code == 200
                server.answer = replies(200, b"broken", b'etag: "2"')
                await plugin.logged("policy_load_failed")
                assert await codes(service, "/one") == [0]
                server.answer = replies(200, bundle("two", "3"), b'etag: "3"')
                await plugin.logged("policy_loaded", 2)
                assert await codes(service, "/one", "/two") == [7, 0]

    asyncio.run(main())


def test_a_set_beside(plugin):
    """Its providers verify tokens, its routes bind paths, and a forged token is nobody's."""
    (plugin.folder / "set.yaml").write_text(SET.format(keys=json.dumps(jwks(CORP))))
    plugin.policy.write_text(CALLER)

    async def main():
        async with plugin.service(policy=(f"{plugin.folder}/set.yaml",)) as service:
            good = {"authorization": "Bearer " + token(sub="ann", tier="gold", iat=1_700_000_000, exp=4_000_000_000)}
            assert await codes(service, "/people/ann", "/people/bob", **good) == [0, 7]
            forged = {"authorization": good["authorization"][:-8] + "AAAAAAAA"}
            assert await codes(service, "/people/ann", **forged) == [7]
            assert await codes(service, "/people/ann") == [7]

    asyncio.run(main())


def test_strict(plugin):
    """Nothing fails: what is not decided is a denial."""
    plugin.policy.write_text("package envoy.authz\n\nallow if input.none\n")

    async def main():
        async with plugin.service(strict=True) as service:
            async with Client(service.addresses[0]) as client:
                response = await client.check("/")
            assert (response.status.code, response.denied_response.status.code) == (7, 403)

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_decision_log(plugin, workers):
    """A line for each answer, with whole inputs, where our own setting says; and the plugin's own metrics."""
    log = plugin.folder / "decisions"
    document = {"plugin": {"enable-performance-metrics": True}, "labels": {"region": "eu"}}

    async def main():
        async with plugin.service(document, decision_log=str(log), workers=workers) as service:
            assert await codes(service, "/open", "/%") == [0, 7]
            metrics = (await admin(service, "/metrics")).text
            assert 'grpc_request_duration_seconds_count{handler="check"} 1.0' in metrics
            assert 'error_counter{reason="request_parse_error"} 1.0' in metrics

    asyncio.run(main())
    lines = sorted((json.loads(line) for line in log.read_text().splitlines()), key=lambda event: "error" in event)
    assert [line.get("result") for line in lines] == [True, None]
    assert lines[0]["labels"]["region"] == "eu"
    assert lines[0]["input"]["attributes"]["request"]["http"]["path"] == "/open"
    assert lines[1]["error"]["message"] == 'invalid URL escape "%"'


def test_reflection(plugin):
    """Clients without descriptors learn the service over grpcio."""
    asked = reflection_pb2.ServerReflectionRequest(file_containing_symbol=AUTHORIZATION_SERVICE)

    async def main():
        async with (
            plugin.service(transport="grpcio") as service,
            grpc.aio.insecure_channel(str(service.addresses[0])) as channel,
        ):
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            replies = [reply async for reply in stub.ServerReflectionInfo(iter([asked]))]
        files = replies[0].file_descriptor_response.file_descriptor_proto
        return [descriptor_pb2.FileDescriptorProto.FromString(file) for file in files]

    assert "Authorization" in {service.name for file in asyncio.run(main()) for service in file.service}


@pytest.mark.parametrize(
    ("document", "settings", "error", "message"),
    [
        ({"plugin": {"path": "a", "query": "data.b"}}, {}, ConfigurationError, 'only the "path" field'),
        ({"plugin": {"proto-descriptor": "/nowhere"}}, {}, ConfigurationError, "proto-descriptor /nowhere"),
        ({}, {"paths": ()}, ConfigurationError, "names no bundles"),
        ({}, {"paths": ("/nowhere.rego",)}, ConfigurationError, "does not exist"),
        ({}, {"policy": ("/nowhere",)}, ConfigurationError, "does not exist"),
        ({"plugin": {"addr": "unix:///nowhere/s"}}, {}, EnvironmentUnfitError, "/nowhere/s"),
    ],
)
def test_what_cannot_be_served(plugin, document, settings, error, message):
    """It is told at the start, and nothing listens."""

    async def main():
        async with plugin.service(document, **settings):
            pytest.fail("served")

    with pytest.raises(error, match=message):
        asyncio.run(main())


def test_broken_modules(plugin):
    """With their place."""
    plugin.policy.write_text("package envoy.authz\n\nallow if nowhere(1)\n")

    async def main():
        async with plugin.service():
            pytest.fail("served")

    with pytest.raises(PolicyError, match=r"policy\.rego:3"):
        asyncio.run(main())


def test_warnings(plugin):
    """What of OPA's configuration is not used is in the log."""

    async def main():
        async with plugin.service({"status": {"console": True}}):
            pass

    asyncio.run(main())
    assert "opa_config_warning" in plugin.events()
