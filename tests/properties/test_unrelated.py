"""What a decision does not read cannot change it: an unrelated route, role, binding or provider added to its set."""

from __future__ import annotations

import dataclasses
import time

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import authorize, build_snapshot
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.errors import RequestError
from extauthz.model.decision import Decision, Outcome
from extauthz.model.policy import Authentication, Binding, BindingSubject, PolicySet, Role, Route, RuleKind, When
from extauthz.model.provider import (
    ApiKey,
    ApiKeyProvider,
    ClaimMapping,
    MayAssert,
    Provider,
    SharedSecret,
    TokenLocation,
)
from extauthz.pdp.canonical import PathReader, canonical_host
from extauthz.pdp.routes import RouteTable
from tests.strategies import SPAN, FixedCondition, make_route, make_rule

NOW = time.time()  # noqa: TID251 - the corpus' tokens are minted now


@pytest.fixture(scope="module")
def decided(corpus) -> list[tuple[PolicySet, CheckedRequest, Decision]]:
    """Every case with what is decided about it."""
    found = []
    for asked in corpus:
        snapshot = build_snapshot(asked.policy_set, KeySets(), VerifiedTokens())
        for message in asked.messages:
            request = read_check_request(message.SerializeToString())
            decision = authorize(request, snapshot, NOW)
            assert isinstance(decision, Decision)
            found.append((asked.policy_set, request, decision))
    return found


def decide(policy_set: PolicySet, request: CheckedRequest) -> object:
    return authorize(request, build_snapshot(policy_set, KeySets(), VerifiedTokens()), NOW)


# The segments of the corpus' own paths, so that the added routes come close to them.
SEGMENTS = st.sampled_from(
    ["admin", "items", "orders", "a", "b", "c", "any", "public", "7", "users", "{x}", "{y}", "files", "g", "r"]
)
PATTERNS = st.builds(
    lambda segments, end: "/" + "/".join([*segments, *end]),
    st.lists(SEGMENTS, max_size=3),
    st.sampled_from([[], ["**"]]),
)
HOSTS = st.sampled_from([None, "shop.example", "*.example", "*.shop.example", "api.shop.example", "other.example"])


@st.composite
def routes(draw: st.DrawFn) -> Route:
    """A route of any pattern that lets everybody through, or nobody."""
    condition = When(FixedCondition(draw(st.sampled_from(Outcome))))
    kind = draw(st.sampled_from([RuleKind.DENY, RuleKind.ALLOW]))
    return make_route(
        draw(PATTERNS),
        host=draw(HOSTS),
        methods=draw(st.one_of(st.none(), st.lists(st.sampled_from(["GET", "POST", "OPTIONS"]), min_size=1))),
        name="added",
        authentication=draw(st.sampled_from(Authentication)),
        cors_origins=draw(st.sampled_from([(), ("*",)])),
        deny=(make_rule(RuleKind.DENY, condition),) if kind is RuleKind.DENY else (),
    )


def matches(route: Route, policy_set: PolicySet, request: CheckedRequest) -> bool:
    """Whether the route's pattern, alone in a set, would own the request."""
    try:
        segments = PathReader(policy_set.paths).read(request.target)
        host = canonical_host(request.host)
    except RequestError:
        return False
    return RouteTable([(route, None)]).find(host, segments) is not None


@settings(max_examples=600, deadline=None)
@given(data=st.data(), route=routes())
def test_a_route_whose_pattern_does_not_match_changes_nothing(decided, data, route):
    """However near its pattern comes: a request that it does not match is decided as before."""
    policy_set, request, before = data.draw(st.sampled_from(decided))
    assume(not matches(route, policy_set, request))
    added = dataclasses.replace(policy_set, routes=(*policy_set.routes, route))
    assert decide(added, request) == before


PROVIDER = Provider(
    name="added",
    issuer="https://added.example",
    audiences=None,
    algorithms=("HS256",),
    keys=SharedSecret(b"x" * 32),
    tokens=(TokenLocation(header="authorization", scheme="Bearer"), TokenLocation(header="x-added")),
    claims=ClaimMapping(),
    may_assert=MayAssert(),
    clock_skew_seconds=600.0,
    span=SPAN,
)
API_KEYS = ApiKeyProvider("added-keys", "x-added-key", (ApiKey("0" * 64, "alice", ("admin",)),), SPAN)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), first=st.booleans())
def test_a_provider_that_no_route_lists_changes_nothing(decided, data, first):
    """Its tokens, its headers and its keys are of no account where no route lists it."""
    policy_set, request, before = data.draw(st.sampled_from(decided))
    providers = (PROVIDER, *policy_set.providers) if first else (*policy_set.providers, PROVIDER)
    added = dataclasses.replace(
        policy_set, providers=providers, api_key_providers=(*policy_set.api_key_providers, API_KEYS)
    )
    assert decide(added, request) == before


ROLE = Role("added", frozenset({"added"}), frozenset({"*"}))
BINDINGS = st.builds(
    lambda who, outcome: Binding("added", (who,), None if outcome is None else FixedCondition(outcome), SPAN),
    st.sampled_from(
        [BindingSubject(subject="alice"), BindingSubject(provider="corp"), BindingSubject(workload="spiffe://a/**")]
    ),
    st.one_of(st.none(), st.just(Outcome.UNSATISFIED)),
)


def shows_roles(policy_set: PolicySet) -> bool:
    """Whether some upstream header or condition reads all of a caller's roles, an added one included."""
    templates = (h.template or () for route in policy_set.routes for h in route.upstream_headers)
    if any(part.path[:2] == ("principal", "roles") for template in templates for part in template):
        return True
    rules = (rule for route in policy_set.routes for rule in (*route.deny, *route.require, *route.allow))
    keys = (key for rule in rules for key in rule.conditions if isinstance(key, When))
    return any(path[0] == "principal.roles" for key in keys for path in key.condition.reads)


@settings(max_examples=300, deadline=None)
@given(data=st.data(), bindings=st.lists(BINDINGS, max_size=2))
def test_a_role_that_no_rule_names_changes_nothing(decided, data, bindings):
    """A role and whom it is bound to are of no account where no rule asks for it."""
    policy_set, request, before = data.draw(st.sampled_from(decided))
    assume(not shows_roles(policy_set))
    added = dataclasses.replace(
        policy_set, roles={**policy_set.roles, "added": ROLE}, bindings=(*policy_set.bindings, *bindings)
    )
    assert decide(added, request) == before
