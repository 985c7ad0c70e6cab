import asyncio
import time

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from extauthz.authn.authenticator import NeedKeySet
from extauthz.check.opa_envoy import OpaAnswerer, OpaRules
from extauthz.check.opa_policy import OpaQuery, entry_points, query_module
from extauthz.languages.rego import Module, load_plan
from extauthz.server.admission import Admission
from extauthz.server.asgi import GrpcApplication
from extauthz.server.check_method import CHECK_PATH, MAX_FETCHES
from extauthz.server.opa_check import OpaCheckMethod, OpaLimits
from extauthz.server.streams import Streams
from extauthz.sources.rego_planner import plan_with_regopy
from tests.harness.asgi_call import GRPC, call_application, frame
from tests.harness.authn import make_provider

POLICY = """package envoy.authz

allow := input.parsed_path[0] == "open" if not input.parsed_path[0] in {"undefined", "who"}

allow := input.principal if input.parsed_path[0] == "who"
"""
NEED = NeedKeySet(make_provider(), None)


@pytest.fixture(scope="module")
def query():
    questions = {"decision": ("envoy", "authz", "allow")}
    plan = plan_with_regopy([Module("p.rego", POLICY), query_module(questions)], entry_points(questions))
    return OpaQuery(load_plan(plan, {}), "extauthz_decision/decision")


class Bench:
    """A method over a real answerer, and everything it reported."""

    def __init__(self, query):
        self.query = query
        self.rules = OpaRules()
        self.identify = None
        self.observed = []
        self.failures = []
        self.needs = []
        self.limits = OpaLimits(5.0, 100, 1_000)

    def method(self, capacity=100):
        async def fetch(need):
            self.needs.append(need)
            await self.fetching()

        return OpaCheckMethod(
            OpaAnswerer(self.query, self.rules, self.identify),
            fetch=fetch,
            observe=lambda answer, _, seconds: self.observed.append((answer, seconds)),
            on_failure=self.failures.append,
            admission=Admission(asyncio.get_running_loop(), capacity=capacity, monotonic=time.perf_counter),
            limits=self.limits,
            clock_ns=time.time_ns,
            monotonic=time.perf_counter,
        )

    async def fetching(self):
        pass

    def call(self, path="/open", body=None, **request):
        message = CheckRequest()
        message.attributes.request.http.path = path

        async def main():
            application = GrpcApplication({CHECK_PATH: self.method()}, Streams())
            sent = frame(message.SerializeToString()) if body is None else body
            return await call_application(application, sent, **request)

        return asyncio.run(main())


@pytest.fixture
def bench(query):
    return Bench(query)


def refusal(reply):
    """A status, with no message."""
    assert reply.body == b""
    return int(reply.grpc_status), reply.metadata[b"grpc-message"].decode()


def test_decisions_are_replies(bench):
    """And observed, with the time they took."""
    for path, code in (("/open", 0), ("/closed", 7)):
        assert bench.call(path).response.status.code == code
    assert [answer.allowed for answer, _ in bench.observed] == [True, False]
    assert all(0 < seconds < 5 for _, seconds in bench.observed)


def test_what_is_no_decision_is_a_status(bench):
    """The same on the wire as the incumbent's."""
    assert refusal(bench.call("/undefined")) == (2, "undefined decision")
    assert refusal(bench.call(body=frame(b"\xff")))[0] == 13
    assert bench.call("/%").response.denied_response.status.code == 400


def test_large_messages(bench):
    """They are not read, as the configuration says."""
    status, text = refusal(bench.call("/" + "x" * 1_000))
    assert (status, text) == (8, "grpc: received message larger than max (1000 bytes)")
    assert bench.observed[0][0].error.kind == "request_too_large"


@pytest.mark.parametrize("body", [frame(b"x", flag=1), b"", frame(b"a") + frame(b"b")])
def test_broken_framing(bench, body):
    """The caller's error; nothing was asked, so nothing is observed."""
    assert refusal(bench.call(body=body))[0] in {12, 13}
    assert bench.observed == []


def test_deadlines(bench):
    """Ours, and three quarters of the caller's."""
    bench.limits = OpaLimits(0.0, 100, 1_000)
    status, text = refusal(bench.call())
    assert (status, text.partition(":")[0]) == (4, "check request timed out before query execution")
    bench.limits = OpaLimits(5.0, 100, 1_000)
    assert refusal(bench.call(headers={**GRPC, b"grpc-timeout": b"1n"}))[0] == 4


def test_keys_are_fetched_once_and_asked_for_again(bench):
    """Within one call."""
    found = [NEED, {"principal": True}]
    bench.identify = lambda *_: found.pop(0)
    assert bench.call("/who").response.status.code == 0
    assert bench.needs == [NEED]


def test_keys_that_do_not_come(bench):
    """A denial that nothing turns into an allow."""
    bench.identify = lambda *_: NEED
    assert bench.call("/who").denied == 503
    assert bench.needs == [NEED] * MAX_FETCHES

    async def never():
        await asyncio.Event().wait()

    bench.fetching = never
    bench.limits = OpaLimits(0.05, 100, 1_000)
    assert bench.call("/who").denied == 503
    bench.limits = OpaLimits(5.0, 0, 1_000)
    assert refusal(bench.call("/who"))[0] == 8


def test_defects_fail_the_call(bench):
    """And are told; strict, they are denials."""

    def broken(*_):
        raise ZeroDivisionError

    bench.identify = broken
    assert refusal(bench.call("/who")) == (13, "internal error")
    assert [type(failure) for failure in bench.failures] == [ZeroDivisionError]
    bench.rules = OpaRules(strict=True)
    assert bench.call("/who").denied == 503


def test_an_observer_that_fails(bench):
    """The answer stays."""
    bench.observed = None
    assert bench.call().response.status.code == 0
    assert isinstance(bench.failures[0], AttributeError)


def test_too_many_wait(bench):
    """Under overload, whoever finds no room is refused at once."""

    async def main():
        method = bench.method(capacity=0)
        method._admission._parks = True
        return await call_application(GrpcApplication({CHECK_PATH: method}, Streams()), frame(b""))

    assert refusal(asyncio.run(main())) == (8, "too many requests wait")
    assert CheckResponse().status.code == 0  # what an empty reply would mean
