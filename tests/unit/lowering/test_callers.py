"""Who is classified is tried on a real Envoy: the policy that lets a request through names the caller's kind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from extauthz.lowering import expression as cel
from extauthz.lowering.callers import ANYBODY, Places, where_present
from extauthz.lowering.formula import is_always
from extauthz.model.provider import TokenLocation
from tests.harness.authn import make_api_keys, make_provider
from tests.harness.case import CaseRequest, CaseSet, Proxy
from tests.harness.stand import Stand, native_or_skip
from tests.harness.tokens import Token
from tests.strategies import make_policy_set

POLICY = """\
version: 1
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop, "https://shop"]
    algorithms: [ES256]
    jwks: {file: corp.jwks.json}
    tokens: [{header: authorization, scheme: Bearer}, {header: x-token}, {cookie: session}]
    claims: {roles: [roles, realm.roles], groups: groups, scopes: scope}
roles: {reader: {permissions: ["orders:read"]}}
routes:
  - {name: known, path: /known, allow: [{authenticated: true}]}
  - {name: either, path: /either, authentication: optional, allow: [{anyone: true}]}
"""
SET = CaseSet("callers", POLICY, {}, {}, Proxy(), ())


@pytest.fixture(scope="module")
def stand() -> Iterator[Stand]:
    """An Envoy that enforces the set natively."""
    with Stand([SET]) as built:
        yield built


def ask(stand: Stand, path: str, headers=(), claims=None, **mint):
    token = None if claims is None else Token(claims, **mint)
    return native_or_skip(stand).ask(stand.site(SET), CaseRequest(path, headers=tuple(headers), token=token))


def kind(stand: Stand, path: str, headers=(), claims=None, **mint):
    """The caller's kind by the native policy, None when the authorizer was asked."""
    answer = ask(stand, path, headers, claims, **mint)
    return answer.native.rpartition("/")[2] if answer.native else None


@pytest.mark.envoy
@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"aud": ["x", "shop"]},
        {"roles": ["reader", "unknown"], "groups": "one", "scope": "a b"},
        {"roles": None, "realm": {"roles": ["reader"]}, "groups": []},
        {"realm": None},
        {"realm": {}},
        {"iat": 29},
        {"exp": -27},
        {"nbf": 27},
        {"sub": "\u00e9"},
    ],
    ids=str,
)
def test_a_token_that_says_all_it_should_is_known_by_its_provider(stand, claims):
    """Attributes of the types that the mapping takes, times within the clock skew."""
    assert kind(stand, "/known", claims=claims) == "provider_corp"


@pytest.mark.envoy
@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://shop/"},
        {"aud": "http://shop"},
        {"aud": "shops"},
        {"roles": ["reader", 3]},
        {"roles": ["reader", None]},
        {"roles": {"reader": True}},
        {"roles": 3},
        {"roles": ["a\0b"]},
        {"groups": "a\0b"},
        {"realm": "text"},
        {"realm": {"roles": [["reader"]]}},
        {"scope": 3},
        {"sub": ""},
        {"sub": "a\0b"},
        {"sub": 3},
        {"sub": None},
        {"iat": 60},
        {"exp": -30},
        {"nbf": 60},
    ],
    ids=str,
)
def test_a_token_that_says_something_else_is_refused(stand, claims):
    """With 401, by the authorizer, though Envoy would take most of them."""
    answer = ask(stand, "/known", claims=claims)
    assert (answer.status, answer.native) == (401, None)


