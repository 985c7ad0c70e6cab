import json
import threading

import grpc
import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse
from google.rpc.code_pb2 import PERMISSION_DENIED

from extauthz.lowering.ext_authz import EXT_AUTHZ, MAX_BODY_BYTES, check_filters, reads_body, stripped_headers
from extauthz.model.decision import Outcome, PolicyId
from extauthz.model.policy import Authentication, Binding, PathPattern, Route, Rule, RuleKind, When
from extauthz.model.provider import ApiKeyProvider, ClaimMapping, MayAssert, Provider, StaticKeys, TokenLocation
from extauthz.model.source import Span

HERE = Span("policy.yaml", 1, 1)


class Reading:
    """A condition that reads the given paths."""

    text = "..."
    span = HERE

    def __init__(self, *reads: tuple[str, ...]) -> None:
        self.reads = frozenset(reads)

    def evaluate(self, facts):
        return Outcome.SATISFIED


def route(condition):
    """A route whose one allow rule has this condition."""
    return Route(
        name="r",
        host=None,
        path=PathPattern((), "/"),
        methods=None,
        authentication=Authentication.NONE,
        public=False,
        providers=(),
        deny=(),
        require=(),
        allow=(Rule(PolicyId("r.allow.0"), RuleKind.ALLOW, (When(condition),), HERE),),
        upstream_headers=(),
        cors_origins=(),
        span=HERE,
    )


def provider(*tokens):
    """A provider whose tokens stand in these places."""
    keys = StaticKeys({"keys": []}, "inline")
    return Provider("p", "https://i", ("a",), ("ES256",), keys, tokens, ClaimMapping(), MayAssert(), 30, HERE)


def ok(**headers):
    """A reply that allows, sets these headers and removes `x-roles`."""
    reply = CheckResponse()
    reply.ok_response.SetInParent()
    for name, value in headers.items():
        option = reply.ok_response.headers.add()
        option.header.key = name.replace("_", "-")
        option.header.value = value
    reply.ok_response.headers_to_remove.append("x-roles")
    return reply


def denied(status=403):
    """A reply that denies."""
    reply = CheckResponse()
    reply.status.code = PERMISSION_DENIED
    reply.denied_response.status.code = status
    reply.dynamic_metadata.update({"decision_id": "d1", "effect": "deny", "policies": ["a", "b"], "reason": "no_route"})
    return reply


def test_every_spelling_of_an_owned_header_is_stripped(policy_set):
    """Upstreams that read `_` as `-` would otherwise see what the client sent."""
    assert stripped_headers(policy_set(owned_headers=("x-user", "x-user-id"))) == (
        *("x-user", "x-user-id", "x-user_id", "x_user", "x_user-id", "x_user_id"),
    )


def test_a_header_that_carries_a_credential_is_not_stripped(policy_set):
    """The authorizer has to read it; each decision then sets or removes it."""
    policies = policy_set(
        owned_headers=("authorization", "cookie", "x-api-key", "x-user"),
        providers=(provider(TokenLocation(header="authorization", scheme="Bearer"), TokenLocation(cookie="session")),),
        api_key_providers=(ApiKeyProvider("machines", "x-api-key", (), HERE),),
    )
    assert stripped_headers(policies) == ("x-user", "x_user")


def test_owned_headers_are_removed_before_the_authorizer_is_asked(policy_set):
    """header_mutation stands first, and only where there is something to remove."""
    names = [f["name"] for f in check_filters(policy_set(owned_headers=("x-user",)))]
    assert names == ["envoy.filters.http.header_mutation", EXT_AUTHZ]
    assert [f["name"] for f in check_filters(policy_set())] == [EXT_AUTHZ]


def test_bodies_are_sent_only_where_a_condition_reads_them(policy_set):
    """A rule or a binding that reads `body`, or below it, is what buffering costs its time for."""
    binding = Binding("r", (), Reading(("body", "total")), HERE)
    assert not reads_body(policy_set(routes=(route(Reading(("claims", "body"))),)))
    assert reads_body(policy_set(routes=(route(Reading(("body",))),)))
    assert reads_body(policy_set(bindings=(binding,)))
    assert "with_request_body" in json.dumps(check_filters(policy_set(bindings=(binding,))))
    assert "with_request_body" not in json.dumps(check_filters(policy_set()))


