import asyncio
import json

import pytest

from extauthz.check.answer import Answer
from extauthz.model.decision import Decision, Effect, HeaderChanges, PolicyId, Reason
from extauthz.telemetry.decision_log import EVERY_ANSWER, DecisionLog, Sampling, SubjectForm

ALLOWED = Decision(
    Effect.ALLOW,
    (PolicyId("order.allow.owner"),),
    (PolicyId("order.allow.staff"),),
    Reason.ALLOWED,
    "order",
    HeaderChanges(set=(("x-user", "alice@shop.example"),)),
    provider="corp",
    subject="alice@shop.example",
)


def answer(decision=ALLOWED, decision_id="0123456789abcdef0123"):
    return Answer(b"reply", decision, None, decision_id)


class Memory:
    """A sink that keeps what it is given."""

    def __init__(self):
        self.data = b""
        self.writes = 0
        self.is_closed = False

    def write(self, data):
        self.data += data
        self.writes += 1

    def close(self):
        self.is_closed = True

    def lines(self):
        return [json.loads(line) for line in self.data.splitlines()]


def make_log(sink, *, subject=SubjectForm.OFF, key=b"", at=1_800_000_000.25, on_failure=None, sampling=EVERY_ANSWER):
    def fail(error):
        raise error

    return DecisionLog(
        sink, subject=subject, key=key, clock=lambda: at, on_failure=on_failure or fail, sampling=sampling
    )


def run(log, *answers, seconds=0.001234):
    """Record, and end the log as the service does."""

    async def main():
        task = asyncio.ensure_future(log.run())
        await asyncio.sleep(0)
        for each in answers:
            log.record(each, "abc123", seconds)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_line_says_what_was_decided_and_nothing_of_the_request():
    """The whole schema, version 1."""
    sink = Memory()
    run(make_log(sink), answer())
    assert sink.lines() == [
        {
            "version": 1,
            "time": "2027-01-15T08:00:00.250Z",
            "decision_id": "0123456789abcdef0123",
            "effect": "allow",
            "reason": "allowed",
            "status": 200,
            "route": "order",
            "policies": ["order.allow.owner"],
            "errors": ["order.allow.staff"],
            "revision": "abc123",
            "provider": "corp",
            "sample_rate": 1.0,
            "subject": None,
            "duration_us": 1234,
        }
    ]
    assert b"alice" not in sink.data
    assert sink.is_closed


def test_a_denial_without_a_route_has_nulls():
    """The keys are always there."""
    sink = Memory()
    run(make_log(sink), answer(Decision(Effect.DENY, (), (), Reason.NO_ROUTE)))
    (line,) = sink.lines()
    assert (line["route"], line["policies"], line["provider"], line["status"]) == (None, [], None, 403)


@pytest.mark.parametrize("subject", ["alice", 'a"b\\c', "a\nb", "ünïcode", "\ud800", "\u2028"])
def test_a_plain_subject_stays_on_its_line(subject):
    """Whatever it holds."""
    sink = Memory()
    decision = Decision(Effect.DENY, (), (), Reason.NO_ROUTE, provider="corp", subject=subject)
    run(make_log(sink, subject=SubjectForm.PLAIN), answer(decision))
    assert sink.data.count(b"\n") == 1
    assert sink.lines()[0]["subject"] == subject


def pseudonym(key, provider, subject):
    sink = Memory()
    decision = Decision(Effect.DENY, (), (), Reason.NO_ROUTE, provider=provider, subject=subject)
    run(make_log(sink, subject=SubjectForm.HMAC, key=key), answer(decision))
    return sink.lines()[0]["subject"]


def test_a_pseudonym_is_the_same_for_the_same_caller_alone():
    """A caller is a provider and a subject; under another key it is somebody else."""
    first = pseudonym(b"k" * 16, "corp", "alice")
    assert first == pseudonym(b"k" * 16, "corp", "alice")
    others = [
        pseudonym(b"k" * 16, "partner", "alice"),
        pseudonym(b"k" * 16, "corp", "bob"),
        pseudonym(b"l" * 16, "corp", "alice"),
    ]
    assert len({first, *others}) == 4
    assert len(first) == 64


def test_nobody_has_no_pseudonym():
    """An anonymous caller."""
    assert pseudonym(b"k" * 16, None, None) is None


def test_sampling_is_by_effect_counted_and_told_in_the_line():
    """Allows at a rate, every denial; what is left out is not lost, and readers can scale up."""
    sink = Memory()
    log = make_log(sink, sampling=Sampling(allow=0.25, deny=1))
    denial = Decision(Effect.DENY, (), (), Reason.NO_ROUTE)
    run(log, *[answer() for _ in range(2000)], *[answer(denial) for _ in range(20)])
    kept = [line["sample_rate"] for line in sink.lines() if line["effect"] == "allow"]
    # Binomial with 2000 and 0.25: within six standard deviations (19.4), so that chance does not fail the test.
    assert 384 < len(kept) < 616
    assert set(kept) == {0.25}
    assert [line["sample_rate"] for line in sink.lines() if line["effect"] == "deny"] == [1] * 20
    assert (log.left_out, log.dropped) == (2000 - len(kept), 0)


def test_a_rate_of_nothing_logs_nothing():
    """Not even by chance."""
    sink = Memory()
    log = make_log(sink, sampling=Sampling(allow=0, deny=0))
    run(log, *[answer() for _ in range(500)])
    assert (sink.data, log.left_out) == (b"", 500)
