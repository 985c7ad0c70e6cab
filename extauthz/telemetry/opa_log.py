"""The decision log as OPA writes it to the console: a JSON line an answer, whole inputs included.

Unlike our own log it is not redacted, since that is what its readers know; `data.system.log.mask` and `drop` say what
to leave out. Lines are made and written away from the hot path, within moments; what does not fit the queue, or cannot
be written, is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, NamedTuple, Protocol

from extauthz.check.opa_envoy import OpaAnswer, OpaError
from extauthz.languages.rego.value import Value
from extauthz.telemetry.line_log import LineLog
from extauthz.telemetry.sink import Sink
from extauthz.telemetry.timestamp import rfc3339

CAPACITY: Final = 8_192
"""Records that may wait; each holds an input."""
PORTION: Final = 16
"""Lines made in one go, which takes a fraction of a millisecond."""
INTERVAL_SECONDS: Final = 0.05
"""The incumbent writes a line before it answers; who reads the log to see what became of a request finds it there."""


@dataclass(frozen=True, slots=True)
class OpaLogForm:
    """What all lines of a service say."""

    labels: Mapping[str, str]
    path: str
    """Of the decision, as configured; empty where a query is."""
    query: str


class Masking(Protocol):
    """Leaves out of events what the policy says; those of one policy."""

    def __call__(self, event: dict[str, Value]) -> dict[str, Value] | None:
        """The event as it may be written; None when it may not."""


class OpaRecord(NamedTuple):
    """One answer, until its line is made."""

    at_ns: int
    answer: OpaAnswer
    bundles: Mapping[str, str]
    masking: Masking | None
    seconds: float


class OpaDecisionLog:
    """Takes answers, writes lines. `record` and `run` belong to one event loop."""

    def __init__(
        self,
        sink: Sink,
        form: OpaLogForm,
        *,
        clock_ns: Callable[[], int],
        on_failure: Callable[[OSError], None],
        on_unmasked: Callable[[Exception], object],
    ) -> None:
        """Take answers from now on.

        Args:
            sink: where the lines go; closed by `run`.
            form: what they all say.
            clock_ns: nanoseconds since the epoch.
            on_failure: told, in a thread, when writing fails, and not again until it succeeded in between.
            on_unmasked: told why an event could not be masked, and so is not written; and not again until one could.
        """
        self._lines: LineLog[OpaRecord] = LineLog(
            sink,
            self._line,
            name="decision-log",
            on_failure=on_failure,
            capacity=CAPACITY,
            portion=PORTION,
            interval_seconds=INTERVAL_SECONDS,
        )
        self._form = form
        self._clock_ns = clock_ns
        self._on_unmasked = on_unmasked
        self._unmasked = 0
        self._is_unmasked = False
        self.left_out = 0
        """Answers that the policy wanted to be left out."""

    @property
    def dropped(self) -> int:
        """Records lost since the start: they did not fit, could not be masked, or could not be written."""
        return self._lines.dropped + self._unmasked

    def record(self, answer: OpaAnswer, bundles: Mapping[str, str], masking: Masking | None, seconds: float) -> None:
        """Queue one answer. The hot path."""
        self._lines.put(OpaRecord(self._clock_ns(), answer, bundles, masking, seconds))

    async def run(self) -> None:
        """Write lines until cancelled; then write what is left, as far as the sink takes it in time."""
        await self._lines.run()

    def _line(self, record: OpaRecord) -> str:
        event = event_of(record, self._form)
        if record.masking is None:
            return event_line(event)
        try:
            masked = record.masking(event)
        except Exception as error:  # noqa: BLE001 - whatever it is: what may be secret is not written
            self._unmasked += 1
            if not self._is_unmasked:
                self._on_unmasked(error)
            self._is_unmasked = True
            return ""
        self._is_unmasked = False
        if masked is None:
            self.left_out += 1
            return ""
        return event_line(masked)


def event_of(record: OpaRecord, form: OpaLogForm) -> dict[str, Value]:
    """The event, as masks see it."""
    answer = record.answer
    event: dict[str, Value] = {"labels": dict(form.labels), "decision_id": answer.decision_id}
    if record.bundles:
        event["bundles"] = {name: {"revision": revision} for name, revision in record.bundles.items()}
    event |= {"query": form.query} if form.query else {"path": form.path}
    event["input"] = answer.input
    if answer.error is None:
        event["result"] = answer.result
    else:
        event["error"] = _error(answer.error)
    seconds, nanoseconds = divmod(record.at_ns, 10**9)
    event["timestamp"] = f"{rfc3339(seconds)[:-5]}.{nanoseconds:09}Z"
    event["metrics"] = {
        "timer_rego_query_eval_ns": int(answer.evaluation_seconds * 1e9),
        "timer_server_handler_ns": int(record.seconds * 1e9),
    }
    return event


def _error(error: OpaError) -> dict[str, Value]:
    document: dict[str, Value] = {"message": error.message}
    if error.code is not None:
        document["code"] = error.code
    if error.place is not None:
        file, _, row = error.place.rpartition(":")
        document["location"] = {"file": file, "row": int(row), "col": 1}
    return document


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def event_line(event: dict[str, Value]) -> str:
    """The event as OPA's console logger writes it."""
    line = {
        **event,
        "level": "info",
        "msg": "Decision Log",
        "time": event["timestamp"],
        "type": "openpolicyagent.org/decision_logs",
    }
    text = json.dumps(line, ensure_ascii=False, separators=(",", ":"), default=_number)
    return _LONE_SURROGATE.sub("\ufffd", text) + "\n"


def _number(value: Any) -> Any:
    """What JSON's writer does not know: a decimal that is no double."""
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)
