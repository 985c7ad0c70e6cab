"""Enforcement by a module as HTTP filters."""

from __future__ import annotations

import base64
import json

from extauthz.lowering.ext_authz import EXT_AUTHZ
from extauthz.lowering.wasm.filters import WASM_LOG_FIELDS, module_filter, wasm_filters
from tests.harness.module import plan_of

ROUTES = [
    {
        "name": "r",
        "path": "/",
        "allow": [{"role": "reader"}],
        "upstream_headers": {"set": {"x-user": "{principal.subject}"}},
    }
]


def test_filters_stand_in_order():
    """Hygiene, tokens, caller, module, authorizer; without an authorizer the module answers everything."""
    names = [f["name"] for f in wasm_filters(plan_of(ROUTES))]
    assert names == [
        "envoy.filters.http.header_mutation",
        "envoy.filters.http.jwt_authn",
        "extauthz.caller",
        "extauthz.wasm",
        EXT_AUTHZ,
    ]
    assert [f["name"] for f in wasm_filters(plan_of(ROUTES, has_authorizer=False), has_authorizer=False)] == names[:-1]


def test_the_module_is_in_its_filter():
    """It fails closed, and is started anew."""
    plan = plan_of(ROUTES)
    config = module_filter(plan)["typed_config"]["config"]
    assert base64.b64decode(config["vm_config"]["code"]["local"]["inline_bytes"]) == plan.module
    assert config["failure_policy"] == "FAIL_RELOAD"
    assert config["vm_config"]["vm_id"].endswith(plan.policy_set.revision)


def test_the_authorizer_is_asked_unless_the_module_allows():
    """Nothing but the filter state that the module writes skips it."""
    *_, ext_authz = wasm_filters(plan_of(ROUTES), cluster="mine")
    inner = ext_authz["typed_config"]["extension_config"]["typed_config"]
    assert inner["grpc_service"]["envoy_grpc"]["cluster_name"] == "mine"
    (matcher,) = ext_authz["typed_config"]["xds_matcher"]["matcher_list"]["matchers"]
    predicate = matcher["predicate"]["single_predicate"]
    assert predicate["value_match"] == {"prefix": "allow "}
    key = predicate["input"]["typed_config"]["key"]
    assert json.dumps(WASM_LOG_FIELDS).count(key) == 1
