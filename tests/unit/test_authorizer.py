import dataclasses
import hashlib
from typing import Any

import jwt
import pytest
from jwt.utils import base64url_encode

from extauthz.authn.authenticator import KeySets, NeedKeySet, VerifiedTokens
from extauthz.authorizer import (
    NeedEngine,
    authorize,
    authorize_as,
    authorize_by,
    build_snapshot,
    caller_of,
    conclude,
)
from extauthz.errors import PathAmbiguousError, TokenExpiredError
from extauthz.model.access import ANONYMOUS, Principal
from extauthz.model.decision import Decision, Effect, HeaderChanges, Judgment, Outcome, Reason, ReplyDetails
from extauthz.model.engine import ENGINE_POLICY, EngineAnswer
from extauthz.model.policy import (
    Authenticated,
    Authentication,
    ResponseSettings,
    RuleKind,
    ScopeIs,
    SubjectIs,
    TemplatePart,
    UpstreamHeader,
    When,
)
from extauthz.model.provider import (
    ApiKey,
    ApiKeyProvider,
    ClaimMapping,
    ClaimPath,
    MayAssert,
    Provider,
    RemoteKeys,
    SharedSecret,
    TokenLocation,
)
from tests.strategies import SPAN, FixedCondition, Request, make_policy_set, make_route, make_rule

NOW = 1_800_000_000
SECRET = b"s" * 32


def provider(keys=None, **fields):
    return Provider(
        name="corp",
        issuer="https://issuer.example",
        audiences=("shop",),
        algorithms=("HS256",) if keys is None else ("RS256",),
        keys=keys or SharedSecret(SECRET),
        tokens=(TokenLocation(header="authorization", scheme="Bearer"),),
        claims=ClaimMapping(scopes=(ClaimPath(("scope",)),)),
        may_assert=MayAssert(),
        clock_skew_seconds=30.0,
        span=SPAN,
    )


def bearer(secret=SECRET, **claims):
    payload = {"iss": "https://issuer.example", "aud": "shop", "sub": "alice", "exp": NOW + 60, **claims}
    return {"authorization": ["Bearer " + jwt.encode(payload, secret, "HS256")]}


def private(path="/private", *conditions, **fields):
    defaults: dict[str, Any] = {
        "public": False,
        "authentication": Authentication.REQUIRED,
        "providers": ("corp",),
        "allow": (make_rule(RuleKind.ALLOW, *(conditions or (Authenticated(),))),),
    }
    return dataclasses.replace(make_route(path), **(defaults | fields))


def snapshot_of(*routes, **fields):
    defaults: dict[str, Any] = {"providers": (provider(),), "default_providers": ("corp",)}
    return build_snapshot(make_policy_set(*routes, **(defaults | fields)), KeySets(), VerifiedTokens())


def decide(snapshot, target="/private", method="GET", headers=None, host="shop.example"):
    return authorize(Request(method, target, host, headers or {}), snapshot, NOW)


def test_a_request_that_has_no_single_reading_comes_before_everything():
    """400 before the route is looked for and before credentials are looked at."""
    snapshot = snapshot_of(private(), make_route("/**"))
    assert decide(snapshot, "/private/../x").reason is Reason.PATH_AMBIGUOUS
    assert decide(snapshot, "/", host="a,b").reason is Reason.HOST_INVALID
    twice = {"authorization": [*bearer()["authorization"], *bearer()["authorization"]]}
    assert decide(snapshot, headers=twice).reason is Reason.CREDENTIALS_AMBIGUOUS


def test_the_caller_comes_before_the_rules():
    """401 for nothing and for a bad token, whatever the rules would say; the challenge says which."""
    snapshot = snapshot_of(private(deny=(make_rule(RuleKind.DENY),)), responses=ResponseSettings(realm="shop"))
    missing, forged = decide(snapshot), decide(snapshot, headers=bearer(b"x" * 32))
    assert (missing.reason, missing.challenge) == (Reason.CREDENTIAL_MISSING, 'Bearer realm="shop"')
    assert (forged.reason, forged.challenge) == (
        Reason.SIGNATURE_INVALID,
        'Bearer realm="shop", error="invalid_token"',
    )
    assert decide(snapshot, headers=bearer()).reason is Reason.DENIED_BY_POLICY


