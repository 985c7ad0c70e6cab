import builtins
import json
import os
import socket
import threading
import time

import pytest

from extauthz.errors import ConfigurationError
from extauthz.telemetry.otlp_sink import EVENT_NAME, OtlpSink
from tests.harness.collector import Collector

LINE = {
    "version": 1,
    "time": "2026-11-24T23:30:00.125Z",
    "decision_id": "0123456789abcdef",
    "effect": "deny",
    "reason": "no_matching_allow",
    "status": 403,
    "route": None,
    "policies": ["orders.allow[0]", "orders.deny[1]"],
    "errors": [],
    "revision": "abcdef",
    "provider": "corp",
    "sample_rate": 0.5,
    "subject": 'al"ice\u00e9',
    "duration_us": 48,
}


def lines(*changes):
    return b"".join(json.dumps({**LINE, **change}).encode() + b"\n" for change in changes)


@pytest.fixture(autouse=True)
def collector(monkeypatch):
    """The sink sends to it; nothing of the environment that tests run in counts."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
        yield collector


@pytest.fixture
def sink(collector):
    sink = OtlpSink()
    yield sink
    sink.close()


def plain(value):
    """A value of opentelemetry-proto's JSON as Python's."""
    ((kind, content),) = value.items()
    match kind:
        case "arrayValue":
            return [plain(each) for each in content["values"]]
        case "intValue":
            return int(content)
        case _:
            return content


def test_a_record_holds_what_the_line_holds(collector, sink):
    """Member for member; what is null is left out."""
    sink.write(lines({}))
    (record,) = collector.records()
    attributes = {each["key"]: plain(each["value"]) for each in record["attributes"]}
    assert attributes == {f"extauthz.{name}": value for name, value in LINE.items() if name != "route"}
    assert record["eventName"] == EVENT_NAME
    assert record["timeUnixNano"] == record["observedTimeUnixNano"] == "1795563000125000000"
    assert record["body"] == {"stringValue": "deny no_matching_allow"}


def test_only_what_could_not_be_decided_is_an_error(collector, sink):
    """A denial is an answer like another."""
    sink.write(lines({"status": 200}, {"status": 403}, {"status": 503}))
    assert [each["severityText"] for each in collector.records()] == ["INFO", "INFO", "ERROR"]
    assert [each["severityNumber"] for each in collector.records()] == [9, 9, 17]


def test_lines_of_one_write_are_sent_together(collector, sink):
    """Under the name of the service."""
    sink.write(lines(*[{"duration_us": number} for number in range(3000)]))
    ((_, _, body),) = collector.received
    assert len(collector.records()) == 3000
    (resource,) = body["resourceLogs"]
    assert {"key": "service.name", "value": {"stringValue": "extauthz"}} in resource["resource"]["attributes"]
    assert resource["scopeLogs"][0]["scope"]["name"] == "extauthz"


@pytest.mark.parametrize("status", [302, 400, 404, 413, 500])
def test_what_is_not_taken_is_raised(collector, sink, status):
    """With what the collector says; and the next write may succeed."""
    collector.statuses.append(status)
    with pytest.raises(OSError, match=f"the collector did not take it: {status}"):
        sink.write(lines({}))
    sink.write(lines({}))
    assert len(collector.records()) == 1


def test_a_collector_that_is_busy_is_asked_again(collector, sink):
    """As the protocol says of 429, 502, 503 and 504."""
    collector.statuses.append(503)
    sink.write(lines({}))
    assert len(collector.records()) == 1


def test_a_collector_that_is_not_there_is_raised(monkeypatch, caplog):
    """And nothing is written to standard error behind our back."""
    with socket.create_server(("127.0.0.1", 0)) as chosen:
        port = chosen.getsockname()[1]
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.5")
    sink = OtlpSink()
    with pytest.raises(OSError, match=r"the collector did not take it: .*refused"):
        sink.write(lines({}))
    sink.close()
    assert not caplog.records


def test_closing_ends_the_attempts(monkeypatch, collector):
    """Nobody waits for a collector at the end of the service."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "60")
    collector.statuses += [503] * 100
    sink = OtlpSink()
    failures = []

    def write():
        try:
            sink.write(lines({}))
        except OSError as error:
            failures.append(error)

    writing = threading.Thread(target=write)
    writing.start()
    deadline = time.monotonic() + 20
    while len(collector.statuses) == 100 and time.monotonic() < deadline:
        time.sleep(0.01)
    sink.close()
    writing.join(20)
    assert not writing.is_alive()
    assert len(failures) == 1


def test_wrong_variables_are_told_at_the_start(monkeypatch):
    """Before anything is decided."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "nonsense")
    with pytest.raises(ConfigurationError, match="OTEL_EXPORTER_OTLP_LOGS_ENDPOINT is no address"):
        OtlpSink()


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    """In one line."""
    real = builtins.__import__

    def refuse(name, *rest):
        if name.startswith("opentelemetry.exporter"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigurationError, match=r"pip install 'extauthz\[otel\]'"):
        OtlpSink()
