import asyncio
import datetime as dt
import gc
import io
import json
import os
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path

import grpc
import httpx
import pytest
from cryptography import x509
from envoy.service.auth.v3 import external_auth_pb2
from grpc_health.v1 import health_pb2

from extauthz.app import Service, key_set_state, ready_line, refuse_unsound_providers
from extauthz.authn.keyset import Phase
from extauthz.demo.issuer import DevelopmentIssuer
from extauthz.errors import ConfigurationError, EnvironmentUnfitError, PolicyError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.model.policy import StaticKeys
from extauthz.server.check_method import CHECK_PATH
from extauthz.settings import Settings
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from extauthz.telemetry.status import KeySetState
from tests.harness.asgi_call import check_message
from tests.harness.authn import make_provider
from tests.harness.certificates import CertificateAuthority
from tests.harness.collector import Collector
from tests.strategies import make_policy_set

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


@pytest.fixture
def place():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    folder = Path(tempfile.mkdtemp(prefix="app-"))
    yield Place(folder)
    shutil.rmtree(folder)
    gc.unfreeze()


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


async def admin(service, path):
    address = service.admin_address
    transport = httpx.AsyncHTTPTransport(uds=address.path if isinstance(address, UnixAddress) else None)
    base = "http://localhost" if isinstance(address, UnixAddress) else f"http://{address}"
    async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
        return await client.get(f"{base}{path}")


def test_requests_are_decided_on_every_address(place):
    """TCP and Unix socket, and the private listener tells of it."""
    listen = (ANY_PORT, UnixAddress(str(place.folder / "x.sock")))

    async def main():
        async with place.service(listen=listen) as service:
            for index in range(2):
                assert (await check(service, "/first", index=index)).status.code == 0
                assert (await check(service, "/other", index=index)).status.code == 16
            assert await health(service) == health_pb2.HealthCheckResponse.SERVING
            assert (await admin(service, "/readyz")).json()["policy"]["name"] == "first"
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_decisions_total{effect="allow",reason="allowed",route="open"} 2.0' in metrics
            line = ready_line(service)
            assert line.startswith("extauthz 0.1.0 serving policy first revision ")
            assert f" at {service.addresses[0]}, unix:{place.folder}/x.sock; probes at http://127.0.0.1:" in line
        assert not (place.folder / "x.sock").exists()

    asyncio.run(main())


@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
def test_every_transport_serves_the_same(place, transport):
    """At every address, with health beside it, and the metrics count alike."""
    listen = (ANY_PORT, UnixAddress(str(place.folder / "x.sock")))

    async def main():
        async with place.service(listen=listen, transport=transport) as service:
            for index in range(2):
                assert (await check(service, "/first", index=index)).status.code == 0
                assert (await check(service, "/other", index=index)).status.code == 16
            assert await health(service) == health_pb2.HealthCheckResponse.SERVING
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_decisions_total{effect="allow",reason="allowed",route="open"} 2.0' in metrics
            assert ready_line(service).count(str(place.folder / "x.sock")) == 1
            service.report_not_ready()
            assert await health(service) == health_pb2.HealthCheckResponse.NOT_SERVING

    asyncio.run(main())


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

    async def check(self, address, path="/first"):
        """As a caller with a certificate."""
        own = self._authority.issue(x509.DNSName("envoy")).read_bytes()
        proof = grpc.ssl_channel_credentials(self._authority.certificate.read_bytes(), own, own)
        options = [("grpc.ssl_target_name_override", "localhost")]
        async with grpc.aio.secure_channel(str(address), proof, options=options) as channel:
            return await channel.unary_unary(CHECK_PATH)(check_message(path), timeout=10)