def test_a_request_that_nobody_owns_is_authenticated_first():
    """So that the shape of the policy is not told to strangers."""
    snapshot = snapshot_of(private(methods=frozenset({"GET"})))
    for target, method in (("/other", "GET"), ("/private", "POST")):
        assert decide(snapshot, target, method).reason is Reason.CREDENTIAL_MISSING
        denied = decide(snapshot, target, method, bearer())
        assert (denied.reason, denied.route, denied.subject) == (Reason.NO_ROUTE, None, "alice")


def test_a_public_route_does_not_look_at_credentials():
    """Not even at two of them; the principal is nobody."""
    snapshot = snapshot_of(make_route("/open", upstream_headers=(_user_header(),)), owned_headers=("x-user",))
    decision = decide(snapshot, "/open", headers={"authorization": ["Bearer x", "Bearer y"]})
    assert (decision.effect, decision.subject) == (Effect.ALLOW, None)
    assert set(decision.upstream.remove) == {"x-user", "x_user"}


def test_an_optional_route_tells_the_anonymous_from_the_denied():
    """Anonymous and no allow is 401 without an error; a deny, satisfied or errored, and a failed require are 403."""
    optional = {"authentication": Authentication.OPTIONAL}
    snapshot = snapshot_of(
        private("/a", SubjectIs(("bob",)), **optional),
        private("/deny", deny=(make_rule(RuleKind.DENY),), **optional),
        private("/error", deny=(make_rule(RuleKind.DENY, When(FixedCondition(Outcome.ERRORED))),), **optional),
        private("/require", require=(make_rule(RuleKind.REQUIRE, Authenticated()),), **optional),
    )
    assert (decide(snapshot, "/a").reason, decide(snapshot, "/a").challenge) == (Reason.CREDENTIAL_MISSING, "Bearer")
    assert decide(snapshot, "/a", headers=bearer()).reason is Reason.NO_MATCHING_ALLOW
    assert decide(snapshot, "/a", headers=bearer(exp=NOW - 100)).reason is Reason.TOKEN_EXPIRED
    assert decide(snapshot, "/deny").reason is Reason.DENIED_BY_POLICY
    assert decide(snapshot, "/error").reason is Reason.EVALUATION_ERROR
    assert decide(snapshot, "/require").reason is Reason.REQUIREMENT_FAILED


def test_a_missing_scope_is_named_in_the_challenge():
    """RFC 6750 section 3.1, only when a scope alone is missing."""
    snapshot = snapshot_of(private("/a", ScopeIs(("a", "b"))), private("/b", ScopeIs(("a",)), SubjectIs(("bob",))))
    denied = decide(snapshot, "/a", headers=bearer())
    assert denied.reason is Reason.INSUFFICIENT_SCOPE
    assert denied.challenge == 'Bearer error="insufficient_scope", scope="a b"'
    assert decide(snapshot, "/b", headers=bearer()).reason is Reason.NO_MATCHING_ALLOW
    assert decide(snapshot, "/a", headers=bearer(scope="b")).effect is Effect.ALLOW


@pytest.mark.parametrize(
    ("headers", "passes"),
    [
        ({"origin": ["https://app.example"], "access-control-request-method": ["PUT"]}, True),
        ({"origin": ["https://app.example"], "access-control-request-method": ["DELETE"]}, False),
        ({"origin": ["https://evil.example"], "access-control-request-method": ["PUT"]}, False),
        ({"origin": ["https://app.example"]}, False),
        ({"access-control-request-method": ["PUT"]}, False),
        ({"origin": ["https://app.example"] * 2, "access-control-request-method": ["PUT"]}, False),
    ],
)
def test_a_preflight_passes_for_a_listed_origin_and_a_method_that_has_a_route(headers, passes):
    """Any other OPTIONS is an ordinary request."""
    snapshot = snapshot_of(
        private(methods=frozenset({"PUT"}), cors_origins=("https://app.example",)), owned_headers=("x-user",)
    )
    decision = decide(snapshot, method="OPTIONS", headers=headers)
    assert decision.reason is (Reason.PREFLIGHT if passes else Reason.CREDENTIAL_MISSING)
    if passes:
        assert decision.policies == ("/private.cors",)
        assert "x-user" in decision.upstream.remove


