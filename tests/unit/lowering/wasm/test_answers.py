"""How requests are answered: as the authorizer answers them."""

from __future__ import annotations

import json

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from extauthz.authn.challenge import challenge_for
from extauthz.check.response import ReplyWriter
from extauthz.lowering.wasm.answers import STATUS, Answers
from extauthz.lowering.wasm.emitter import Emitter
from extauthz.model.decision import Decision, Effect, Reason
from extauthz.model.policy import ResponseFormat, ResponseSettings
from tests.harness.machine import Machine

ID = "0123456789abcdef0123"
SCOPES = ("a.b", 'c"d')


@pytest.mark.parametrize("media_type", ["text/html", "application/grpc"])
@pytest.mark.parametrize("response_format", ResponseFormat)
@pytest.mark.parametrize("reason", STATUS)
def test_a_denial_is_the_authorizers(reason, response_format, media_type):
    """Status, headers and body, but for whose id it is."""
    settings = ResponseSettings(response_format, 'a "realm"', "https://x.example/m")
    scopes = SCOPES if reason is Reason.INSUFFICIENT_SCOPE else ()
    emitter = Emitter()
    answer = Answers(emitter.data, settings).deny(reason, scopes)
    emitter.module.table_index(emitter.function(b"\0"))
    machine = Machine(emitter, headers=[("content-type", media_type), ("x-request-id", ID)])
    machine.call("read_headers")
    machine.call("deny", answer)
    denial = Decision(Effect.DENY, (), (), reason, None, challenge=challenge_for(settings, reason, scopes))
    is_grpc = media_type == "application/grpc"
    expected = CheckResponse.FromString(
        ReplyWriter(settings, "r").write(denial, ID, grpc_caller=is_grpc)
    ).denied_response
    assert machine.response is not None
    status, details, body, headers = machine.response
    assert (status, body) == (expected.status.code, expected.body)
    assert headers == {option.header.key: option.header.value for option in expected.headers}
    assert details == f"extauthz_{reason}"


def test_an_allow_says_so():
    """And nothing else."""
    emitter = Emitter()
    answer = Answers(emitter.data, ResponseSettings()).allow(Reason.ALLOWED)
    emitter.module.table_index(emitter.function(b"\0"))
    machine = Machine(emitter)
    assert machine.word(answer) == 1
    assert machine.read_text(machine.word(answer + 8)) == b"allow allowed"


def test_a_problem_is_json():
    """Whatever the title."""
    emitter = Emitter()
    answer = Answers(emitter.data, ResponseSettings()).deny(Reason.NO_ROUTE)
    emitter.module.table_index(emitter.function(b"\0"))
    machine = Machine(emitter)
    machine.call("deny", answer)
    assert machine.response is not None
    assert json.loads(machine.response[2])["decision_id"] == ""
