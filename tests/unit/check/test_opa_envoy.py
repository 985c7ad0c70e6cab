import itertools
import json
import re

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.rpc import code_pb2

from extauthz.authn.authenticator import NeedKeySet
from extauthz.check.opa_envoy import CallFailure, OpaAnswerer, OpaRules
from extauthz.check.opa_policy import OpaQuery, entry_points, query_module
from extauthz.errors import KeySetUnavailableError
from extauthz.languages.rego import Module, RegoEvaluationError, load_plan
from extauthz.model.decision import Reason
from extauthz.sources.rego_planner import plan_with_regopy
from tests.harness.authn import make_provider

POLICY = """package envoy.authz

default allow := false

allow if input.attributes.request.http.method == "GET"

object := {"allowed": input.parsed_path[0] == "open", "headers": {"x-a": "1"}}

undefined_one if input.none

conflict := 1 if input.parsed_path

conflict := 2 if input.parsed_query

builtin := to_number("x")

misshapen := "yes"

many := numbers.range(1, 4000)

endless := count([1 | some i in many; some j in many; i < j])

caller := input.principal.subject == "ann"
"""


@pytest.fixture(scope="module")
def program():
    questions = {
        name: ("envoy", "authz", name) for name in re.findall(r"^(?:default )?(\w+)(?: :=| if)", POLICY, re.MULTILINE)
    }
    plan = plan_with_regopy([Module("policy.rego", POLICY), query_module(questions)], entry_points(questions))
    return load_plan(plan, {})


@pytest.fixture
def answer(program):
    def ask(rule, path="/open", *, deadline=1e9, clock=lambda: 0.0, identify=None, method="GET", message=None, **rules):
        request = CheckRequest()
        request.attributes.request.http.method = method
        request.attributes.request.http.path = path
        query = None if rule is None else OpaQuery(program, f"extauthz_decision/{rule}")
        answerer = OpaAnswerer(query, OpaRules(**rules), identify)
        message = request.SerializeToString() if message is None else message
        return answerer.answer(message, now_ns=0, deadline=deadline, clock=clock)

    return ask


def response(answer):
    assert isinstance(answer.reply, bytes), answer.reply
    return CheckResponse.FromString(answer.reply)


def test_decisions(answer):
    """Allow and deny, with an id that is told to Envoy and to the log."""
    for method, code in (("GET", 0), ("POST", 7)):
        given = answer("allow", method=method)
        assert response(given).status.code == code
        assert (given.allowed, given.result, given.error) == (code == 0, code == 0, None)
        assert response(given).dynamic_metadata["decision_id"] == given.decision_id
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", given.decision_id)
    assert answer("allow").decision_id != answer("allow").decision_id


def test_objects(answer):
    """The decision document, whole, is what is logged."""
    given = answer("object")
    assert response(given).ok_response.headers[0].header.key == "x-a"
    assert given.result == {"allowed": True, "headers": {"x-a": "1"}}
    assert response(answer("object", "/other")).denied_response.status.code == 403


def test_a_bad_request(answer):
    """A denial that says why, without metadata, in a dry run as well."""
    given = answer("allow", "/%zz", dry_run=True)
    denied = response(given)
    assert (denied.status.code, denied.denied_response.status.code) == (7, 400)
    assert denied.status.message == denied.denied_response.body == 'request_parse_error: invalid URL escape "%zz"'
    assert not denied.HasField("dynamic_metadata")
    assert given.error.message == 'invalid URL escape "%zz"'
    assert (given.error.kind, given.allowed, given.input) == ("request_parse_error", False, None)


@pytest.mark.parametrize(
    ("rule", "text", "kind", "code"),
    [
        ("undefined_one", "undefined decision", "envoyauth_eval_error", None),
        (None, "undefined decision", "envoyauth_eval_error", None),
        ("builtin", "undefined decision", "envoyauth_eval_error", None),
        (
            "conflict",
            r"policy\.rego:\d+: eval_conflict_error: complete rules must not produce multiple outputs",
            "eval_conflict_error",
            "eval_conflict_error",
        ),
        (
            "misshapen",
            "failed to get response status: illegal value for policy evaluation result: string",
            "envoyauth_result_error",
            None,
        ),
        (
            "endless",
            "eval_cancel_error: caller cancelled query execution",
            "eval_cancel_error",
            "eval_cancel_error",
        ),
    ],
)
def test_calls_that_fail(answer, rule, text, kind, code):
    """What is no decision is no reply, but a status; the proxy's configuration says what becomes of the request."""
    given = answer(rule, budget=10_000)
    assert isinstance(given.reply, CallFailure)
    assert given.reply.code == code_pb2.UNKNOWN
    assert re.fullmatch(text, given.reply.message)
    assert (given.allowed, given.error.kind, given.error.code) == (False, kind, code)


