"""The handler never raises: whatever arrives, the answer is a reply that parses and says one thing only."""

from __future__ import annotations

import time

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.answer import Answer, Answerer
from extauthz.model.decision import Effect, Reason

NOW = time.time()  # noqa: TID251 - the corpus' tokens are minted now
DENIED_CODES = {7, 16}


@pytest.fixture(scope="module")
def answerers(corpus) -> list[tuple[Answerer, list[bytes]]]:
    """Each set's answerer, with its cases as messages."""
    return [
        (
            Answerer(build_snapshot(asked.policy_set, KeySets(), VerifiedTokens())),
            [message.SerializeToString() for message in asked.messages],
        )
        for asked in corpus
    ]


def answered(answerer: Answerer, message: bytes) -> Answer:
    """The answer, after checking all that holds for every answer."""
    answer = answerer.answer(message, NOW)
    assert isinstance(answer, Answer), "no set of the corpus needs a fetch"
    assert answer.failure is None, answer.failure
    response = CheckResponse.FromString(answer.reply)
    allows = answer.decision.effect is Effect.ALLOW
    assert (response.status.code == 0) is allows
    assert (response.WhichOneof("http_response") == "ok_response") is allows
    if not allows:
        assert response.status.code in DENIED_CODES
        assert response.denied_response.status.code >= 400
    assert response.dynamic_metadata["effect"] == answer.decision.effect
    assert response.dynamic_metadata["reason"] == answer.decision.reason
    assert response.dynamic_metadata["decision_id"] == answer.decision_id
    return answer


@settings(max_examples=300, deadline=None)
@given(message=st.binary(max_size=200), data=st.data())
def test_any_bytes_are_answered(answerers, message, data):
    """Bytes of no meaning are a malformed request, or one about nothing: never an allow."""
    answerer, _ = data.draw(st.sampled_from(answerers))
    assert answered(answerer, message).decision.effect is Effect.DENY


@st.composite
def mutations(draw: st.DrawFn, message: bytes) -> bytes:
    """The message with some bytes replaced, cut out, or repeated."""
    changed = bytearray(message)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(changed)))
        end = min(len(changed), start + draw(st.integers(0, 12)))
        replacement = draw(st.one_of(st.binary(max_size=12), st.just(bytes(changed[start:end]) * 2)))
        changed[start:end] = replacement
    return bytes(changed)


@settings(max_examples=1500, deadline=None)
@given(data=st.data())
def test_mutated_requests_are_answered(answerers, data):
    """Real requests with damaged bytes: whatever still parses is decided, the rest is malformed."""
    answerer, messages = data.draw(st.sampled_from(answerers))
    message = data.draw(st.sampled_from(messages).flatmap(mutations))
    answered(answerer, message)


TEXTS = st.text(max_size=30)
ODD_TEXTS = st.one_of(
    TEXTS,
    st.sampled_from(["/orders", "/items/7", "/%00", "//", "shop.example", "OPTIONS", "GET", "127.0.0.1", "::1%eth0"]),
)
HEADER_NAMES = st.one_of(
    st.sampled_from(
        [
            *("authorization", "cookie", "content-type", "origin", "access-control-request-method", "content-length"),
            *("x-forwarded-for", "x-api-key", "x-team", "x-user", "x-envoy-auth-partial-body", ":path", ""),
        ]
    ),
    TEXTS,
)
HEADER_VALUES = st.one_of(st.binary(max_size=40), st.sampled_from([b"Bearer a.b.c", b"session=x", b"true", b"\x00"]))


@st.composite
def check_requests(draw: st.DrawFn) -> bytes:
    """Any CheckRequest that protobuf can carry, its texts made to be read wrongly."""
    message = CheckRequest()
    attributes = message.attributes
    http = attributes.request.http
    http.method, http.path, http.host = draw(ODD_TEXTS), draw(ODD_TEXTS), draw(ODD_TEXTS)
    http.scheme, http.protocol = draw(TEXTS), draw(TEXTS)
    http.size = draw(st.integers(-(2**63), 2**63 - 1))
    http.raw_body = draw(st.binary(max_size=60))
    for name, value in draw(st.lists(st.tuples(HEADER_NAMES, HEADER_VALUES), max_size=6)):
        http.header_map.headers.add(key=name, raw_value=value)
    for name, text in draw(st.lists(st.tuples(HEADER_NAMES, TEXTS), max_size=3)):
        http.headers[name] = text
    attributes.source.address.socket_address.address = draw(ODD_TEXTS)
    attributes.source.address.socket_address.port_value = draw(st.integers(0, 2**32 - 1))
    attributes.source.principal = draw(st.one_of(TEXTS, st.just("spiffe://cluster.local/ns/shop/sa/x")))
    attributes.request.time.seconds = draw(st.integers(-(2**63), 2**63 - 1))
    attributes.request.time.nanos = draw(st.integers(-(2**31), 2**31 - 1))
    return bytes(message.SerializeToString())


@settings(max_examples=800, deadline=None)
@given(message=check_requests(), data=st.data())
def test_any_check_request_is_answered(answerers, message, data):
    """Attributes of every kind, none of them sound."""
    answerer, _ = data.draw(st.sampled_from(answerers))
    answered(answerer, message)


@settings(max_examples=200, deadline=None)
@given(message=st.one_of(st.binary(max_size=100), check_requests()), reason=st.sampled_from(Reason))
def test_a_message_that_could_not_be_decided_is_denied(answerers, message, reason):
    """Whatever was asked, could-not-decide is a denial, or is refused to be said at all."""
    answerer, _ = answerers[0]
    try:
        answer = answerer.could_not_decide(message, reason)
    except ValueError:
        assert reason in {Reason.ALLOWED, Reason.PREFLIGHT}
        return
    assert answer.decision.effect is Effect.DENY
    assert CheckResponse.FromString(answer.reply).status.code != 0
