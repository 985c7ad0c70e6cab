import asyncio
import gc
import json
import os
import signal
import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2

from extauthz.errors import ConfigurationError, EnvironmentUnfitError, PolicyError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.server.check_method import CHECK_PATH
from extauthz.settings import EngineSettings, OpaSettings
from extauthz.sources.circuit import FAILURES_TO_OPEN
from tests.harness.asgi_call import check_message
from tests.harness.collector import Collector
from tests.harness.scripted_http import ScriptedServer, replies
from tests.harness.service import ANY_PORT, OPEN, admin, check, health, health_watch


def test_off_loopback_only_probes_and_metrics_are_served(place):
    """To whatever name asks."""

    async def main():
        async with place.service(admin=TcpAddress("0.0.0.0", 0), admin_api=False) as service:
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


def test_draining_reports_not_ready_and_still_answers(place):
    """Load balancers see it before the listener closes."""

    async def main():
        async with place.service() as service:
            service.report_not_ready()
            assert await health(service) == health_pb2.HealthCheckResponse.NOT_SERVING
            assert (await admin(service, "/readyz")).status_code == 503
            assert (await check(service, "/first")).status.code == 0

    asyncio.run(main())


@pytest.mark.parametrize("workers", [1, 2])
def test_watchers_of_the_health_learn_at_once_that_it_drains(place, workers):
    """From this process, or from the worker that they are connected to."""

    async def main():
        async with place.service(workers=workers) as service, health_watch(service) as told:
            assert await told() == health_pb2.HealthCheckResponse.SERVING
            service.report_not_ready()
            assert await told() == health_pb2.HealthCheckResponse.NOT_SERVING

    asyncio.run(main())


def test_what_the_block_raises_comes_out_as_it_is(place):
    """Not in a group with the service's own tasks."""

    async def main():
        async with place.service():
            raise LookupError("the block's")

    with pytest.raises(LookupError, match="the block's"):
        asyncio.run(main())


def test_a_part_that_fails_ends_the_service(place):
    """It does not go on with half of itself, and the log says what happened."""

    async def main():
        async with place.service() as service:
            service._watcher._wake = None  # a bug in a background task
            await asyncio.sleep(30)

    with pytest.raises(EnvironmentUnfitError, match="the log says where"):
        asyncio.run(main())
    (failed,) = [line for line in place.log.getvalue().splitlines() if "service_failed" in line]
    assert "AttributeError" in failed


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


@pytest.mark.parametrize("settings", [{}, {"transport": "grpcio"}, {"workers": 2}], ids=str)
def test_a_remote_engine_must_allow_too(place, settings):
    """Whoever answers; while it is gone, requests that the set allows are denied, and people can see why."""

    async def main():
        async with ScriptedServer(replies(200, b'{"result": true}')).serving() as server:
            engine = EngineSettings(opa=OpaSettings(url=f"http://127.0.0.1:{server.port}", path="shop/allow"))
            async with place.service(engine=engine, deadline_ms=5000, **settings) as service:
                allowed = await check(service, "/first")
                assert allowed.status.code == 0
                assert list(allowed.dynamic_metadata["policies"]) == ["open.public", "engine.opa"]
                server.answer = replies(200, b'{"result": false}')
                assert (await check(service, "/first")).dynamic_metadata["reason"] == "denied_by_engine"
                asked = len(server.asked)
                assert (await check(service, "/other")).status.code == 16
                assert len(server.asked) == asked
                server.answer = replies(503, b"down")
                for _ in range(FAILURES_TO_OPEN * settings.get("workers", 1)):
                    denied = await check(service, "/first")
                    assert (denied.status.code, denied.denied_response.status.code) == (7, 503)
                await place.logged("engine_trouble")
                async with asyncio.timeout(20):  # workers tell every second
                    while "engine" not in (await admin(service, "/readyz")).json()["degraded"]:  # noqa: ASYNC110 - other processes tell
                        await asyncio.sleep(0.05)
                metrics = (await admin(service, "/metrics")).text
                assert 'extauthz_engine_answers_total{reason="denied_by_engine"} 1.0' in metrics

    asyncio.run(main())


def test_an_engine_that_cannot_be_asked_is_refused_at_the_start(place):
    """Not at the first request."""
    engine = EngineSettings(opa=OpaSettings(url="http://opa.example:8181", path="shop/allow"))

    async def main():
        async with place.service(engine=engine):
            pytest.fail("served")

    with pytest.raises(ConfigurationError, match="allow_http"):
        asyncio.run(main())