def test_deadlines(answer):
    """Passed before the evaluation, and within it."""
    given = answer("allow", deadline=0.0)
    assert given.reply.code == code_pb2.DEADLINE_EXCEEDED
    assert given.reply.message == "check request timed out before query execution: context deadline exceeded"
    ticks = itertools.count()
    given = answer("endless", deadline=3.0, clock=lambda: float(next(ticks)))
    assert given.reply == CallFailure(code_pb2.UNKNOWN, "eval_cancel_error: caller cancelled query execution")
    assert given.error.message == "context deadline reached during query execution"


def test_no_check_request(answer):
    """Bytes that are none fail the call."""
    assert answer("allow", message=b"\xff").reply.code == code_pb2.INTERNAL


@pytest.mark.parametrize(
    ("rule", "path", "status", "reason"),
    [
        ("allow", "/%zz", 400, "request_malformed"),
        ("undefined_one", "/open", 403, "no_matching_allow"),
        ("conflict", "/open", 403, "evaluation_error"),
        ("builtin", "/open", 403, "evaluation_error"),
        ("misshapen", "/open", 403, "evaluation_error"),
        ("endless", "/open", 503, "deadline_exceeded"),
    ],
)
def test_our_own_law(answer, rule, path, status, reason):
    """Under `strict`, nothing fails: it is a denial by code 7, and the client reads no more than an id."""
    given = answer(rule, path, strict=True, budget=10_000)
    denied = response(given)
    assert (denied.status.code, denied.denied_response.status.code) == (7, status)
    assert denied.dynamic_metadata["reason"] == reason
    assert json.loads(denied.denied_response.body)["decision_id"] == given.decision_id
    assert "%zz" not in denied.denied_response.body


def test_our_own_law_without_a_policy(answer):
    """Until one has come it is an error, as for every set of ours."""
    assert response(answer(None, strict=True)).WhichOneof("http_response") == "error_response"


def test_strict_booleans(answer):
    """The reply is explicit."""
    assert response(answer("allow", strict=True)).WhichOneof("http_response") == "ok_response"


def test_inputs_that_somebody_keeps(answer):
    """For the log the input is whole; otherwise only what is read is made."""
    assert "attributes" not in answer("misshapen").input
    assert answer("misshapen", keeps_input=True).input["attributes"]["request"]["http"]["method"] == "GET"


def test_callers(answer):
    """Who sends the request is added to the input, or its key set asked for."""
    seen = []

    def identify(request, now):
        seen.append((request.target, now))
        return {"principal": {"subject": "ann"}}

    assert answer("caller", identify=identify).allowed
    assert seen == [("/open", 0.0)]
    need = NeedKeySet(make_provider(), None)
    assert answer("caller", identify=lambda *_: need) is need


def test_callers_who_cannot_be_told(answer):
    """Without keys nothing turns the denial into an allow, strict or not; a role in doubt is an error of evaluation."""

    def lacks_keys(*_):
        raise KeySetUnavailableError("none")

    def doubts(*_):
        raise RegoEvaluationError("a role is in doubt")

    given = answer("caller", identify=lacks_keys)
    assert (response(given).status.code, response(given).denied_response.status.code) == (7, 503)
    assert answer("caller", identify=doubts).reply == CallFailure(
        code_pb2.UNKNOWN, "eval_builtin_error: a role is in doubt"
    )


def test_defects_of_ours(answer):
    """They fail the call, and are told to whoever keeps the log."""

    def broken(*_):
        raise ZeroDivisionError

    given = answer("caller", identify=broken)
    assert given.reply == CallFailure(code_pb2.INTERNAL, "internal error")
    assert isinstance(given.failure, ZeroDivisionError)


def test_refusals_without_a_look(answer):
    """Too many, or too large."""
    answerer = OpaAnswerer(None, OpaRules())
    given = answerer.refuse(Reason.OVERLOADED, "busy", code_pb2.RESOURCE_EXHAUSTED)
    assert given.reply == CallFailure(code_pb2.RESOURCE_EXHAUSTED, "busy")
    strict = OpaAnswerer(None, OpaRules(strict=True)).refuse(Reason.OVERLOADED, "busy", code_pb2.RESOURCE_EXHAUSTED)
    assert response(strict).denied_response.status.code == 503
