"""Native enforcement as HTTP filters, in order: hygiene, tokens, caller, route, decision, authorizer, headers.

The authorizer is asked about every request unless the decision's metadata names a native policy: without metadata it is
asked. It needs none of what the filters in front of it found out, and reads the same request that they do.
"""

from __future__ import annotations

from extauthz.lowering.callers import CALLER_PREFIX
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import AUTHORIZER_CLUSTER, EXT_AUTHZ, check_filters
from extauthz.lowering.formula import Conjunction
from extauthz.lowering.jwt_authn import filter_for
from extauthz.lowering.matchers import RBAC
from extauthz.lowering.plan import ALLOW_PREFIX, Plan
from extauthz.lowering.rbac import classifying_filter, enforcing_filter
from extauthz.lowering.routing import ROUTE_PREFIX
from extauthz.lowering.upstream_headers import mutation_filter

DECISION_PREFIX = "extauthz_"
DECISION_KEY = f"{DECISION_PREFIX}enforced_effective_policy_id"
"""Under which the name of the policy that let a request through stands in the RBAC filters' metadata."""

CALL_POLICY = "call"
"""Lets through to the authorizer what no native policy allows. Behind all of those by name."""

NATIVE_LOG_FIELDS = {
    "native_caller": f"%DYNAMIC_METADATA({RBAC}:{CALLER_PREFIX}shadow_effective_policy_id)%",
    "native_policy": f"%DYNAMIC_METADATA({RBAC}:{DECISION_KEY})%",
    "native_route": f"%DYNAMIC_METADATA({RBAC}:{ROUTE_PREFIX}shadow_effective_policy_id)%",
}
"""For the access log: which native policy let a request through, or `call`."""


def native_filters(plan: Plan, *, cluster: str = AUTHORIZER_CLUSTER) -> list[JsonObject]:
    """The filters to put before the router, in this order; a cors filter, if there is one, goes before them."""
    *hygiene, ext_authz = check_filters(plan.policy_set, cluster=cluster)
    if not plan.native_policies:
        return [*hygiene, ext_authz]
    policies = {**plan.native_policies, CALL_POLICY: Conjunction(None, None)}
    mutations = [
        mutation_filter(profile, plan.policy_prefix(number), DECISION_KEY)
        for number, profile in enumerate(plan.profiles)
    ]
    return [
        *hygiene,
        *([filter_for(plan.providers)] if plan.providers else []),
        classifying_filter("extauthz.caller", CALLER_PREFIX, plan.caller_policies),
        classifying_filter("extauthz.route", ROUTE_PREFIX, plan.route_policies),
        enforcing_filter("extauthz.decision", DECISION_PREFIX, policies),
        _unless_allowed(ext_authz),
        *(mutation for mutation in mutations if mutation is not None),
    ]


def _unless_allowed(ext_authz: JsonObject) -> JsonObject:
    """Asked unless a native policy has allowed the request: inverted, so that it is asked without metadata, too."""
    assert ext_authz["name"] == EXT_AUTHZ  # noqa: S101 - it is the last of them
    is_allowed: JsonObject = {
        "filter": RBAC,
        "path": [{"key": DECISION_KEY}],
        "value": {"string_match": {"prefix": ALLOW_PREFIX}},
        "invert": True,
    }
    return {**ext_authz, "typed_config": {**ext_authz["typed_config"], "filter_enabled_metadata": is_allowed}}