@pytest.mark.parametrize(("transport", "workers"), [("h2corn", 1), ("h2corn", 2), ("grpcio", 1)])
def test_certificates_are_served_and_replaced(place, transport, workers):
    """Callers without one are turned away; a new one is taken over, a broken one is told and the last one stays."""
    certificates = Certificates(place.folder)

    async def main():
        async with place.service(transport=transport, workers=workers, **certificates.settings) as service:
            (address,) = service.addresses
            await certificates.check(address)
            with pytest.raises(grpc.aio.AioRpcError):
                await check(service, "/first")
            certificates.renew()
            await place.logged("certificate_loaded", 2)
            await certificates.check(address)
            certificates.own.write_text("no certificate")
            await place.logged("certificate_load_failed")
            await certificates.check(address)
            assert (await admin(service, "/readyz")).json()["degraded"] == ["certificate_reload"]
            metrics = (await admin(service, "/metrics")).text
            assert "extauthz_certificate_last_load_successful 0.0" in metrics
            assert "extauthz_certificate_expiry_timestamp_seconds " in metrics
            certificates.renew()
            await place.logged("certificate_loaded", 3)
            assert (await admin(service, "/readyz")).json()["degraded"] == []

    asyncio.run(main())
    serials = [line["serial"] for line in map(json.loads, place.log.getvalue().splitlines()) if "serial" in line]
    assert len(set(serials)) == 3
    (failed,) = [line for line in place.log.getvalue().splitlines() if "certificate_load_failed" in line]
    assert "own.pem holds no certificate" in failed


def test_a_certificate_that_cannot_be_used_is_told_at_the_start(place):
    """And nothing listens."""
    certificates = Certificates(place.folder)
    certificates.own.write_text("no certificate")
    unix = UnixAddress(str(place.folder / "x.sock"))

    async def main():
        async with place.service(listen=(unix, ANY_PORT), **certificates.settings):
            pytest.fail("served")

    with pytest.raises(ConfigurationError, match=r"own\.pem holds no certificate in PEM"):
        asyncio.run(main())
    assert not Path(unix.path).exists()


def test_a_key_that_everybody_can_read_is_warned_about(place):
    """It is served: secrets are often mounted like that."""
    certificates = Certificates(place.folder)
    certificates.own.chmod(0o644)

    async def main():
        async with place.service(**certificates.settings) as service:
            await certificates.check(service.addresses[0])

    asyncio.run(main())
    assert place.events().count("key_exposed") == 1


def test_the_private_listener_may_be_a_unix_socket(place):
    """With everything on it."""

    async def main():
        async with place.service(admin=UnixAddress(str(place.folder / "admin.sock"))) as service:
            assert (await admin(service, "/v1/policy")).json()["name"] == "first"
            assert ready_line(service).endswith("probes at unix:" + str(place.folder / "admin.sock") + " /readyz")

    asyncio.run(main())


def test_off_loopback_only_probes_and_metrics_are_served(place):
    """To whatever name asks."""

    async def main():
        async with place.service(admin=TcpAddress("0.0.0.0", 0), admin_api=False) as service:
            service.admin_address = TcpAddress("127.0.0.1", service.admin_address.port)
            assert (await admin(service, "/readyz")).status_code == 200
            assert (await admin(service, "/v1/policy")).status_code == 404

    asyncio.run(main())


def test_a_broken_policy_is_not_served(place):
    """Every diagnostic is told, and nothing listens."""
    place.write("version: 1\nname: x\nroutes:\n  - {name: a, path: b, pubic: true}\n")
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]

    async def main():
        async with place.service(listen=(TcpAddress("127.0.0.1", port),)):
            pytest.fail("served")

    with pytest.raises(PolicyError) as caught:
        asyncio.run(main())
    assert len(caught.value.diagnostics) >= 2
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))


