"""A reply says what was decided and nothing else, for every reason and every shape of a decision."""

from __future__ import annotations

from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.check.response import ANSWERS, DECISION_ID_LENGTH, ReplyWriter
from extauthz.model.decision import ALLOWING, Decision, Effect, HeaderChanges, PolicyId, Reason
from extauthz.model.policy import ResponseFormat, ResponseSettings

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20)
HEADER_NAMES = st.text("abcdefghijklmnopqrstuvwxyz-0123456789", min_size=1, max_size=12)
HEADER_VALUES = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=30)
DECISION_IDS = st.text("0123456789abcdef", min_size=DECISION_ID_LENGTH, max_size=DECISION_ID_LENGTH)


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    """Any decision that can be constructed."""
    reason = draw(st.sampled_from(Reason))
    allows = reason in ALLOWING
    policies = tuple(PolicyId(name) for name in draw(st.lists(NAMES, min_size=int(allows), max_size=3)))
    names = draw(st.lists(HEADER_NAMES, max_size=5, unique=True))
    split = draw(st.integers(0, len(names)))
    changes = HeaderChanges(tuple((name, draw(HEADER_VALUES)) for name in names[:split]), tuple(names[split:]))
    return Decision(
        Effect.ALLOW if allows else Effect.DENY,
        policies,
        (),
        reason,
        draw(st.one_of(st.none(), NAMES)),
        changes if allows else HeaderChanges(),
        draw(st.one_of(st.none(), HEADER_VALUES)) if not allows else None,
    )


@settings(max_examples=800, deadline=None)
@given(
    decision=decisions(),
    decision_id=DECISION_IDS,
    form=st.sampled_from(ResponseFormat),
    grpc_caller=st.booleans(),
    as_error=st.booleans(),
    revision=st.text("0123456789abcdef", min_size=12, max_size=12),
)
def test_a_reply_says_what_was_decided(decision, decision_id, form, grpc_caller, as_error, revision):
    """OK if and only if it is an allow, with its headers; else a denial with its status; its metadata always."""
    writer = ReplyWriter(ResponseSettings(format=form), revision, unavailable_as_error=as_error)
    for one in (decision, decision):  # the second comes from the shape's cache
        response = CheckResponse.FromString(writer.write(one, decision_id, grpc_caller=grpc_caller))
        check_reply(response, one, as_error=as_error)
        assert json_format.MessageToDict(response.dynamic_metadata) == {
            "decision_id": decision_id,
            "effect": decision.effect,
            "reason": decision.reason,
            "route": decision.route,
            "policies": list(decision.policies),
            "revision": revision,
        }


def check_reply(response: CheckResponse, decision: Decision, *, as_error: bool) -> None:
    answering = ANSWERS[decision.reason]
    if decision.effect is Effect.ALLOW:
        assert response.status.code == 0
        assert response.WhichOneof("http_response") == "ok_response"
        ok = response.ok_response
        assert [(h.header.key, h.header.value) for h in ok.headers] == list(decision.upstream.set)
        assert list(ok.headers_to_remove) == list(decision.upstream.remove)
        assert not any(h.HasField("append") for h in ok.headers), "absent means overwrite"
        return
    could_not_decide = answering.status == 503
    is_error = decision.reason is Reason.POLICY_SET_NOT_LOADED or (as_error and could_not_decide)
    assert response.status.code == (14 if is_error else answering.code)
    assert response.WhichOneof("http_response") == ("error_response" if is_error else "denied_response")
    denial = response.error_response if is_error else response.denied_response
    assert denial.status.code == answering.status
    headers = {h.header.key: h.header.value for h in denial.headers}
    assert headers["cache-control"] == "no-store"
    assert headers.get("www-authenticate") == decision.challenge
    assert len(headers) == len(denial.headers)
