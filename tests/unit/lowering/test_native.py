from extauthz.lowering.ext_authz import EXT_AUTHZ
from extauthz.lowering.native import CALL_POLICY, DECISION_KEY, native_filters
from extauthz.lowering.plan import make_plan
from tests.policies import policy_set

POLICY = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://issuer.example/jwks}
upstream_headers: {set: {x-user: "{principal.subject}"}}
routes:
  - {name: a, path: /a, allow: [{authenticated: true}]}
"""


def filters(text=POLICY):
    return native_filters(make_plan(policy_set(text)))


def test_the_filters_stand_in_order():
    """Hygiene, tokens, caller, route, decision, authorizer, headers."""
    assert [f["name"] for f in filters()] == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.jwt_authn",
        "extauthz.caller",
        "extauthz.route",
        "extauthz.decision",
        EXT_AUTHZ,
        "envoy.filters.http.header_mutation",
    ]


def test_the_authorizer_is_asked_unless_the_metadata_says_otherwise():
    """Inverted: metadata that is missing means that it is asked, as any name that is no native policy's."""
    ext_authz = next(f for f in filters() if f["name"] == EXT_AUTHZ)["typed_config"]
    assert ext_authz["filter_enabled_metadata"] == {
        "filter": "envoy.filters.http.rbac",
        "path": [{"key": DECISION_KEY}],
        "value": {"string_match": {"prefix": "allow_"}},
        "invert": True,
    }
    assert ext_authz["failure_mode_allow"] is False


def test_what_no_native_policy_allows_goes_to_the_authorizer():
    """By a policy whose name sorts behind theirs."""
    rules = next(f for f in filters() if f["name"] == "extauthz.decision")["typed_config"]["rules"]
    assert max(rules["policies"]) == CALL_POLICY
    assert rules["policies"][CALL_POLICY]["principals"] == [{"any": True}]


def test_without_a_native_policy_the_authorizer_is_asked_about_every_request():
    """No filter is there for nothing."""
    text = POLICY.replace("[{authenticated: true}]", '[{when: "body.a == 1"}]')
    assert [f["name"] for f in filters(text)] == ["envoy.filters.http.header_mutation", EXT_AUTHZ]


def test_without_tokens_there_is_no_filter_for_them():
    """A set of public routes needs no jwt_authn."""
    text = "version: 1\nroutes:\n  - {name: a, path: /a, public: true}\n"
    assert "envoy.filters.http.jwt_authn" not in [f["name"] for f in filters(text)]