@pytest.mark.parametrize("which", ["listen", "admin"])
def test_an_address_in_use_is_told(place, which):
    """And what was bound before it is closed again."""
    unix = UnixAddress(str(place.folder / "x.sock"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        settings = {"listen": (unix, address)} if which == "listen" else {"listen": (unix,), "admin": address}

        async def main():
            async with place.service(**settings):
                pytest.fail("served")

        with pytest.raises(EnvironmentUnfitError, match="another process listens there"):
            asyncio.run(main())
    assert not Path(unix.path).exists()


def test_a_decision_log_that_cannot_be_written_is_told_at_the_start(place):
    """Not at the first decision; and what was bound is closed again."""
    unix = UnixAddress(str(place.folder / "x.sock"))

    async def main():
        async with place.service(listen=(unix,), decision_log="/no/such/file"):
            pytest.fail("served")

    with pytest.raises(EnvironmentUnfitError, match="--decision-log /no/such/file: No such file"):
        asyncio.run(main())
    assert not Path(unix.path).exists()


def test_decisions_are_logged(place):
    """Under the revision that decided, and flushed at the end."""
    log = place.folder / "decisions.log"

    async def main():
        async with place.service(decision_log=str(log)) as service:
            reply = await check(service, "/first?secret=1", cookie="secret=1")
            return service.policy_set.revision, reply.dynamic_metadata["decision_id"]

    revision, decision_id = asyncio.run(main())
    (line,) = [json.loads(text) for text in log.read_text().splitlines()]
    assert (line["revision"], line["decision_id"], line["reason"]) == (revision, decision_id, "allowed")
    assert "secret" not in log.read_text()


def test_the_decision_log_is_put_aside_and_sampled_as_the_settings_say(place):
    """What an earlier process left counts; denials are all logged."""
    log = place.folder / "decisions.log"
    log.write_bytes(b"x" * (2 * 1024 * 1024) + b"\n")
    settings = {"decision_log_max_bytes": 2 * 1024 * 1024, "decision_log_sample_allow": 0.0}

    async def main():
        async with place.service(decision_log=str(log), **settings) as service:
            for path in ("/first", "/other"):
                await check(service, path)

    asyncio.run(main())
    assert (place.folder / "decisions.log.1").stat().st_size == 2 * 1024 * 1024 + 1
    assert [json.loads(line)["effect"] for line in log.read_text().splitlines()] == ["deny"]


@pytest.mark.parametrize("workers", [1, 2])
def test_decisions_are_traced(place, monkeypatch, workers):
    """In the trace of the call, whichever process answers; the last ones are sent at the end."""
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    async def main():
        async with place.service(traces="otlp", workers=workers) as service:
            message = check_message("/first")
            async with grpc.aio.insecure_channel(str(service.addresses[0])) as channel:
                await channel.unary_unary(CHECK_PATH)(message, timeout=10, metadata=[("traceparent", parent)])

    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        asyncio.run(main())
    (span,) = collector.spans()
    assert (span["traceId"], span["parentSpanId"]) == (parent[3:35], parent[36:52])
    assert place.events().count("traces_troubled") == 0


def test_wrong_variables_of_traces_are_told_at_the_start(place, monkeypatch):
    """Before anything listens."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")

    async def main():
        async with place.service(traces="otlp"):
            pytest.fail("served")

    with pytest.raises(ConfigurationError, match="OTEL_"):
        asyncio.run(main())


def test_a_changed_policy_is_put_into_force(place):
    """Without losing a request, and the metrics know its revision."""

    async def main():
        async with place.service() as service:
            before = service.policy_set.revision
            place.write(OPEN.format(name="second"))
            await place.logged("policy_loaded", 2)
            assert (await check(service, "/second")).status.code == 0
            assert (await check(service, "/first")).status.code == 16
            assert service.policy_set.revision != before
            assert f'revision="{service.policy_set.revision}"' in (await admin(service, "/metrics")).text

    asyncio.run(main())


def test_a_broken_change_leaves_the_last_good_set_in_force(place):
    """And probe, metric, log and /v1/policy say so, until it is mended."""

    async def main():
        async with place.service() as service:
            place.write("version: 1\nname: x\nroutes: [{name: a, path: /a, pubic: true}]\n")
            await place.logged("policy_load_failed")
            assert (await check(service, "/first")).status.code == 0
            ready = await admin(service, "/readyz")
            assert (ready.status_code, ready.json()["degraded"]) == (200, ["policy_reload"])
            metrics = (await admin(service, "/metrics")).text
            assert "extauthz_policy_last_load_successful 0.0" in metrics
            assert "extauthz_policy_load_failures_total 1.0" in metrics
            failed = (await admin(service, "/v1/policy")).json()["failed_load"]
            assert "did you mean 'public'?" in failed["message"]
            place.write(OPEN.format(name="mended"))
            await place.logged("policy_loaded", 2)
            assert (await admin(service, "/readyz")).json()["degraded"] == []
            assert "extauthz_policy_last_load_successful 1.0" in (await admin(service, "/metrics")).text

    asyncio.run(main())


def test_a_lost_file_waits_for_an_explicit_reload(place):
    """A folder that is half copied looks like a policy with fewer denials."""
    place.write("version: 1\ndeny: [{name: all, anyone: true}]\n", "deny.yaml")

    async def main():
        async with place.service() as service:
            assert (await check(service, "/first")).status.code == 7
            (place.policy / "deny.yaml").unlink()
            await place.logged("policy_load_failed")
            assert (await check(service, "/first")).status.code == 7
            service.reload()
            await place.logged("policy_loaded", 2)
            assert (await check(service, "/first")).status.code == 0

    asyncio.run(main())


def test_a_token_is_verified_by_keys_fetched_from_its_issuer(place):
    """The first request waits for them, if they are not there yet."""

    async def main(issuer):
        async with place.service() as service:
            for token, code in [(mint(issuer), 0), ("x.y.z", 16)]:
                assert (await check(service, "/guarded", authorization=f"Bearer {token}")).status.code == code
            assert (await admin(service, "/readyz")).json()["key_sets"]["corp"]["state"] == "current"
            assert "extauthz_token_verifications_total 1.0" in (await admin(service, "/metrics")).text

    with DevelopmentIssuer() as issuer:
        place.write(GUARDED.format(issuer=issuer.url))
        asyncio.run(main(issuer))


def test_an_issuer_that_cannot_be_reached_holds_up_nobody_else(place):
    """Its tokens get could-not-decide, a probe names it, everything else works."""
    with DevelopmentIssuer() as issuer:
        token = mint(issuer)
    place.write(GUARDED.format(issuer=issuer.url))

    async def main():
        async with place.service() as service:
            assert (await check(service, "/open")).status.code == 0
            reply = await check(service, "/guarded", authorization=f"Bearer {token}")
            assert (reply.status.code, reply.denied_response.status.code) == (7, 503)
            await place.logged("key_set_failed")
            ready = (await admin(service, "/readyz")).json()
            assert (ready["ready"], ready["degraded"]) == (True, ["key_set:corp"])
            assert ready["key_sets"]["corp"]["failures"] >= 1
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_key_set_fetch_failures_total{provider="corp"}' in metrics

    asyncio.run(main())


def test_draining_reports_not_ready_and_still_answers(place):
    """Load balancers see it before the listener closes."""

    async def main():
        async with place.service() as service:
            service.report_not_ready()
            assert await health(service) == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await admin(service, "/readyz")).status_code == 503
            assert (await check(service, "/first")).status.code == 0

    asyncio.run(main())


def test_what_the_block_raises_comes_out_as_it_is(place):
    """Not in a group with the service's own tasks."""

    async def main():
        async with place.service():
            raise LookupError("the block's")

    with pytest.raises(LookupError, match="the block's"):
        asyncio.run(main())


def test_a_part_that_fails_ends_the_service(place):
    """It does not go on with half of itself."""

    async def main():
        async with place.service() as service:
            service._watcher._wake = None  # a bug in a background task
            await asyncio.sleep(30)

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert caught.group_contains(AttributeError)


def test_two_services_live_side_by_side(place):
    """Nothing is global."""

    async def main():
        async with place.service() as first, place.service() as second:
            assert first.addresses != second.addresses
            for service in (first, second):
                assert (await check(service, "/first")).status.code == 0

    asyncio.run(main())


def test_worker_processes_serve_the_same(place):
    """What one process does, with two: decisions, health, metrics, log, and a change that both decide by."""
    log = place.folder / "decisions.log"
    listen = (ANY_PORT, UnixAddress(str(place.folder / "x.sock")))

    async def main():
        async with place.service(workers=2, listen=listen, decision_log=str(log)) as service:
            for index in range(2):
                assert (await check(service, "/first", index=index)).status.code == 0
                assert (await check(service, "/other", index=index)).status.code == 16
            assert await health(service) == health_pb2.HealthCheckResponse.SERVING
            metrics = (await admin(service, "/metrics")).text
            assert 'extauthz_decisions_total{effect="allow",reason="allowed",route="open"} 2.0' in metrics
            assert "extauthz_workers 2.0" in metrics
            place.write(OPEN.format(name="second"))
            await place.logged("policy_loaded", 2)
            for _ in range(8):
                assert (await check(service, "/second")).status.code == 0
            assert (await admin(service, "/readyz")).json()["policy"]["name"] == "second"
            place.write("version: 1\nname: x\nroutes: [{name: a, path: /a, pubic: true}]\n")
            await place.logged("policy_load_failed")
            assert (await check(service, "/second")).status.code == 0
            service.report_not_ready()
            assert (await admin(service, "/readyz")).status_code == 503

    asyncio.run(main())
    reasons = [json.loads(line)["reason"] for line in log.read_text().splitlines()]
    assert reasons.count("allowed") == 11
    assert not (place.folder / "x.sock").exists()


def test_a_revision_is_reported_when_every_worker_decides_by_it(place):
    """Not before: whoever rolls a policy out waits for it."""

    async def main():
        async with place.service(workers=2) as service:
            before = service.policy_set.revision
            stopped, _ = [worker.process.pid for worker in service._supervisor._workers]
            os.kill(stopped, signal.SIGSTOP)
            place.write(OPEN.format(name="second"))
            async with asyncio.timeout(20):
                while service._supervisor._candidate is None:  # noqa: ASYNC110 - the watcher finds it
                    await asyncio.sleep(0.02)
            assert (await admin(service, "/readyz")).json()["policy"]["revision"] == before
            os.kill(stopped, signal.SIGCONT)
            await place.logged("policy_loaded", 2)
            assert (await admin(service, "/readyz")).json()["policy"]["revision"] != before

    asyncio.run(main())


def test_workers_get_keys_that_one_process_fetches(place):
    """And those that replace them."""

    async def main(issuer):
        async with place.service(workers=2) as service:
            await place.logged("key_set_fetched")
            for _ in range(6):
                reply = await check(service, "/guarded", authorization=f"Bearer {mint(issuer)}")
                assert reply.status.code == 0
            assert (await admin(service, "/readyz")).json()["key_sets"]["corp"]["state"] == "current"

    with DevelopmentIssuer() as issuer:
        place.write(GUARDED.format(issuer=issuer.url))
        asyncio.run(main(issuer))


def test_without_any_worker_it_is_not_ready(place):
    """Nobody answers until one is replaced."""

    async def main():
        async with place.service(workers=2) as service:
            for worker in list(service._supervisor._workers):
                os.kill(worker.process.pid, signal.SIGKILL)
            await place.logged("worker_ended", 2)
            ready = await admin(service, "/readyz")
            assert (ready.status_code, ready.json()["degraded"]) == (503, ["workers"])
            async with asyncio.timeout(20):
                while service._supervisor.serving < 2:  # noqa: ASYNC110 - processes begin
                    await asyncio.sleep(0.02)
            assert (await check(service, "/first")).status.code == 0
            assert (await admin(service, "/readyz")).json()["degraded"] == []

    asyncio.run(main())


def test_unsound_keys_are_refused():
    """All of them at once, with their places."""
    sound = make_provider()
    refuse_unsound_providers(make_policy_set(providers=(sound,)))
    mixed = make_provider(name="mixed", algorithms=("HS256", "RS256"))
    empty = make_provider(name="empty", keys=StaticKeys({"keys": []}, "inline"))
    with pytest.raises(ConfigurationError) as caught:
        refuse_unsound_providers(make_policy_set(providers=(sound, mixed, empty)))
    lines = str(caught.value).splitlines()
    assert {line.split(": ")[1] for line in lines} == {"provider mixed", "provider empty"}
    assert lines[0].startswith("test.yaml:1:1: ")


@pytest.mark.parametrize(
    ("phase", "usable", "state"),
    [
        (Phase.FRESH, True, KeySetState.CURRENT),
        (Phase.REFRESHING, True, KeySetState.CURRENT),
        (Phase.STALE, True, KeySetState.STALE),
        (Phase.COOLING, True, KeySetState.STALE),
        (Phase.REFRESHING, False, KeySetState.MISSING),
        (Phase.COOLING, False, KeySetState.MISSING),
        (Phase.MISSING, False, KeySetState.MISSING),
    ],
)
def test_what_a_key_set_is_for_requests(phase, usable, state):
    """Whether its tokens can be verified comes first."""
    assert key_set_state(phase, usable=usable) is state


def test_replaced_policies_leave_memory_though_they_are_frozen(place):
    """Sets hold no cycles: the number of frozen objects does not grow by a set at each load."""

    async def main():
        async with place.service() as service:
            counts = []
            for loads in range(2, 6):
                service.reload()
                await place.logged("policy_loaded", loads)
                counts.append(gc.get_freeze_count())
            return counts

    routes = "".join(f"  - {{name: r{number}, path: /r{number}, public: true}}\n" for number in range(1000))
    place.write("version: 1\nname: many\nroutes:\n" + routes)
    counts = asyncio.run(main())
    assert counts[-1] - counts[0] < 1000, "less than an object for each route of one set"
