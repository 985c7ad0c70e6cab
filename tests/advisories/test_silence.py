"""Policies and replies that would say allow to everybody by saying nothing, or by saying two things."""

from __future__ import annotations

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answerer
from extauthz.check.response import ANSWERS
from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml import SourceText, parse_policy_set
from extauthz.model.decision import ALLOWING, Reason
from tests.harness.tokens import key_set_files

PROVIDER = '{issuer: "https://issuer.example", audiences: [shop], algorithms: [ES256], jwks: {file: corp.jwks.json}}'

GUARDED = f"""
version: 1
providers: {{corp: {PROVIDER}}}
routes: [{{name: admin, path: "/admin/**", allow: [{{subject: root}}]}}]
"""


@pytest.mark.parametrize("reason", list(Reason))
@pytest.mark.parametrize("as_error", [False, True])
def test_no_reply_says_ok_by_accident(reason, as_error):
    """Envoy takes an empty CheckResponse, and OK beside a denied_response, for an allow: neither can be written."""
    snapshot = build_snapshot(_parsed(GUARDED), KeySets(), VerifiedTokens())
    answerer = Answerer(snapshot, unavailable_as_error=as_error)
    if reason in ALLOWING:
        with pytest.raises(ValueError, match="effect"):
            answerer.refuse(reason)
        return
    reply = CheckResponse.FromString(answerer.refuse(reason).reply)
    assert reply.HasField("status")
    assert reply.status.code == (14 if as_error and ANSWERS[reason].status == 503 else ANSWERS[reason].code)
    assert reply.status.code != 0
    assert reply.WhichOneof("http_response") in {"denied_response", "error_response"}
    assert reply.denied_response.status.code in {0, 400, 401, 403, 413, 503}


@pytest.mark.parametrize(
    ("rules", "code"),
    [
        ("allow: [{}]", "EAZ601"),
        ("allow: []", ""),
        ("allow:", ""),
        ("allow: [{name: all}]", "EAZ601"),
        ("allow: [{role: []}]", ""),
        ("allow: [{subject: null}]", ""),
        ("allow: [{when: null}]", ""),
        ("allow: [{when: ''}]", ""),
        ("allow: [{anyone: false}]", ""),
        ("allow: [{authenticated: true}], deny: []", ""),
        ("allow: [{authenticated: true}], deny: [{}]", "EAZ601"),
        ("allow: [{authenticated: true}], require: [{}]", "EAZ601"),
        ("allow: [{authenticated: true, subject: root, subject: alice}]", ""),
        ("allow: [{authenticated: true}], allow: [{subject: root}]", ""),
    ],
)
def test_a_rule_that_says_nothing_or_twice_is_no_rule(rules, code):
    """An empty rule would hold for everybody, and of a repeated key one would win silently: neither loads."""
    text = f"version: 1\nproviders: {{corp: {PROVIDER}}}\nroutes: [{{name: r, path: /, {rules}}}]\n"
    with pytest.raises(PolicyError) as raised:
        _parsed(text)
    assert code in str(raised.value)


def test_a_repeated_route_list_is_an_error():
    """Of two `routes` keys, the second would hide the first's guards."""
    with pytest.raises(PolicyError, match="routes"):
        _parsed(GUARDED + "routes: [{name: all, path: '/**', public: true}]\n")


def _parsed(text: str):
    files = {name: content.encode() for name, content in key_set_files().items()}
    source = SourceText("policy.yaml", text.encode())
    return parse_policy_set([source], read_file=lambda name: files[name]).policy_set
