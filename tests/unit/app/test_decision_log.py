import asyncio
import json
import socket
from pathlib import Path

import pytest

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import UnixAddress
from tests.harness.collector import Collector
from tests.harness.service import admin, check


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
def test_decisions_are_sent_to_a_collector(place, monkeypatch, workers):
    """Whichever process answers; the last ones at the end."""

    async def main():
        async with place.service(decision_log="otlp", workers=workers) as service:
            replies = [await check(service, path) for path in ("/first?secret=1", "/other")]
            return {reply.dynamic_metadata["decision_id"] for reply in replies}

    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        decision_ids = asyncio.run(main())
    records = collector.records()
    attributes = [{each["key"]: each["value"] for each in record["attributes"]} for record in records]
    assert {each["extauthz.decision_id"]["stringValue"] for each in attributes} == decision_ids
    assert sorted(each["body"]["stringValue"] for each in records) == ["allow allowed", "deny credential_missing"]
    assert "secret" not in str(collector.received)


@pytest.mark.parametrize("workers", [1, 2])
def test_decisions_go_on_without_a_collector(place, monkeypatch, workers):
    """What is lost is counted, the log says so once, and the end does not wait."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")

    async def main():
        async with place.service(decision_log="otlp", workers=workers) as service:
            assert (await check(service, "/first")).status.code == 0
            await place.logged("decision_log_failed")
            assert "extauthz_decision_log_dropped_total 1.0" in (await admin(service, "/metrics")).text
            assert (await check(service, "/first")).status.code == 0

    asyncio.run(main())
    assert place.events().count("decision_log_failed") == 1


def test_a_collector_that_cannot_be_meant_is_told_at_the_start(place, monkeypatch):
    """And nothing listens."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318")

    async def main():
        async with place.service(decision_log="otlp"):
            pytest.fail("served")

    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_ENDPOINT is no address"):
        asyncio.run(main())
