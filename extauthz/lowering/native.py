"""Native enforcement as HTTP filters, in order: hygiene, tokens, caller, route, denial, decision, authorizer, headers.

The authorizer is asked unless the decision's metadata names a native policy: without metadata it is asked. It needs
none of what the filters in front of it found out, and reads the same request that they do.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from extauthz.lowering import callers, routing
from extauthz.lowering.callers import CALLER_PREFIX
from extauthz.lowering.denial import DENIAL_KEY, DENIAL_PREFIX, DenialClass, denial_name, local_replies
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import AUTHORIZER_CLUSTER, EXT_AUTHZ, check_filters
from extauthz.lowering.formula import ALWAYS, Conjunction, Formula, all_hold, negation
from extauthz.lowering.jwt_authn import filter_for
from extauthz.lowering.matchers import RBAC, metadata
from extauthz.lowering.plan import ALLOW_PREFIX, Plan
from extauthz.lowering.rbac import classifying_filter, enforcing_filter, one_policy_each
from extauthz.lowering.routing import ROUTE_PREFIX
from extauthz.lowering.upstream_headers import mutation_filter

DECISION_PREFIX = "extauthz_"
DECISION_KEY = f"{DECISION_PREFIX}enforced_effective_policy_id"
"""Under which the name of the policy that let a request through stands in the RBAC filters' metadata."""
DECISION_RESULT_KEY = f"{DECISION_PREFIX}enforced_engine_result"

CALL_POLICY = "call"
"""Lets a request through to the authorizer. Behind the native policies by name."""

NATIVE_LOG_FIELDS = {
    "native_caller": f"%DYNAMIC_METADATA({RBAC}:{CALLER_PREFIX}shadow_effective_policy_id)%",
    "native_denial": f"%DYNAMIC_METADATA({RBAC}:{DENIAL_KEY})%",
    "native_policy": f"%DYNAMIC_METADATA({RBAC}:{DECISION_KEY})%",
    "native_result": f"%DYNAMIC_METADATA({RBAC}:{DECISION_RESULT_KEY})%",
    "native_route": f"%DYNAMIC_METADATA({RBAC}:{ROUTE_PREFIX}shadow_effective_policy_id)%",
}
"""For the access log: which native policy let a request through, or `call`; where the result is `denied`, which denial
policy says how that was answered."""


class Delegated(StrEnum):
    """What is left to the authorizer."""

    DENIALS = "denials"
    """Everything that no native policy allows: each denial has a decision id and a line in the decision log."""
    RESIDUAL = "residual"
    """Only what Envoy cannot decide as the authorizer does."""
    NOTHING = "nothing"
    """There is no authorizer. What Envoy cannot decide is denied."""


def native_filters(
    plan: Plan, *, delegated: Delegated = Delegated.RESIDUAL, cluster: str = AUTHORIZER_CLUSTER
) -> list[JsonObject]:
    """The filters to put before the router, in this order; a cors filter, if there is one, goes before them.

    With `Delegated.NOTHING` the caller has checked that nothing of the plan is residual.
    """
    *hygiene, ext_authz = check_filters(plan.policy_set, cluster=cluster)
    if not plan.native_policies and delegated is not Delegated.NOTHING:
        return [*hygiene, ext_authz]
    denials = _denial_policies(plan, delegated)
    mutations = [
        mutation_filter(profile, plan.policy_prefix(number), DECISION_KEY)
        for number, profile in enumerate(plan.profiles)
    ]
    return [
        *hygiene,
        *([filter_for(plan.providers)] if plan.providers else []),
        classifying_filter("extauthz.caller", CALLER_PREFIX, one_policy_each(plan.caller_policies)),
        classifying_filter("extauthz.route", ROUTE_PREFIX, one_policy_each(plan.route_policies)),
        *([classifying_filter("extauthz.denial", DENIAL_PREFIX, denials)] if denials else []),
        enforcing_filter("extauthz.decision", DECISION_PREFIX, {**plan.native_policies, **_call(delegated)}),
        *([_unless_allowed(ext_authz)] if delegated is not Delegated.NOTHING else []),
        *(mutation for mutation in mutations if mutation is not None),
    ]


def native_local_replies(plan: Plan) -> JsonObject:
    """`local_reply_config` of the connection manager: how native denials are answered."""
    return local_replies(plan.policy_set, plan.challenged_scopes, DECISION_KEY)


def _denial_policies(plan: Plan, delegated: Delegated) -> Mapping[str, Conjunction]:
    match delegated:
        case Delegated.DENIALS:
            return {}
        case Delegated.RESIDUAL:
            return plan.denial_policies
        case Delegated.NOTHING:
            return {**plan.denial_policies, **one_policy_each(_answers_to_what_is_left(plan))}


def _answers_to_what_is_left(plan: Plan) -> Mapping[str, Formula]:
    """How the authorizer would mostly answer what Envoy cannot decide: by 400, by 401, else by 403."""
    looked_at = negation(routing.classified(plan.unauthenticated_routes))
    return {
        denial_name(DenialClass.BAD_REQUEST, "not_plain"): routing.classified([routing.NOT_PLAIN]),
        denial_name(DenialClass.TOKEN_INVALID, "unknown"): all_hold(looked_at, negation(callers.is_classified())),
        denial_name(DenialClass.LEFT, "any"): ALWAYS,
    }


def _call(delegated: Delegated) -> Mapping[str, Conjunction]:
    match delegated:
        case Delegated.DENIALS:
            return {CALL_POLICY: Conjunction(None, None)}
        case Delegated.RESIDUAL:
            return one_policy_each({CALL_POLICY: negation(metadata(RBAC, (DENIAL_KEY,), {"present_match": True}))})
        case Delegated.NOTHING:
            return {}


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
