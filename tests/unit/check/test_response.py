import json

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf import json_format
from google.rpc import code_pb2

from extauthz.check.response import ANSWERS, DECISION_ID_LENGTH, ReplyWriter, status_of
from extauthz.model.decision import (
    ALLOWING,
    METADATA_KEYS,
    Decision,
    Effect,
    HeaderChanges,
    PolicyId,
    Reason,
    ReplyDetails,
)
from extauthz.model.policy import ResponseFormat, ResponseSettings

ID = "0123456789abcdef0123"[:DECISION_ID_LENGTH]


def decision_for(reason, **fields):
    effect = Effect.ALLOW if reason in ALLOWING else Effect.DENY
    return Decision(effect, (PolicyId("order.allow.owner"),), (), reason, "order", **fields)


def written(decision, *, format_=ResponseFormat.PROBLEM, grpc_caller=False, unavailable_as_error=False):
    writer = ReplyWriter(ResponseSettings(format_), "abc", unavailable_as_error=unavailable_as_error)
    return external_auth_pb2.CheckResponse.FromString(writer.write(decision, ID, grpc_caller=grpc_caller))


def headers_of(options):
    return {option.header.key: option.header.value for option in options}


def test_every_reason_has_an_answer():
    """The table is total."""
    assert set(ANSWERS) == set(Reason)


@pytest.mark.parametrize("reason", Reason)
@pytest.mark.parametrize("unavailable_as_error", [False, True])
def test_ok_means_allow_means_ok_response(reason, unavailable_as_error):
    """Code 0 exactly if the effect is ALLOW exactly if ok_response is set; denials carry 7 or 16."""
    decision = decision_for(reason, upstream=HeaderChanges((("x-user", "alice"),), ("x_user",)))
    response = written(decision, unavailable_as_error=unavailable_as_error)
    allowed = decision.effect is Effect.ALLOW
    assert (response.status.code == code_pb2.OK) is allowed
    assert (response.WhichOneof("http_response") == "ok_response") is allowed
    if response.WhichOneof("http_response") == "denied_response":
        assert response.status.code in {code_pb2.PERMISSION_DENIED, code_pb2.UNAUTHENTICATED}
        assert 400 <= response.denied_response.status.code < 600


@pytest.mark.parametrize(
    "reason", [r for r in Reason if ANSWERS[r].status == 503 and r != Reason.POLICY_SET_NOT_LOADED]
)
def test_could_not_decide_is_a_denial_that_envoy_honours(reason):
    """Code 7, whatever failure_mode_allow says; an error only where the operator opted in."""
    response = written(decision_for(reason))
    assert response.status.code == code_pb2.PERMISSION_DENIED
    assert response.denied_response.status.code == 503
    opted_in = written(decision_for(reason), unavailable_as_error=True)
    assert opted_in.status.code == code_pb2.UNAVAILABLE
    assert opted_in.error_response.status.code == 503


def test_before_a_set_is_loaded_the_answer_is_an_error():
    """The one answer that failure_mode_allow may turn: the operator decides what a proxy without policy does."""
    response = written(decision_for(Reason.POLICY_SET_NOT_LOADED))
    assert response.status.code == code_pb2.UNAVAILABLE
    assert response.WhichOneof("http_response") == "error_response"


def test_an_allow_sets_and_removes_headers():
    """Absent `append` overwrites what the client sent."""
    decision = decision_for(Reason.ALLOWED, upstream=HeaderChanges((("x-user", "alice"), ("x-b", "2")), ("x_user",)))
    response = written(decision)
    assert headers_of(response.ok_response.headers) == {"x-user": "alice", "x-b": "2"}
    assert not any(option.HasField("append") for option in response.ok_response.headers)
    assert list(response.ok_response.headers_to_remove) == ["x_user"]


@pytest.mark.parametrize("reason", [Reason.ALLOWED, Reason.DENIED_BY_POLICY, Reason.NO_ROUTE])
def test_every_decision_carries_its_metadata(reason):
    """What the access log and the next filter read."""
    assert json_format.MessageToDict(written(decision_for(reason)).dynamic_metadata) == {
        "decision_id": ID,
        "effect": "allow" if reason in ALLOWING else "deny",
        "reason": reason.value,
        "route": "order",
        "policies": ["order.allow.owner"],
        "revision": "abc",
    }


def test_absent_facts_are_null_and_empty_in_the_metadata():
    """A request that no route owns has none; nothing determined it."""
    metadata = written(Decision(Effect.DENY, (), (), Reason.NO_ROUTE)).dynamic_metadata
    assert metadata["route"] is None
    assert list(metadata["policies"]) == []


def test_the_client_reads_the_decision_id_and_nothing_of_the_policy():
    """RFC 9457, with a challenge where one is due, never to be cached."""
    decision = decision_for(Reason.TOKEN_EXPIRED, challenge='Bearer error="invalid_token"')
    denied = written(decision).denied_response
    assert json.loads(denied.body) == {
        "type": "about:blank",
        "title": "Unauthorized",
        "status": 401,
        "decision_id": ID,
    }
    assert headers_of(denied.headers) == {
        "cache-control": "no-store",
        "content-type": "application/problem+json",
        "www-authenticate": 'Bearer error="invalid_token"',
    }