def test_an_upstream_header_that_cannot_be_carried_denies():
    """A forged line break in a claim must not reach the backend, and must not silently vanish either."""
    snapshot = snapshot_of(private(upstream_headers=(_user_header(),)), owned_headers=("x-user",))
    assert decide(snapshot, headers=bearer()).upstream.set == (("x-user", "alice"),)
    assert decide(snapshot, headers=bearer(sub="a\r\nb")).reason is Reason.UPSTREAM_HEADER_INVALID


def test_missing_keys_are_a_need_and_then_could_not_decide():
    """The caller fetches and asks again; while a failed fetch cools down the answer is 503, never 401."""
    key_sets = KeySets()
    issuer = provider(RemoteKeys("https://issuer.example/jwks"))
    policy_set = make_policy_set(private(), providers=(issuer,), default_providers=("corp",))
    snapshot = build_snapshot(policy_set, key_sets, VerifiedTokens())
    _, payload, signature = bearer()["authorization"][0].split(".")
    header = base64url_encode(b'{"alg":"RS256","kid":"k"}').decode()
    headers = {"authorization": [f"Bearer {header}.{payload}.{signature}"]}
    assert isinstance(decide(snapshot, headers=headers), NeedKeySet)
    state = key_sets.state_of(issuer)
    state.begin(NOW)
    state.failed("connection refused", NOW, retry_seconds=10.0)
    assert decide(snapshot, headers=headers).reason is Reason.KEY_SET_UNAVAILABLE


def test_an_api_key_is_a_credential():
    """Its holder is the principal."""
    keys = ApiKeyProvider("machines", "x-api-key", (ApiKey(hashlib.sha256(b"k").hexdigest(), "robot"),), SPAN)
    snapshot = snapshot_of(
        private("/a", SubjectIs(("robot",)), providers=("machines",)),
        providers=(),
        api_key_providers=(keys,),
        default_providers=("machines",),
    )
    assert decide(snapshot, "/a", headers={"x-api-key": ["k"]}).subject == "robot"
    assert decide(snapshot, "/a", headers={"x-api-key": ["x"]}).reason is Reason.API_KEY_UNKNOWN


def test_an_author_may_ask_as_anybody():
    """It skips authentication and nothing else."""
    snapshot = snapshot_of(private("/a", SubjectIs(("bob",))), make_route("/open"))
    bob = Principal(True, "bob", "corp")
    assert authorize_as(Request(target="/a"), snapshot, NOW, bob).effect is Effect.ALLOW
    assert authorize_as(Request(target="/a"), snapshot, NOW, ANONYMOUS).effect is Effect.DENY
    assert authorize_as(Request(target="/open"), snapshot, NOW, bob).subject is None
    assert authorize_as(Request(target="/x"), snapshot, NOW, bob).reason is Reason.NO_ROUTE
    assert authorize_as(Request(target="/../x"), snapshot, NOW, bob).reason is Reason.PATH_AMBIGUOUS
    assert authorize_as(Request(target="/a"), snapshot, NOW, ANONYMOUS).reason is Reason.CREDENTIAL_MISSING


def _user_header():
    return UpstreamHeader("x-user", (TemplatePart(path=("principal", "subject")),))


def test_a_decision_is_made_once_for_a_caller_where_it_follows_from_who_that_is():
    """The same object for the same token and route; another route, another caller and a path in a header part them."""
    snapshot = snapshot_of(
        private("/a/{id}", upstream_headers=(_user_header(),)),
        private("/b", upstream_headers=(_user_header(),)),
        private("/c/{id}", upstream_headers=(UpstreamHeader("x-id", (TemplatePart(path=("path", "id")),)),)),
        owned_headers=("x-user", "x-id"),
    )
    alice, bob = bearer(), bearer(sub="bob")
    first = decide(snapshot, "/a/1", headers=alice)
    assert decide(snapshot, "/a/2", headers=alice) is first
    assert decide(snapshot, "/b", headers=alice).route == "/b"
    assert decide(snapshot, "/a/1", headers=bob).upstream.set == (("x-user", "bob"),)
    assert [dict(decide(snapshot, f"/c/{i}", headers=alice).upstream.set) for i in (1, 2)] == [
        {"x-id": "1"},
        {"x-id": "2"},
    ]


