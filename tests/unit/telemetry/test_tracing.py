import logging
import os
import subprocess
import sys
import threading
import time

import pytest
from envoy.service.auth.v3 import external_auth_pb2
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answerer
from extauthz.errors import ConfigurationError
from extauthz.model.decision import Reason
from extauthz.telemetry import tracing
from extauthz.telemetry.tracing import open_tracer
from tests.harness.asgi_call import check_message
from tests.harness.collector import Collector
from tests.strategies import make_policy_set, make_route

NOW = 1_800_000_000.0
PROXY = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CLIENT = "00-11111111111111111111111111111111-2222222222222222-01"


class Call:
    def __init__(self, **metadata):
        self._metadata = metadata

    def metadata(self, name):
        return self._metadata.get(name)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Tests do not depend on the environment they run in, nor leave anything behind in Python's own log."""
    for name in list(os.environ):
        if name.startswith("OTEL_"):
            monkeypatch.delenv(name)
    theirs = logging.getLogger("opentelemetry")
    handlers, propagate = theirs.handlers, theirs.propagate
    yield
    theirs.handlers, theirs.propagate = handlers, propagate


class Tracing:
    """A tracer, its troubles, and what it exported."""

    def __init__(self):
        self.troubles: list[str] = []
        self.exporter = InMemorySpanExporter()
        self.answerer = Answerer(build_snapshot(make_policy_set(make_route("/open")), KeySets(), VerifiedTokens()))

    def open(self, exporter=None):
        return open_tracer(clock=lambda: NOW, on_trouble=self.troubles.append, exporter=exporter)

    def spans(self, *answers, call=None):
        tracer = self.open(self.exporter)
        for answer in answers:
            tracer.record(answer, 0.25, call or Call())
        tracer.close()
        return self.exporter.get_finished_spans()

    def answer(self, path="/open", **headers):
        message = external_auth_pb2.CheckRequest.FromString(check_message(path))
        message.attributes.request.http.headers.update(headers)
        return self.answerer.answer(message.SerializeToString(), NOW)


@pytest.fixture
def traced():
    return Tracing()


def test_a_span_says_what_was_decided_and_nothing_of_the_request(traced):
    """When it began and ended, too."""
    answer = traced.answer("/open?secret=1", cookie="secret=1")
    (span,) = traced.spans(answer)
    assert (span.name, span.kind) == ("extauthz.decide", SpanKind.SERVER)
    # To the microsecond: a float holds no more of the time of day.
    assert (span.start_time // 1000, span.end_time // 1000) == (1_799_999_999_750_000, 1_800_000_000_000_000)
    assert dict(span.attributes) == {
        "extauthz.decision_id": answer.decision_id,
        "extauthz.effect": "allow",
        "extauthz.reason": "allowed",
        "extauthz.status": 200,
        "extauthz.route": "/open",
        "extauthz.policies": ("route.allow.rule",),
        "extauthz.errors": (),
        "extauthz.revision": "000000000000",
    }
    assert span.resource.attributes["service.name"] == "extauthz"
    assert "secret" not in span.to_json()


def test_the_trace_of_the_proxy_is_continued(traced):
    """Its span is the parent, whatever the client sent; its state is kept."""
    call = Call(traceparent=PROXY, tracestate="vendor=1")
    (span,) = traced.spans(traced.answer(traceparent=CLIENT), call=call)
    assert f"{span.context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert span.context.trace_state.get("vendor") == "1"


def test_the_trace_of_the_client_is_continued_by_a_proxy_that_does_not_trace(traced):
    """As its upstream will do."""
    (span,) = traced.spans(traced.answer(traceparent=CLIENT))
    assert f"{span.context.trace_id:032x}" == "1" * 32


@pytest.mark.parametrize("parent", ["", "garbage", "00-" + "0" * 32 + "-2222222222222222-01", "é"])
def test_a_parent_that_is_none_begins_a_trace(traced, parent):
    """It fails nothing."""
    (span,) = traced.spans(traced.answer(), call=Call(traceparent=parent))
    assert span.parent is None


def test_a_trace_that_is_not_sampled_costs_no_span(traced):
    """Whoever began it has decided."""
    assert traced.spans(traced.answer(), call=Call(traceparent=PROXY[:-2] + "00")) == ()


def test_only_could_not_decide_is_a_failure(traced):
    """A denial is an answer; without a request there is still a span."""
    denied, undecided = traced.answer("/other"), traced.answerer.refuse(Reason.OVERLOADED)
    spans = {span.attributes["extauthz.reason"]: span.status.status_code for span in traced.spans(denied, undecided)}
    assert spans == {"credential_missing": StatusCode.UNSET, "overloaded": StatusCode.ERROR}


def test_the_standard_variables_are_heeded(traced, monkeypatch):
    """Name and sampling."""
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge-authz")
    (span,) = traced.spans(traced.answer())
    assert span.resource.attributes["service.name"] == "edge-authz"
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    traced.exporter = InMemorySpanExporter()
    assert traced.spans(traced.answer()) == ()


def test_spans_arrive_at_a_collector(traced, monkeypatch):
    """By OTLP over HTTP, in JSON; the last ones when the service ends."""
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        tracer = traced.open()
        tracer.record(traced.answer(), 0.001, Call(traceparent=PROXY))
        tracer.close()
    (span,) = collector.spans()
    assert (span["name"], span["traceId"]) == ("extauthz.decide", "0af7651916cd43dd8448eb211c80319c")
    assert traced.troubles == []


def test_a_collector_that_is_gone_delays_nothing_and_is_told_of_once(traced, monkeypatch):
    """Each kind of trouble."""
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.5)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0.2")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    tracer = traced.open()
    deadline = time.monotonic() + 20
    while not traced.troubles:
        tracer.record(traced.answer(), 0.001, Call())
        assert time.monotonic() < deadline
        time.sleep(0.01)
    started = time.monotonic()
    tracer.close()
    assert time.monotonic() - started < 5
    assert 0 < len(traced.troubles) == len(set(traced.troubles)) < 6


class Stuck(SpanExporter):
    """Takes its time, as one does whose collector does not answer."""

    def __init__(self):
        self.released = threading.Event()

    def export(self, spans):
        self.released.wait(20)
        return SpanExportResult.SUCCESS


def test_a_collector_that_does_not_answer_holds_up_no_end(traced, monkeypatch):
    """The last spans are lost then."""
    monkeypatch.setattr(tracing, "FLUSH_SECONDS", 0.05)
    stuck = Stuck()
    tracer = traced.open(stuck)
    tracer.record(traced.answer(), 0.001, Call())
    tracer.close()
    stuck.released.set()


def test_without_the_extra_it_is_said_how_to_get_it(traced, monkeypatch):
    """One line."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'extauthz\[otel\]'"):
        traced.open()


def test_a_wrong_variable_is_told_at_the_start(traced, monkeypatch):
    """Not when the first span is to be sent."""
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-1")
    with pytest.raises(ConfigurationError, match="OTEL_"):
        traced.open()


def test_without_traces_nothing_of_opentelemetrys_sdk_is_loaded():
    """It costs a start a quarter of a second, and memory."""
    code = "import sys, extauthz.app; sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
