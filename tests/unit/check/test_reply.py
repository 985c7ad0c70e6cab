import pytest

from extauthz.check.answer import new_decision_id
from extauthz.check.reply import client_response
from extauthz.check.response import ReplyWriter
from extauthz.model.decision import Decision, Effect, HeaderChanges, PolicyId, Reason
from extauthz.model.policy import ResponseFormat, ResponseSettings


def reply(decision: Decision, **options: bool) -> bytes:
    return ReplyWriter(ResponseSettings(ResponseFormat.TEXT), "r1", **options).write(decision, new_decision_id())


def test_allowed_request_gets_the_upstream_s_response():
    """An allow is no answer to the client."""
    changes = HeaderChanges(set=(("x-user", "alice"),))
    allow = Decision(Effect.ALLOW, (PolicyId("a"),), reason=Reason.ALLOWED, upstream=changes)
    assert client_response(reply(allow)) is None


def test_denied_request_gets_status_headers_and_body():
    """A denial is read as it is written."""
    seen = client_response(reply(Decision(Effect.DENY, (), reason=Reason.TOKEN_EXPIRED, challenge="Bearer")))
    assert seen is not None
    assert seen.status == 401
    assert dict(seen.headers)["www-authenticate"] == "Bearer"
    assert seen.body.startswith("Unauthorized (decision ")


@pytest.mark.parametrize("as_error", [False, True])
def test_undecided_request_gets_503_in_either_form(as_error):
    """Both forms of "could not decide" are 503 to the client."""
    undecided = Decision(Effect.DENY, (), reason=Reason.KEY_SET_UNAVAILABLE)
    seen = client_response(reply(undecided, unavailable_as_error=as_error))
    assert seen is not None
    assert seen.status == 503
