import asyncio
import json
from decimal import Decimal
from typing import Any

from extauthz.check.opa_envoy import CallFailure, OpaAnswer, OpaError
from extauthz.telemetry.opa_log import OpaDecisionLog, OpaLogForm

FORM = OpaLogForm({"id": "1", "version": "0"}, "envoy/authz/allow", "")
AT = 1_795_521_600_000_000_007


class MemorySink:
    """Keeps what is written."""

    def __init__(self):
        self.text = ""
        self.closed = False

    def write(self, data):
        self.text += data.decode()

    def close(self):
        self.closed = True

    @property
    def events(self):
        return [json.loads(line) for line in self.text.splitlines()]


def answer(**fields):
    given: dict[str, Any] = {
        "decision_id": "d1",
        "reply": b"",
        "allowed": True,
        "error": None,
        "result": True,
        "input": {"a": 1},
    }
    return OpaAnswer(**(given | fields))


def log(*records, form=FORM, troubles=None):
    """The events that records of (answer, bundles, masking) make."""
    sink = MemorySink()

    async def scenario():
        told = [] if troubles is None else troubles
        writing = OpaDecisionLog(sink, form, clock_ns=lambda: AT, on_failure=told.append, on_unmasked=told.append)
        task = asyncio.ensure_future(writing.run())
        await asyncio.sleep(0)  # it has begun
        for each, bundles, masking in records:
            writing.record(each, bundles, masking, 0.002)
        task.cancel()
        await asyncio.wait([task])
        return writing

    return sink, asyncio.run(scenario())


def test_a_decision():
    """As OPA's console logger writes it."""
    sink, writing = log((answer(evaluation_seconds=0.001), {"authz": "r1"}, None))
    assert sink.events == [
        {
            "labels": {"id": "1", "version": "0"},
            "decision_id": "d1",
            "bundles": {"authz": {"revision": "r1"}},
            "path": "envoy/authz/allow",
            "input": {"a": 1},
            "result": True,
            "timestamp": "2026-11-24T12:00:00.000000007Z",
            "metrics": {"timer_rego_query_eval_ns": 1_000_000, "timer_server_handler_ns": 2_000_000},
            "level": "info",
            "msg": "Decision Log",
            "time": "2026-11-24T12:00:00.000000007Z",
            "type": "openpolicyagent.org/decision_logs",
        }
    ]
    assert sink.closed
    assert (writing.dropped, writing.left_out) == (0, 0)


def test_errors():
    """In the place of a result; OPA's own with code and place."""
    plain = answer(reply=CallFailure(2, "x"), error=OpaError("k", "undefined decision"), result=None, input=None)
    coded = answer(error=OpaError("k", "two values", "eval_conflict_error", "a/p.rego:7"))
    sink, _ = log((plain, {}, None), (coded, {}, None))
    assert sink.events[0]["error"] == {"message": "undefined decision"}
    assert sink.events[0]["input"] is None
    assert "result" not in sink.events[0]
    assert sink.events[1]["error"] == {
        "message": "two values",
        "code": "eval_conflict_error",
        "location": {"file": "a/p.rego", "row": 7, "col": 1},
    }


def test_queries_and_odd_values():
    """A query is named as such; what JSON or UTF-8 cannot hold is written all the same."""
    odd = answer(input={"s": "\udcff<", "n": Decimal("1e400"), "i": 10**30})
    sink, _ = log((odd, {}, None), form=OpaLogForm({}, "", "data.a"))
    (event,) = sink.events
    assert (event["query"], "path" in event) == ("data.a", False)
    assert event["input"] == {"s": "\ufffd<", "n": "1E+400", "i": 10**30}


def test_masks():
    """What a policy leaves out is not written, and what cannot be masked neither; that is told once."""

    def erase(event):
        return {**event, "input": None, "erased": ["/input"]}

    def drop(_):
        return None

    def fail(_):
        raise ValueError("broken")

    troubles: list[Exception] = []
    records: list[Any] = [(answer(), {}, masking) for masking in (erase, drop, fail, fail, erase, fail)]
    sink, writing = log(*records, troubles=troubles)
    assert [event["erased"] for event in sink.events] == [["/input"]] * 2
    assert (writing.dropped, writing.left_out) == (3, 1)
    assert list(map(str, troubles)) == ["broken", "broken"]
