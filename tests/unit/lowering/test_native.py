from extauthz.lowering.denial import DENIAL_KEY
from extauthz.lowering.ext_authz import EXT_AUTHZ
from extauthz.lowering.native import CALL_POLICY, DECISION_KEY, Delegated, native_filters, native_local_replies
from extauthz.lowering.planner import make_plan
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


def filters(text=POLICY, **more):
    return native_filters(make_plan(policy_set(text)), **more)


def test_the_filters_stand_in_order():
    """Hygiene, tokens, caller, route, decision, authorizer, headers."""
    assert [f["name"] for f in filters()] == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.jwt_authn",
        "extauthz.caller",
        "extauthz.route",
        "extauthz.denial",
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
    rules = next(f for f in filters(delegated=Delegated.DENIALS) if f["name"] == "extauthz.decision")
    policies = rules["typed_config"]["rules"]["policies"]
    assert max(policies) == CALL_POLICY
    assert policies[CALL_POLICY]["principals"] == [{"any": True}]


def test_what_is_denied_for_certain_goes_nowhere():
    """A denial policy has named it; without such a name the authorizer is asked."""
    rules = next(f for f in filters() if f["name"] == "extauthz.decision")["typed_config"]["rules"]
    (principal,) = rules["policies"][CALL_POLICY]["principals"]
    assert principal["not_id"]["sourced_metadata"]["metadata_matcher"]["path"] == [{"key": DENIAL_KEY}]


def test_without_an_authorizer_everything_has_an_answer():
    """What Envoy cannot decide is denied: by 400, by 401, else by 403."""
    chain = filters(delegated=Delegated.NOTHING)
    names = [f["name"] for f in chain]
    assert EXT_AUTHZ not in names
    rules = chain[names.index("extauthz.decision")]["typed_config"]["rules"]
    assert CALL_POLICY not in rules["policies"]
    denials = chain[names.index("extauthz.denial")]["typed_config"]["shadow_rules"]["policies"]
    assert {"0_bad_request/not_plain", "4_token_invalid/unknown", "5_left/any"} <= denials.keys()
    assert max(denials) == "5_left/any"


def test_without_a_native_policy_the_authorizer_is_asked_about_every_request():
    """No filter is there for nothing."""
    text = POLICY.replace("[{authenticated: true}]", '[{when: "body.a == 1"}]')
    assert [f["name"] for f in filters(text)] == ["envoy.filters.http.header_mutation", EXT_AUTHZ]


def test_without_tokens_there_is_no_filter_for_them():
    """A set of public routes needs no jwt_authn."""
    text = "version: 1\nroutes:\n  - {name: a, path: /a, public: true}\n"
    assert "envoy.filters.http.jwt_authn" not in [f["name"] for f in filters(text)]


def test_native_denials_are_answered_in_the_form_of_the_set():
    """401 with a challenge, 403 without, the body as `responses` says."""
    text = POLICY + "responses: {format: text, realm: shop}\n"
    mappers = native_local_replies(make_plan(policy_set(text)))["mappers"]
    by_status = {m["status_code"]: m for m in mappers}
    assert by_status.keys() == {400, 401, 403}
    headers = {h["header"]["key"]: h["header"]["value"] for h in by_status[401]["headers_to_add"]}
    assert headers["www-authenticate"].startswith('Bearer realm="shop"')
    assert "www-authenticate" not in {h["header"]["key"] for h in by_status[403]["headers_to_add"]}
    assert by_status[403]["body_format_override"]["content_type"] == "text/plain; charset=utf-8"
