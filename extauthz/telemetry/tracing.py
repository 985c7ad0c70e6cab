"""Traces: one span a decision, in the trace of the request that it decides (OpenTelemetry; the extra `otel`).

Where spans go, how many are kept and what the service is called is configured as OpenTelemetry specifies it, by
`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_TRACES_SAMPLER`, `OTEL_SERVICE_NAME` and the like. INVARIANT: a span holds what a
line of the decision log holds, and never the subject; that a collector cannot be reached delays and fails nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from extauthz.check.answer import Answer
from extauthz.check.response import status_of
from extauthz.errors import ConfigurationError
from extauthz.telemetry.otlp import Signal, check_environment, service_resource

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

SPAN_NAME: Final = "extauthz.decide"
FLUSH_SECONDS: Final = 2.0
"""How long the end waits for the last spans to be sent."""
_NANOSECONDS: Final = 1e9
_COULD_NOT_DECIDE: Final = 503


class Carrier(Protocol):
    """What a trace's context is read from: a call with its metadata."""

    def metadata(self, name: str) -> str | None:
        """The value of this lower-case name; None when there is none."""


class DecisionTracer:
    """Makes spans. Imports OpenTelemetry when it is made: without traces nothing of it is loaded."""

    def __init__(self, provider: TracerProvider, *, clock: Callable[[], float]) -> None:
        """Trace from now on.

        Args:
            provider: where spans go; closed by `close`.
            clock: seconds since the epoch.
        """
        from opentelemetry.trace import SpanKind, Status, StatusCode  # noqa: PLC0415
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator  # noqa: PLC0415

        self._provider = provider
        self._tracer = provider.get_tracer("extauthz")
        self._clock = clock
        self._extract = TraceContextTextMapPropagator().extract
        self._kind = SpanKind.SERVER
        self._failed = Status(StatusCode.ERROR)

    def record(self, answer: Answer, seconds: float, call: Carrier) -> None:
        """Make the span of an answer that was just sent and took that long, in the trace that its call belongs to."""
        ended = self._clock()
        decision = answer.decision
        status = status_of(decision)
        span = self._tracer.start_span(
            SPAN_NAME,
            context=self._extract(_context_of(answer, call)),
            kind=self._kind,
            start_time=int((ended - seconds) * _NANOSECONDS),
            attributes={
                "extauthz.decision_id": answer.decision_id,
                "extauthz.effect": str(decision.effect),
                "extauthz.reason": str(decision.reason),
                "extauthz.status": status,
                "extauthz.route": decision.route or "",
                "extauthz.policies": decision.policies,
                "extauthz.errors": decision.errors,
                "extauthz.revision": answer.revision,
            },
        )
        if status == _COULD_NOT_DECIDE:  # a denial is an answer like another
            span.set_status(self._failed)
        span.end(int(ended * _NANOSECONDS))

    def close(self) -> None:
        """Send what is left, as far as it is taken in time."""
        # In a thread: it waits for a collector that is gone much longer than anybody wants to wait for the end.
        closing = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        closing.start()
        closing.join(FLUSH_SECONDS)


def _context_of(answer: Answer, call: Carrier) -> dict[str, str]:
    """The W3C trace context: of the call, whose parent is the proxy's own span; or that which the client sent.

    A proxy that does not trace passes the client's on, to us in the request and to the upstream likewise.
    """
    parent = call.metadata("traceparent")
    if parent is not None:
        return {"traceparent": parent, "tracestate": call.metadata("tracestate") or ""}
    if answer.request is None:
        return {}
    return {name: ",".join(answer.request.header_values(name)) for name in ("traceparent", "tracestate")}


def open_tracer(
    *, clock: Callable[[], float], on_trouble: Callable[[str], None], exporter: SpanExporter | None = None
) -> DecisionTracer:
    """A tracer that sends spans by OTLP over HTTP, as the `OTEL_*` variables say.

    Args:
        on_trouble: told, in a thread, of each kind of trouble once, however often it happens.
        clock: seconds since the epoch.
        exporter: takes the spans instead.

    Raises:
        ConfigurationError: the extra is not installed, or a variable is wrong.
    """
    try:
        from opentelemetry.exporter.otlp.json.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
    except ImportError:
        raise ConfigurationError(
            "traces: otlp needs the extra: install it, as in pip install 'extauthz[otel]', or set traces: off"
        ) from None
    check_environment(Signal.TRACES)
    _report_to(on_trouble)
    try:
        provider = TracerProvider(resource=service_resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    except ValueError as error:
        raise ConfigurationError(f"traces: the OTEL_* variables are wrong: {error}") from None
    return DecisionTracer(provider, clock=clock)


class WarningLogger(Protocol):
    """As much of a logger as is needed here."""

    def warning(self, event: str, **values: str) -> object: ...


def report_trouble(logger: WarningLogger, problem: str) -> None:
    """What `on_trouble` is told, in our log."""
    logger.warning("traces_troubled", problem=problem, note="the same trouble is not logged again")


class _Reporter(logging.Handler):
    """Passes on what OpenTelemetry says in Python's own log, which nobody reads: each kind once."""

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_trouble = on_trouble
        self._seen: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        kind = str(record.msg)
        if kind not in self._seen:
            self._seen.add(kind)
            self._on_trouble(record.getMessage())


def _report_to(on_trouble: Callable[[str], None]) -> None:
    theirs = logging.getLogger("opentelemetry")
    theirs.handlers = [_Reporter(on_trouble)]
    theirs.propagate = False
