import asyncio
import pickle
import time
from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest

from extauthz.authn.authenticator import KeySets
from extauthz.check.opa_policy import DECISION, DROP, MASK, OpaPolicy, entry_points, query_module
from extauthz.errors import ConfigurationError
from extauthz.languages.rego import Module
from extauthz.server.asgi import GrpcApplication
from extauthz.server.check_method import CHECK_PATH
from extauthz.server.opa_check import OpaLimits
from extauthz.server.opa_decider import OpaDeciderSettings, open_opa_decider
from extauthz.server.streams import Streams
from extauthz.sources.rego_planner import plan_with_regopy
from extauthz.telemetry.opa_log import OpaLogForm
from tests.harness.asgi_call import call_application, frame
from tests.strategies import make_policy_set, make_route

POLICY = """package envoy.authz

allow := input.parsed_path[0] == "open" if input.parsed_path[0] != "undefined"

caller := input.path.id == "7"
"""
QUESTIONS = {
    DECISION: ("envoy", "authz", "allow"),
    MASK: ("system", "log", "mask"),
    DROP: ("system", "log", "drop"),
}


def make_policy(decision=QUESTIONS[DECISION], *more, **fields):
    questions = {**QUESTIONS, DECISION: decision}
    modules = [Module("p.rego", POLICY), *(Module("more.rego", text) for text in more), query_module(questions)]
    plan = plan_with_regopy(modules, entry_points(questions))
    asked = dict(zip(questions, entry_points(questions), strict=True))
    return OpaPolicy(plan, {}, asked, "r1", **fields)


class Sink:
    """Keeps what is written."""

    def __init__(self):
        self.text = ""

    def write(self, data):
        self.text += data.decode()

    def close(self):
        pass


class Logger:
    def __init__(self):
        self.events = []

    def warning(self, event, **values):
        self.events.append(event)

    def error(self, event, **values):
        self.events.append(event)


def settings(**fields):
    given: dict[str, Any] = {
        "limits": OpaLimits(5.0, 100, 4096),
        "dry_run": False,
        "parses_body": True,
        "strict": False,
        "keeps_input": True,
        "descriptors": None,
        "buckets": None,
    }
    return OpaDeciderSettings(**(given | fields))


async def fetch_nothing(need):
    raise AssertionError(need)


class Bench:
    """A decider, asked over the wire, and what it wrote and counted."""

    def __init__(self):
        self.sink, self.logger = Sink(), Logger()

    def run(self, policy, *paths, **fields):
        async def main():
            decider = open_opa_decider(
                settings(**fields),
                (self.sink, OpaLogForm({}, "envoy/authz/allow", "")),
                key_sets=KeySets(),
                fetch=fetch_nothing,
                logger=self.logger,
                on_log_failed=print,
                clock_ns=time.time_ns,
                monotonic=time.perf_counter,
            )
            assert decider.log is not None
            writing = asyncio.ensure_future(decider.log.run())
            await asyncio.sleep(0)  # it has begun
            if policy is not None:
                # As workers get it.
                decider.put_into_force(decider.prepare(pickle.loads(pickle.dumps(policy))))
            replies = [await self.ask(decider, path) for path in paths]
            writing.cancel()
            await asyncio.wait([writing])
            return replies, decider.read_tally()

        return asyncio.run(main())

    async def ask(self, decider, path):
        message = CheckRequest()
        message.attributes.request.http.path = path
        message.attributes.request.http.method = "GET"
        message.attributes.request.http.host = "shop.example"
        application = GrpcApplication({CHECK_PATH: decider.check}, Streams())
        return await call_application(application, frame(message.SerializeToString()))


@pytest.fixture
def bench():
    return Bench()


def test_counts(bench):
    """By our names and by the plugin's; a call that fails is no decision."""
    _, tally = bench.run(make_policy(), "/open", "/shut", "/undefined", "/%", buckets=(0.0, 10.0))
    assert tally.decisions == {
        ("allow", "allowed", ""): 1,
        ("deny", "denied_by_policy", ""): 1,
        ("deny", "envoyauth_eval_error", ""): 1,
        ("deny", "request_parse_error", ""): 1,
    }
    assert sum(tally.buckets) == 4
    assert tally.plugin_errors == {"envoyauth_eval_error": 1, "request_parse_error": 1}
    assert tally.plugin_buckets == [0, 2, 0]
    assert 0 < tally.plugin_seconds < tally.seconds


def test_metrics_that_nobody_wants(bench):
    """Then the plugin's histogram stays empty."""
    assert bench.run(make_policy(), "/open")[1].plugin_buckets == []


def test_before_a_policy_comes(bench):
    """Every decision is undefined."""
    (reply,), _ = bench.run(None, "/open")
    assert (reply.grpc_status, reply.metadata[b"grpc-message"]) == (b"2", b"undefined decision")


def test_logs(bench):
    """One line an answer, masked as the policy says, with the revisions of its bundles."""
    mask = 'package system.log\n\nmask contains "/input/attributes"\n\ndrop if input.result == false\n'
    policy = make_policy(QUESTIONS[DECISION], mask, bundles={"b": "r7"})
    _, tally = bench.run(policy, "/open", "/shut", "/undefined")
    lines = bench.sink.text.splitlines()
    assert len(lines) == 2
    assert '"bundles":{"b":{"revision":"r7"}}' in lines[0]
    assert '"erased":["/input/attributes"]' in lines[0]
    assert "shop.example" not in bench.sink.text
    assert (tally.decision_log_left_out, tally.decision_log_drops) == (1, 0)


def test_masks_that_fail(bench):
    """Nothing is written that should have been masked, and somebody is told."""
    policy = make_policy(QUESTIONS[DECISION], 'package system.log\n\nmask contains "nowhere"\n')
    _, tally = bench.run(policy, "/open", "/open")
    assert (bench.sink.text, tally.decision_log_drops) == ("", 2)
    assert bench.logger.events == ["decision_log_unmasked"]


def test_a_set_beside(bench):
    """Its routes bind what the policy finds in `input.path`."""
    policy_set = make_policy_set(make_route("/people/{id}"))
    policy = make_policy(("envoy", "authz", "caller"), policy_set=policy_set)
    replies, _ = bench.run(policy, "/people/7", "/people/8")
    assert [reply.response.status.code for reply in replies] == [0, 7]


def test_descriptors_are_read_at_once():
    """What is wrong with them is told before anything is served."""

    async def main():
        open_opa_decider(
            settings(descriptors=b"\xff"),
            None,
            key_sets=KeySets(),
            fetch=fetch_nothing,
            logger=Logger(),
            on_log_failed=print,
            clock_ns=time.time_ns,
            monotonic=time.perf_counter,
        )

    with pytest.raises(ConfigurationError):
        asyncio.run(main())
