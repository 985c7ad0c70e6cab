import asyncio

import pytest
from envoy.service.auth.v3 import external_auth_pb2

from extauthz.authn.authenticator import NeedKeySet
from extauthz.check.answer import Answer
from extauthz.model.decision import Effect, Reason
from extauthz.server.admission import FULL_BATCH
from extauthz.server.asgi import GrpcApplication
from extauthz.server.check_method import CHECK_PATH, MAX_MESSAGE_BYTES, CheckLimits
from extauthz.server.streams import Streams
from tests.harness.asgi_call import GRPC, call_application, check_message, frame
from tests.harness.authn import make_provider

NEED = NeedKeySet(make_provider(), kid="k")


def call(bench, body=None, **request):
    async def main():
        return await call_application(bench.application(), frame(check_message()) if body is None else body, **request)

    return asyncio.run(main())


def test_a_check_is_answered_and_observed(bench):
    """With what was decided, by whom and in which time."""
    assert call(bench).response.WhichOneof("http_response") == "ok_response"
    ((answer, answerer, seconds),) = bench.observed
    assert answer.decision.effect is Effect.ALLOW
    assert answerer is bench.answerer
    assert 0 < seconds < 5
    assert bench.failures == []


@pytest.mark.parametrize("body", [frame(b"x", flag=1), b"", b"\0\0\0\0\x09x", frame(b"a") + frame(b"b")])
def test_broken_framing_is_the_callers_error(bench, body):
    """A status without a reply."""
    reply = call(bench, body)
    assert reply.grpc_status in {b"12", b"13"}
    assert reply.body == b""


def test_an_oversized_message_is_denied_and_not_read(bench):
    """A client provokes it by a large body; an error could open."""
    too_large = (MAX_MESSAGE_BYTES + 1).to_bytes(4, "big")
    assert call(bench, b"\0" + too_large).denied == 413
    assert bench.observed[0][0].decision.reason is Reason.REQUEST_TOO_LARGE
    padded = external_auth_pb2.CheckRequest.FromString(check_message())
    padded.attributes.request.http.raw_body = b"x" * (MAX_MESSAGE_BYTES - 100)
    parts = frame(padded.SerializeToString())
    assert call(bench, [parts[:65536], parts[65536:]]).response.status.code == 0


def test_garbage_is_denied(bench):
    """A message that is no CheckRequest."""
    assert call(bench, frame(b"\xff\xff")).denied == 400


def test_a_missing_key_set_is_fetched_and_the_question_asked_again(bench):
    """Within one call."""
    found = bench.answerer.answer(check_message(), 0)
    answers = [NEED, found]
    bench.answerer.answer = lambda _message, _now, _deadline: answers.pop(0)
    assert call(bench).response.status.code == 0
    assert bench.needs == [NEED]


def test_keys_that_do_not_come_are_could_not_decide(bench):
    """After a bounded number of fetches."""
    bench.answerer.answer = lambda _message, _now, _deadline: NEED
    assert call(bench).denied == 503
    assert bench.observed[0][0].decision.reason is Reason.KEY_SET_UNAVAILABLE
    assert 1 <= len(bench.needs) <= 3


@pytest.mark.parametrize("metadata", [{}, {b"grpc-timeout": b"20m"}])
def test_a_fetch_that_outlasts_the_deadline_is_could_not_decide(bench, metadata):
    """Ours, or three quarters of the caller's, whichever ends first."""

    async def never(_need):
        await asyncio.Event().wait()

    bench.fetch = never
    bench.limits = CheckLimits(deadline_seconds=10.0 if metadata else 0.01, capacity=100)
    bench.answerer.answer = lambda _message, _now, _deadline: NEED
    assert call(bench, headers={**GRPC, **metadata}).denied == 503
    ((answer, _, seconds),) = bench.observed
    assert answer.decision.reason is Reason.DEADLINE_EXCEEDED
    assert seconds < 5


