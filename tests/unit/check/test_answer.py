import json

import pytest
from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf import json_format
from google.rpc import code_pb2

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import Need, NeedEngine, build_snapshot
from extauthz.check.answer import Answer, Answerer, new_decision_id
from extauthz.check.response import DECISION_ID_LENGTH
from extauthz.model.decision import Effect, Reason
from extauthz.model.engine import EngineAnswer
from extauthz.model.policy import Authentication
from tests.strategies import make_policy_set, make_route

NOW = 1_800_000_000.0


def message(method="GET", path="/open", host="shop.example", **headers):
    http = {"method": method, "path": path, "host": host, "headers": headers}
    fields = {"attributes": {"request": {"http": http}}}
    return json_format.ParseDict(fields, external_auth_pb2.CheckRequest()).SerializeToString()


def answerer():
    return Answerer(build_snapshot(make_policy_set(make_route("/open")), KeySets(), VerifiedTokens()))


def answered(answer: Answer | Need):
    assert isinstance(answer, Answer)
    return answer, external_auth_pb2.CheckResponse.FromString(answer.reply)


def test_bytes_in_bytes_out():
    """The reply says what was decided, under the id that the answer carries."""
    answer, response = answered(answerer().answer(message(), NOW))
    assert (answer.decision.effect, response.status.code) == (Effect.ALLOW, code_pb2.OK)
    assert response.dynamic_metadata["decision_id"] == answer.decision_id
    assert response.dynamic_metadata["revision"] == answer.revision == "000000000000"
    answer, response = answered(answerer().answer(message(path="/other"), NOW))
    assert answer.decision.reason is Reason.CREDENTIAL_MISSING
    assert json.loads(response.denied_response.body)["decision_id"] == answer.decision_id


def test_a_malformed_message_is_denied_and_not_failed():
    """A client may be able to provoke one: an error would be an allow under failure_mode_allow."""
    answer, response = answered(answerer().answer(b"\xff\xff", NOW))
    assert (answer.decision.reason, answer.request) == (Reason.REQUEST_MALFORMED, None)
    assert response.status.code == code_pb2.PERMISSION_DENIED
    assert response.denied_response.status.code == 400


def test_a_bug_becomes_could_not_decide(monkeypatch):
    """And is handed to whoever logs; never an exception, never an allow."""

    def broken(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr("extauthz.check.answer.authorize", broken)
    answer, response = answered(answerer().answer(message(), NOW))
    assert answer.decision.reason is Reason.INTERNAL_ERROR
    assert isinstance(answer.failure, RuntimeError)
    assert (response.status.code, response.denied_response.status.code) == (code_pb2.PERMISSION_DENIED, 503)
    assert b"a bug" not in answer.reply


def asked():
    """An answerer that has an engine, and what it needs of it."""
    snapshot = build_snapshot(make_policy_set(make_route("/open")), KeySets(), VerifiedTokens(), has_engine=True)
    asking = Answerer(snapshot)
    need = asking.answer(message(), NOW)
    assert isinstance(need, NeedEngine)
    return asking, need


def test_the_engine_has_the_last_word():
    """Its say becomes the answer, in the caller's form."""
    asking, need = asked()
    _, response = answered(asking.conclude(need, EngineAnswer(Reason.ALLOWED)))
    assert response.status.code == code_pb2.OK
    answer, response = answered(asking.conclude(need, EngineAnswer(Reason.ENGINE_UNAVAILABLE)))
    assert (response.status.code, response.denied_response.status.code) == (code_pb2.PERMISSION_DENIED, 503)
    assert answer.request is need.facts.request
    assert answer.revision == asking.snapshot.revision


def test_a_bug_after_the_engine_becomes_could_not_decide(monkeypatch):
    """As one before it does."""

    def broken(*_):
        raise RuntimeError("a bug")

    asking, need = asked()
    monkeypatch.setattr("extauthz.check.answer.conclude", broken)
    answer, response = answered(asking.conclude(need, EngineAnswer(Reason.ALLOWED)))
    assert answer.decision.reason is Reason.INTERNAL_ERROR
    assert isinstance(answer.failure, RuntimeError)
    assert response.status.code == code_pb2.PERMISSION_DENIED


def test_without_a_policy_set_the_answer_is_an_error():
    """The one that the operator's failure_mode_allow decides on."""
    answer, response = answered(Answerer(None).answer(message(), NOW))
    assert answer.decision.reason is Reason.POLICY_SET_NOT_LOADED
    assert response.status.code == code_pb2.UNAVAILABLE


@pytest.mark.parametrize(("content_type", "body"), [("application/grpc", "Service Unavailable"), ("text/html", None)])
def test_could_not_decide_answers_in_the_callers_form(content_type, body):
    """A gRPC caller gets the title alone."""
    answer = answerer().could_not_decide(message(**{"content-type": content_type}), Reason.KEY_SET_UNAVAILABLE)
    _, response = answered(answer)
    assert response.denied_response.status.code == 503
    if body:
        assert response.denied_response.body == body
    else:
        assert json.loads(response.denied_response.body)["status"] == 503


def test_refusing_needs_no_message():
    """For what is too large to be read, and for overload."""
    answer, response = answered(answerer().refuse(Reason.REQUEST_TOO_LARGE))
    assert answer.request is None
    assert response.denied_response.status.code == 413
    _, response = answered(answerer().could_not_decide(b"\xff", Reason.DEADLINE_EXCEEDED))
    assert response.denied_response.status.code == 400


def test_decision_ids_are_unique_and_of_one_length():
    """Replies are cut where an id of this length stands."""
    ids = [new_decision_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {len(i) for i in ids} == {DECISION_ID_LENGTH}


def test_scripts_of_a_listed_origin_may_read_a_denial():
    """Of the route that lists it, and of no other answer."""
    listed = make_route(
        "/listed", authentication=Authentication.REQUIRED, public=False, cors_origins=("https://app.example",)
    )
    policy_set = make_policy_set(listed, make_route("/other", authentication=Authentication.REQUIRED, public=False))
    answerer = Answerer(build_snapshot(policy_set, KeySets(), VerifiedTokens()))
    for path, origin, expected in [
        ("/listed", "https://app.example", "https://app.example"),
        ("/listed", "https://evil.example", None),
        ("/other", "https://app.example", None),
        ("/nowhere", "https://app.example", None),
    ]:
        _, response = answered(answerer.answer(message(path=path, origin=origin), NOW))
        headers = {each.header.key: each.header.value for each in response.denied_response.headers}
        assert (response.denied_response.status.code, headers.get("access-control-allow-origin")) == (401, expected)