@pytest.mark.parametrize(
    ("format_", "grpc_caller", "body", "media_type"),
    [
        (ResponseFormat.TEXT, False, f"Forbidden (decision {ID})\n", "text/plain; charset=utf-8"),
        (ResponseFormat.EMPTY, False, "", None),
        (ResponseFormat.PROBLEM, True, "Forbidden", None),
        (ResponseFormat.EMPTY, True, "Forbidden", None),
    ],
)
def test_the_body_has_the_chosen_form(format_, grpc_caller, body, media_type):
    """A gRPC caller gets the short title, which Envoy makes grpc-message."""
    denied = written(decision_for(Reason.NO_ROUTE), format_=format_, grpc_caller=grpc_caller).denied_response
    assert denied.body == body
    assert headers_of(denied.headers).get("content-type") == media_type


def test_replies_of_one_shape_differ_only_in_id_and_header_values():
    """The second reply is cut from the first one's serialisation, and says what a fresh one would."""
    writer = ReplyWriter(ResponseSettings(), "abc")
    for who, decision_id in (("alice", "a" * DECISION_ID_LENGTH), ("bob", "b" * DECISION_ID_LENGTH)):
        decision = decision_for(Reason.ALLOWED, upstream=HeaderChanges((("x-user", who),), ()))
        response = external_auth_pb2.CheckResponse.FromString(writer.write(decision, decision_id))
        assert headers_of(response.ok_response.headers) == {"x-user": who}
        assert response.dynamic_metadata["decision_id"] == decision_id


def test_details_of_a_denial():
    """Status, headers and body are the policy's; what it does not say is as in every denial, and the code stays 7."""
    details = ReplyDetails(
        status=302,
        headers=(("location", "/login"), ("cache-control", "private"), ("set-cookie", "a"), ("set-cookie", "b")),
        body="log in",
        metadata={"tier": 2.0},
    )
    decision = decision_for(Reason.DENIED_BY_POLICY, details=details)
    response = written(decision)
    denied = response.denied_response
    assert (response.status.code, denied.status.code, denied.body) == (code_pb2.PERMISSION_DENIED, 302, "log in")
    assert [(option.header.key, option.header.value, option.append_action) for option in denied.headers] == [
        ("location", "/login", 0),
        ("cache-control", "private", 0),
        ("set-cookie", "a", 0),
        ("set-cookie", "b", HeaderValueOption.APPEND_IF_EXISTS_OR_ADD),
    ]
    metadata = json_format.MessageToDict(response.dynamic_metadata)
    assert metadata.keys() == METADATA_KEYS | {"tier"}
    assert (metadata["decision_id"], metadata["reason"], metadata["effect"]) == (ID, "denied_by_policy", "deny")
    assert status_of(decision) == 302


def test_a_denial_whose_policy_says_nothing_more():
    """It is the same as any other, to a gRPC client too."""
    plain, detailed = (decision_for(Reason.DENIED_BY_POLICY, details=d) for d in (None, ReplyDetails()))
    for grpc_caller in (False, True):
        assert written(detailed, grpc_caller=grpc_caller) == written(plain, grpc_caller=grpc_caller)
    assert status_of(detailed) == status_of(plain) == 403


def test_details_of_an_allow():
    """Headers of the response and the query's parameters, beside the headers for the upstream."""
    details = ReplyDetails(
        headers=(("x-served-by", "a"),), query_set=(("q", "1"),), query_remove=("token",), metadata={"n": [1.0]}
    )
    changes = HeaderChanges((("x-user", "alice"),), ("x_user",))
    response = written(decision_for(Reason.ALLOWED, upstream=changes, details=details))
    ok = response.ok_response
    assert response.status.code == code_pb2.OK
    assert headers_of(ok.headers) == {"x-user": "alice"}
    assert list(ok.headers_to_remove) == ["x_user"]
    assert headers_of(ok.response_headers_to_add) == {"x-served-by": "a"}
    assert [(p.key, p.value) for p in ok.query_parameters_to_set] == [("q", "1")]
    assert list(ok.query_parameters_to_remove) == ["token"]
    assert json_format.MessageToDict(response.dynamic_metadata)["n"] == [1.0]


def test_our_own_metadata_is_never_the_policys():
    """Whatever it says."""
    details = ReplyDetails(metadata={"effect": "allow", "decision_id": "mine"})
    response = written(decision_for(Reason.DENIED_BY_POLICY, details=details))
    metadata = json_format.MessageToDict(response.dynamic_metadata)
    assert (metadata["effect"], metadata["decision_id"]) == ("deny", ID)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (None, {}),
        ("*", {"access-control-allow-origin": "*"}),
        ("https://app.example", {"access-control-allow-origin": "https://app.example", "vary": "origin"}),
    ],
)
def test_a_denial_may_be_read_by_scripts_of_one_origin(origin, expected):
    """Beside all that it says anyway."""
    writer = ReplyWriter(ResponseSettings(), "abc")
    decision = decision_for(Reason.TOKEN_EXPIRED, challenge="Bearer")
    response = external_auth_pb2.CheckResponse.FromString(writer.write(decision, ID, readable_by=origin))
    plain = external_auth_pb2.CheckResponse.FromString(writer.write(decision, ID))
    assert headers_of(response.denied_response.headers) == {**headers_of(plain.denied_response.headers), **expected}
    assert response.denied_response.status.code == 401


@pytest.mark.parametrize("reason", [Reason.ALLOWED, Reason.POLICY_SET_NOT_LOADED, Reason.OVERLOADED])
def test_only_denials_are_made_readable(reason):
    """To add to another answer would make a denial of it, without a status."""
    writer = ReplyWriter(ResponseSettings(), "abc", unavailable_as_error=True)
    decision = decision_for(reason)
    assert writer.write(decision, ID, readable_by="*") == writer.write(decision, ID)