def test_a_caller_of_many_routes_is_decided_like_any_other():
    """Few decisions are kept with a caller, so that many tokens cannot fill the memory; the others are made anew."""
    snapshot = snapshot_of(*(private(f"/{number}") for number in range(100)))
    alice = Principal(True, "alice", "corp")
    for _ in range(2):
        decided = [authorize_as(Request(target=f"/{number}"), snapshot, NOW, alice) for number in range(100)]
        assert [each.route for each in decided] == [f"/{number}" for number in range(100)]
    assert 0 < len(alice.derived) < 50


def test_a_set_that_replaces_another_decides_for_itself():
    """Verified tokens outlive a set, and an author's principal too; what was decided for them does not."""
    tokens, alice = VerifiedTokens(), Principal(True, "alice", "corp")
    denying = make_rule(RuleKind.DENY, Authenticated())
    sets = [
        make_policy_set(private(deny=deny), providers=(provider(),), default_providers=("corp",))
        for deny in ((), (denying,), ())
    ]
    snapshots = [build_snapshot(each, KeySets(), tokens) for each in sets]
    expected = [Effect.ALLOW, Effect.DENY, Effect.ALLOW]
    assert [decide(each, headers=bearer()).effect for each in snapshots] == expected
    assert [authorize_as(Request(target="/private"), each, NOW, alice).effect for each in snapshots] == expected
    assert tokens.verifications == 1


# --- A remote engine -----------------------------------------------------------------------------------------------


def with_engine(*routes, **fields):
    return build_snapshot(make_policy_set(*routes, **fields), KeySets(), VerifiedTokens(), has_engine=True)


def test_an_engine_is_asked_about_what_the_set_allows_and_nothing_else():
    """A request that the set denies, cannot read or does not know costs the engine nothing."""
    broken = make_rule(RuleKind.DENY, When(FixedCondition(Outcome.ERRORED)))
    snapshot = with_engine(make_route("/open"), make_route("/shut", deny=(broken,)))
    need = authorize(Request(target="/open"), snapshot, NOW)
    assert isinstance(need, NeedEngine)
    assert need.facts.path == "/open"
    for target in ("/shut", "/nowhere", "//"):
        decided = authorize(Request(target=target), snapshot, NOW)
        assert isinstance(decided, Decision)
        assert decided.effect is Effect.DENY
    assert authorize_as(Request(target="/open"), snapshot, NOW, ANONYMOUS).effect is Effect.ALLOW


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.PREFLIGHT])
def test_an_engine_allows_by_saying_so_and_denies_by_anything_else(reason):
    """And is named among what determined the decision."""
    snapshot = with_engine(make_route("/open"))
    need = authorize(Request(target="/open"), snapshot, NOW)
    assert isinstance(need, NeedEngine)
    decision = conclude(need, EngineAnswer(reason), snapshot)
    assert (decision.effect is Effect.ALLOW) is (reason is Reason.ALLOWED)
    assert decision.reason is reason
    assert decision.route == need.decision.route
    assert decision.policies[-1] == ENGINE_POLICY
    assert (ENGINE_POLICY in decision.errors) is (reason is Reason.EVALUATION_ERROR)
    if decision.effect is Effect.ALLOW:
        assert decision.upstream == need.decision.upstream


def test_a_preflight_passes_without_an_engine():
    """No rules apply to it, and an engine's say is one."""
    origin = "https://app.shop.example"
    snapshot = with_engine(make_route("/open", methods=["GET"], cors_origins=(origin,)))
    headers = {"origin": [origin], "access-control-request-method": ["GET"]}
    decision = authorize(Request(method="OPTIONS", target="/open", headers=headers), snapshot, NOW)
    assert isinstance(decision, Decision)
    assert decision.reason is Reason.PREFLIGHT


