"""Enforcement by a module as HTTP filters, in order: hygiene, tokens, caller, module, authorizer.

The module answers what it denies. What it allows it says in filter state, which nothing but a module of this Envoy can
write: there the authorizer's filter is skipped. Whatever else comes of it, the authorizer is asked.

Where a rule asks for the client's address, one more filter writes down what the connection's is.
"""

from __future__ import annotations

import base64

from extauthz.lowering.callers import CALLER_PREFIX
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import AUTHORIZER_CLUSTER, EXT_AUTHZ, check_filters
from extauthz.lowering.jwt_authn import filter_for
from extauthz.lowering.rbac import classifying_filter, one_policy_each
from extauthz.lowering.wasm.compiler import WasmPlan
from extauthz.lowering.wasm.data import PEER_KEY

_COMMON = "type.googleapis.com/envoy.extensions"
MODULE_FILTER = "extauthz.wasm"
"""The name of the filter that runs the module."""
_DECISION = "wasm.extauthz"
"""The filter state that the module writes: `effect reason route rule`."""
_ALLOWS = "allow "

WASM_LOG_FIELDS = {"wasm_decision": f"%FILTER_STATE({_DECISION}:PLAIN)%"}
"""For the access log: `effect reason route rule` of what the module decided; `left` of what the authorizer did."""


def wasm_filters(plan: WasmPlan, *, has_authorizer: bool = True, cluster: str = AUTHORIZER_CLUSTER) -> list[JsonObject]:
    """The filters to put before the router, in this order; a cors filter, if there is one, goes before them.

    Without an authorizer the plan is one that was made for that.
    """
    *hygiene, ext_authz = check_filters(plan.policy_set, cluster=cluster)
    return [
        *hygiene,
        *([filter_for(plan.providers)] if plan.providers else []),
        classifying_filter("extauthz.caller", CALLER_PREFIX, one_policy_each(plan.caller_policies)),
        *([_peer_filter()] if plan.reads_addresses else []),
        module_filter(plan),
        *([_unless_allowed(ext_authz)] if has_authorizer else []),
    ]


def module_filter(plan: WasmPlan) -> JsonObject:
    """`envoy.extensions.filters.http.wasm.v3.Wasm`, the module within it."""
    return {
        "name": MODULE_FILTER,
        "typed_config": {
            "@type": f"{_COMMON}.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "extauthz",
                # One that stops answers 503 and is started anew: by default it would answer 503 until Envoy restarts.
                "failure_policy": "FAIL_RELOAD",
                "vm_config": {
                    # Modules of equal bytes and id share a machine.
                    "vm_id": f"extauthz {plan.policy_set.name} {plan.policy_set.revision}",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"inline_bytes": base64.b64encode(plan.module).decode()}},
                },
            },
        },
    }


def _peer_filter() -> JsonObject:
    """Writes down where the connection comes from, whatever X-Forwarded-For says, for the module to compare."""
    value = {
        "object_key": PEER_KEY,
        "factory_key": "envoy.string",
        "format_string": {"text_format_source": {"inline_string": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%"}},
        "read_only": True,
    }
    return {
        "name": "extauthz.peer",
        "typed_config": {
            "@type": f"{_COMMON}.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [value],
        },
    }


def _unless_allowed(ext_authz: JsonObject) -> JsonObject:
    """The authorizer's filter, skipped where the module allows: without filter state it is not."""
    is_allowed: JsonObject = {
        "input": {
            "name": "envoy.matching.inputs.filter_state",
            "typed_config": {
                "@type": f"{_COMMON}.matching.common_inputs.network.v3.FilterStateInput",
                "key": _DECISION,
            },
        },
        "value_match": {"prefix": _ALLOWS},
    }
    skip: JsonObject = {
        "name": "skip",
        "typed_config": {"@type": f"{_COMMON}.filters.common.matcher.action.v3.SkipFilter"},
    }
    matcher: JsonObject = {"predicate": {"single_predicate": is_allowed}, "on_match": {"action": skip}}
    return {
        "name": EXT_AUTHZ,
        "typed_config": {
            "@type": f"{_COMMON}.common.matching.v3.ExtensionWithMatcher",
            "extension_config": ext_authz,
            "xds_matcher": {"matcher_list": {"matchers": [matcher]}},
        },
    }
