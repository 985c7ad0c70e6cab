from extauthz.lowering.enforcement import enforcement_of
from extauthz.lowering.ext_authz import EXT_AUTHZ, check_filters
from extauthz.lowering.mode import Mode
from tests.policies import policy_set

TEXT = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [RS256]
    jwks: {uri: https://issuer.example/jwks}
routes:
  - {name: a, path: /a, allow: [{authenticated: true}]}
"""


def names(mode):
    return [f["name"] for f in enforcement_of(policy_set(TEXT), mode).filters]


def test_mode_check_asks_about_every_request():
    """Nothing is decided before the authorizer."""
    enforcement = enforcement_of(policy_set(TEXT), Mode.CHECK)
    assert enforcement.filters == check_filters(policy_set(TEXT))
    assert (enforcement.clusters, enforcement.local_replies) == ((), None)


def test_mode_native_allows_and_denies():
    """And answers its denials itself."""
    assert {"extauthz.denial", "extauthz.decision", EXT_AUTHZ} <= set(names(Mode.NATIVE))
    enforcement = enforcement_of(policy_set(TEXT), Mode.NATIVE)
    assert enforcement.local_replies is not None
    assert [c["name"] for c in enforcement.clusters] == ["jwks_corp"]
    assert "native_policy" in enforcement.log_fields


def test_mode_split_only_allows():
    """Each denial is the authorizer's, with a decision of its own."""
    assert "extauthz.decision" in names(Mode.SPLIT)
    assert "extauthz.denial" not in names(Mode.SPLIT)
    assert enforcement_of(policy_set(TEXT), Mode.SPLIT).local_replies is None


def test_a_set_without_native_policies_fetches_no_keys():
    """Envoy would have no use for them."""
    text = TEXT.replace("authenticated: true", 'when: "body.a == 1"')
    assert enforcement_of(policy_set(text), Mode.NATIVE).clusters == []


def test_mode_wasm_runs_a_module():
    """Which allows and denies, with the authorizer behind it."""
    assert names(Mode.WASM)[-2:] == ["extauthz.wasm", EXT_AUTHZ]
    enforcement = enforcement_of(policy_set(TEXT), Mode.WASM)
    assert enforcement.local_replies is None
    assert [c["name"] for c in enforcement.clusters] == ["jwks_corp"]
    assert "wasm_decision" in enforcement.log_fields