def test_waiting_for_keys_is_bounded(bench):
    """Whoever comes when the room is full is refused at once."""
    bench.limits = CheckLimits(deadline_seconds=5.0, capacity=3)
    bench.answerer.answer = lambda _message, _now, _deadline: NEED

    async def main():
        opened = asyncio.Event()

        async def fetch(_need):
            await opened.wait()

        bench.fetch = fetch
        method = bench.method()
        application = GrpcApplication({CHECK_PATH: method}, Streams())
        waiting = [asyncio.ensure_future(call_application(application, frame(check_message()))) for _ in range(3)]
        await asyncio.sleep(0)
        assert method.waiting == 3
        refused = await call_application(application, frame(check_message()))
        opened.set()
        waited = await asyncio.gather(*waiting)
        assert method.waiting == 0
        return refused, waited

    refused, waited = asyncio.run(main())
    assert refused.denied == 503
    reasons = [answer.decision.reason for answer, _, _ in bench.observed]
    assert reasons == [Reason.OVERLOADED, *[Reason.KEY_SET_UNAVAILABLE] * 3]
    assert [reply.denied for reply in waited] == [503] * 3


def test_a_crowd_is_refused_by_denials(bench):
    """Full batches that last, with an answerer that takes its time."""
    bench.limits = CheckLimits(deadline_seconds=0.05, capacity=100)
    answer_at_once = bench.answerer.answer

    async def main():
        application = bench.application()
        loop = asyncio.get_running_loop()

        def slowly(message, now, deadline):
            until = loop.time() + 0.001
            while loop.time() < until:
                pass
            return answer_at_once(message, now, deadline)

        bench.answerer.answer = slowly
        calls = []
        for _ in range(10):
            calls += [
                asyncio.ensure_future(call_application(application, frame(check_message()), end_after_seconds=0.2))
                for _ in range(FULL_BATCH)
            ]
            await asyncio.sleep(0)
        return await asyncio.gather(*calls)

    replies = asyncio.run(main())
    statuses = [reply.response.status.code for reply in replies]
    assert len(statuses) == 10 * FULL_BATCH
    assert {0, 7} == set(statuses)
    reasons = {answer.decision.reason for answer, _, _ in bench.observed}
    assert reasons == {Reason.ALLOWED, Reason.OVERLOADED}


def test_a_bug_of_ours_is_a_denial_told_once(bench):
    """Whatever raises: the answerer, or the fetch."""

    def broken(_message, _now, _deadline):
        raise RuntimeError("a bug")

    bench.answerer.answer = broken
    assert call(bench).denied == 503
    assert [str(error) for error in bench.failures] == ["a bug"]
    assert bench.observed[0][0].decision.reason is Reason.INTERNAL_ERROR


def test_a_failure_inside_the_answerer_is_told(bench):
    """It was answered already."""
    failed = bench.answerer.refuse(Reason.INTERNAL_ERROR)._replace(failure=ValueError("inside"))
    bench.answerer.answer = lambda _message, _now, _deadline: failed
    assert call(bench).denied == 503
    assert [str(error) for error in bench.failures] == ["inside"]


def test_an_observer_that_fails_harms_no_answer(bench):
    """The answer is out by then."""
    bench.observed = None
    assert call(bench).response.status.code == 0
    assert isinstance(bench.failures[0], AttributeError)


def test_cancellation_is_not_swallowed(bench):
    """The server ends tasks of callers that went away."""

    async def never(_need):
        await asyncio.Event().wait()

    bench.fetch = never
    bench.answerer.answer = lambda _message, _now, _deadline: NEED

    async def main():
        task = asyncio.ensure_future(call_application(bench.application(), frame(check_message())))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert (bench.observed, bench.failures) == ([], [])


def test_a_message_can_be_decided_without_a_call(bench):
    """For the private listener: neither admitted nor observed."""

    async def main():
        return await bench.method().decide(check_message())

    answer = asyncio.run(main())
    assert isinstance(answer, Answer)
    assert answer.decision.effect is Effect.ALLOW
    assert bench.observed == []


def test_conditions_are_told_when_to_give_up(bench):
    """By the clock of this process: what is left of the caller's time, or of our own."""
    given = []

    def answer(_message, _now, deadline):
        given.append(deadline.at - deadline.clock())
        return bench.answerer.refuse(Reason.OVERLOADED)

    bench.answerer.answer = answer
    call(bench)
    call(bench, headers={**GRPC, b"grpc-timeout": b"40m"})
    assert given[1] < 0.03 < given[0] <= bench.limits.deadline_seconds