@pytest.mark.envoy
@pytest.mark.parametrize(
    "mint",
    [
        {"header": {"crit": ["x"], "x": 1}},
        {"header": {"b64": True, "crit": ["b64"]}},
        {"algorithm": "RS256"},
        {"omit": ["exp"]},
        {"omit": ["sub"]},
        {"key": "stranger"},
        {"issuer": "partner"},
        {"algorithm": "none"},
        {"tamper": "admin"},
        {"header": {"kid": "unknown"}},
    ],
    ids=str,
)
def test_a_token_that_is_not_to_be_believed_is_refused(stand, mint):
    """RS256 is in the key set and not among the provider's algorithms; `crit` Envoy passes over."""
    answer = ask(stand, "/known", claims={}, **mint)
    assert (answer.status, answer.native) == (401, None)


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("headers", "status", "caller"),
    [
        ([("authorization", "Bearer {token}")], 200, "provider_corp"),
        ([("authorization", "bearer {token}")], 200, "provider_corp"),
        ([("authorization", "BEARER {token}")], 200, None),
        ([("authorization", "Bearer  {token}")], 200, None),
        ([("authorization", "x Bearer {token}")], 401, None),
        ([("authorization", "Bearer {token} x")], 401, None),
        ([("authorization", "Bearer {token}, Bearer {token}")], 400, None),
        ([("authorization", "Bearer {token}"), ("authorization", "Bearer {token}")], 400, None),
        ([("authorization", "Bearer {token}"), ("cookie", "session=x")], 400, None),
        ([("authorization", "Bearer {token}"), ("x-token", "x")], 400, None),
        ([("authorization", "Bearer {token}"), ("cookie", "other=x; xsession=1")], 200, "provider_corp"),
        ([("x-token", "{token}")], 200, "provider_corp"),
        ([("x-token", "{token}"), ("authorization", "Basic x")], 200, "provider_corp"),
        ([("cookie", "a=b; session={token}; c=d")], 200, "provider_corp"),
        ([("cookie", "session={token}")], 200, "provider_corp"),
        ([("cookie", "session={token}; session={token}")], 400, None),
        ([("cookie", 'session="{token}"')], 401, None),
    ],
    ids=str,
)
def test_one_credential_in_a_known_place_is_taken(stand, headers, status, caller):
    """Any other way to present one, or more than one, is the authorizer's to judge."""
    answer = ask(stand, "/known", headers, {})
    assert answer.status == status
    assert (answer.native.rpartition("/")[2] if answer.native else None) == caller


@pytest.mark.envoy
def test_a_token_of_the_largest_size_is_taken_and_no_larger(stand):
    """16 KiB, of which the header 4 KiB."""
    assert kind(stand, "/known", claims={"pad": "x" * 11_800}) == "provider_corp"
    assert ask(stand, "/known", claims={"pad": "x" * 12_200}).status == 401
    assert ask(stand, "/known", claims={}, header={"pad": "x" * 3_100}).status == 401


@pytest.mark.envoy
@pytest.mark.parametrize(
    ("headers", "status", "caller"),
    [
        ([], 200, "anonymous"),
        ([("authorization", "Basic dXNlcjpwYXNz")], 200, "anonymous"),
        ([("authorization", "Bearers x")], 200, "anonymous"),
        ([("cookie", "other=x; xsession=1")], 200, "anonymous"),
        ([("authorization", "Bearer")], 401, None),
        ([("authorization", "bEaReR x")], 401, None),
        ([("authorization", "Basic x"), ("authorization", "Bearer x")], 401, None),
        ([("x-token", "x")], 401, None),
        ([("cookie", "a=b;session=x")], 401, None),
        ([("cookie", "a=b"), ("cookie", "session=x")], 401, None),
    ],
    ids=str,
)
def test_only_who_presents_nothing_is_anonymous(stand, headers, status, caller):
    """A scheme of others is nothing; a scheme of ours is a credential, be there anything behind it or not."""
    answer = ask(stand, "/either", headers)
    assert answer.status == status
    assert (answer.native.rpartition("/")[2] if answer.native else None) == caller


@pytest.mark.envoy
def test_the_authorizer_agrees_about_the_known(stand):
    """The same tokens, through the answerer of this process."""
    for claims in ({}, {"roles": ["reader"]}, {"iat": 29}):
        request = CaseRequest("/known", token=Token(claims))
        assert stand.pdp.ask(stand.site(SET), request).status == 200


def test_on_a_route_without_authentication_anybody_calls():
    """No credential is looked at."""
    assert is_always(ANYBODY.test)


def test_a_place_for_tokens_and_api_keys_is_never_taken_for_one():
    """A value there is ambiguous, so the authorizer answers 400."""
    bare = TokenLocation(header="x-key")
    places = Places(
        make_policy_set(providers=(make_provider(tokens=(bare,)),), api_key_providers=(make_api_keys(header="x-key"),))
    )
    assert places.empty(bare) == cel.literal(true=False)
    assert places.empty() != cel.literal(true=False)


def test_null_counts_as_absent_only_where_it_is_said():
    """In claims that are mapped it does; in a header it would be written as a word."""
    payload = cel.name("p")
    with_null = str(where_present(payload, ["a"], lambda v: v))
    assert "null_type" in with_null
    assert "null_type" not in str(where_present(payload, ["a"], lambda v: v, or_null=False))