def test_assumed_callers_may_depend_on_the_route():
    """Who is asked where credentials count, and a failure there is a failed authentication."""
    snapshot = snapshot_of(private(), make_route("/public", authentication=Authentication.NONE))
    asked: list[str | None] = []

    def identify(route):
        asked.append(None if route is None else route.path.text)
        if route is None:
            raise TokenExpiredError("it has passed")
        return Principal(authenticated=True, subject="alice", provider="corp")

    decided = [authorize_by(Request(target=path), snapshot, NOW, identify) for path in ("/private", "/public", "/no")]
    assert asked == ["/private", None]
    assert [decision.subject for decision in decided] == ["alice", None, None]
    assert decided[2].reason is Reason.TOKEN_EXPIRED


def test_the_caller_alone_can_be_asked_for():
    """As a decision would find it; where credentials are not looked at there is nobody to tell."""
    snapshot = snapshot_of(private(), make_route("/public", authentication=Authentication.NONE))
    caller = caller_of(Request(target="/private", headers=bearer()), snapshot, NOW)
    assert caller is not None
    assert (caller.subject, caller.provider) == ("alice", "corp")
    assert caller_of(Request(target="/private"), snapshot, NOW) == ANONYMOUS
    assert caller_of(Request(target="/elsewhere", headers=bearer()), snapshot, NOW) == caller
    assert caller_of(Request(target="/public", headers=bearer()), snapshot, NOW) is None
    with pytest.raises(TokenExpiredError):
        caller_of(Request(target="/private", headers=bearer()), snapshot, NOW + 3600)
    with pytest.raises(PathAmbiguousError):
        caller_of(Request(target="//private"), snapshot, NOW)


def concluded(judgment, *, reason=Reason.ALLOWED, **fields):
    """What follows from a decision document of the engine's."""
    snapshot = with_engine(make_route("/open", **fields), owned_headers=("x-user",))
    need = authorize(Request(target="/open"), snapshot, NOW)
    assert isinstance(need, NeedEngine)
    return conclude(need, EngineAnswer(reason, judgment), snapshot)


def test_an_engines_document_is_carried_out():
    """Headers that go, what the client gets with an allow, and all of a denial."""
    allowing = Judgment(Outcome.SATISFIED, ReplyDetails(headers=(("x-by", "opa"),)), HeaderChanges(remove=("x-debug",)))
    decision = concluded(allowing)
    assert (decision.effect, decision.details) == (Effect.ALLOW, allowing.details)
    assert {"x-user", "x-debug"} <= set(decision.upstream.remove)
    denying = Judgment(Outcome.UNSATISFIED, ReplyDetails(status=429, body="later"))
    decision = concluded(denying, reason=Reason.DENIED_BY_ENGINE)
    assert (decision.effect, decision.given_status, decision.details) == (Effect.DENY, 429, denying.details)


def test_an_engine_touches_no_header_that_the_route_sets():
    """It would take away who the caller is."""
    sets = UpstreamHeader("x-user", (TemplatePart("known"),))
    decision = concluded(Judgment(Outcome.SATISFIED, None, HeaderChanges(remove=("x-user",))), upstream_headers=(sets,))
    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.UPSTREAM_HEADER_INVALID)


def test_two_documents_are_an_error():
    """The route's own and the engine's: a part of one would be lost."""
    own = need_with(ReplyDetails(headers=(("x-a", "1"),)))
    snapshot = with_engine(make_route("/open"))
    both = Judgment(Outcome.SATISFIED, ReplyDetails(query_remove=("debug",)))
    decision = conclude(own, EngineAnswer(Reason.ALLOWED, both), snapshot)
    assert (decision.effect, decision.reason) == (Effect.DENY, Reason.EVALUATION_ERROR)
    decision = conclude(own, EngineAnswer(Reason.ALLOWED), snapshot)
    assert decision.details == own.decision.details


def need_with(details):
    """A request that a route's own document allows."""
    need = authorize(Request(target="/open"), with_engine(make_route("/open")), NOW)
    assert isinstance(need, NeedEngine)
    return dataclasses.replace(need, decision=dataclasses.replace(need.decision, details=details))