@pytest.mark.envoy
def test_a_forged_owned_header_reaches_nobody(policy_set, front):
    """Neither the authorizer nor the upstream sees what a client claims to be."""
    with front(policy_set(owned_headers=("x-roles", "x-user")), lambda _: ok(x_user="alice")) as proxy:
        seen = proxy.upstream_headers([("X-User", "root"), ("x-roles", "admin"), ("x-other", "kept")])
        names = {header.key for header in proxy.asked[0].attributes.request.http.header_map.headers}
    assert seen["x-user"] == "alice"
    assert "x-roles" not in seen
    assert seen["x-other"] == "kept"
    assert "x-other" in names
    assert not names & {"x-user", "x-roles"}


@pytest.mark.envoy
def test_a_header_with_an_underscore_is_refused(policy_set, front):
    """Envoy answers 400 before anyone is asked."""
    with front(policy_set(owned_headers=("x-user",)), lambda _: ok()) as proxy:
        response, _ = proxy.send(headers=[("x_user", "root")])
        assert (response.status, proxy.asked) == (400, [])


@pytest.mark.envoy
@pytest.mark.parametrize("name", [":path", ":method", "host", "x-envoy-original-path"])
def test_an_authorizer_cannot_rewrite_the_request_line(policy_set, front, name):
    """What the decision was about is what goes upstream."""
    with front(policy_set(), lambda _: ok(**{name: "/admin"})) as proxy:
        response, _ = proxy.send()
    assert response.status == 500


@pytest.mark.envoy
def test_an_upstream_header_that_http_forbids_fails_the_request(policy_set, front):
    """A header that cannot be set must not leave the request without it."""
    with front(policy_set(owned_headers=("x-user",)), lambda _: ok(x_user="a\nb")) as proxy:
        response, _ = proxy.send()
    assert response.status == 500


@pytest.mark.envoy
def test_no_answer_is_service_unavailable(policy_set, front):
    """An authorizer that fails or takes too long never lets a request through."""

    def fail(_):
        raise RuntimeError("broken on purpose")

    with front(policy_set(), fail) as proxy:
        response, _ = proxy.send()
    assert response.status == 503


@pytest.mark.envoy
def test_decisions_are_in_the_access_log(policy_set, front):
    """Allowed or denied, the line has the dynamic metadata, lists as lists, and no query."""

    def answer(request):
        return denied() if request.attributes.request.http.path.startswith("/no") else ok()

    with front(policy_set(), answer) as proxy:
        assert proxy.send(path="/no?token=secret")[0].status == 403
        assert proxy.send(path="/yes")[0].status == 200
        first, second = proxy.log_lines(2)
    assert (first["decision_id"], first["effect"], first["policies"]) == ("d1", "deny", ["a", "b"])
    assert (first["reason"], first["revision"], first["path"]) == ("no_route", None, "/no")
    assert (second["status"], second["decision_id"]) == (200, None)


@pytest.mark.envoy
def test_a_large_body_arrives_in_part_and_marked_so(policy_set, front):
    """A request is never refused for its size alone; the authorizer can tell that it did not get all of it."""
    policies = policy_set(routes=(route(Reading(("body",))),))
    with front(policies, lambda _: ok()) as proxy:
        assert proxy.send("POST", body=b"x" * MAX_BODY_BYTES)[0].status == 200
        assert proxy.send("POST", body=b"x" * (MAX_BODY_BYTES + 1))[0].status == 200
        whole, part = (request.attributes.request.http for request in proxy.asked)
    assert (len(whole.raw_body), whole.size) == (MAX_BODY_BYTES, MAX_BODY_BYTES)
    assert (len(part.raw_body), part.size) == (MAX_BODY_BYTES, MAX_BODY_BYTES + 1)


@pytest.mark.envoy
def test_streams_are_not_buffered(policy_set, front):
    """A gRPC call is decided on its headers: waiting for the end of a stream would hold it back for good."""
    policies = policy_set(routes=(route(Reading(("body",))),))
    asked, ended = threading.Event(), threading.Event()

    def answer(_):
        asked.set()
        return ok()

    def messages():
        yield b"first"
        ended.wait(10)

    with front(policies, answer) as proxy, grpc.insecure_channel(str(proxy.address)) as channel:
        call = channel.stream_unary("/shop.Orders/Watch").future(messages(), timeout=10)
        assert asked.wait(5)
        ended.set()
        call.result()
        assert proxy.asked[0].attributes.request.http.raw_body == b""


@pytest.mark.envoy
def test_repeated_headers_arrive_apart(policy_set, front):
    """The authorizer must see two values where the client sent two."""
    with front(policy_set(), lambda _: ok()) as proxy:
        proxy.send(headers=[("x-one", "a,b"), ("X-Two", "c"), ("x-one", "d")])
        headers = proxy.asked[0].attributes.request.http.header_map.headers
    assert [h.raw_value for h in headers if h.key == "x-one"] == [b"a,b", b"d"]
