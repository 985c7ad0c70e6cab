"""What each mode puts into a configuration."""

from __future__ import annotations

from extauthz.lowering.bootstrap import Enforcement, checking
from extauthz.lowering.jwt_authn import key_set_clusters
from extauthz.lowering.mode import Mode
from extauthz.lowering.native import NATIVE_LOG_FIELDS, Delegated, native_filters, native_local_replies
from extauthz.lowering.planner import make_plan
from extauthz.lowering.wasm.compiler import compile_module
from extauthz.lowering.wasm.filters import WASM_LOG_FIELDS, wasm_filters
from extauthz.model.policy import PolicySet


def enforcement_of(policy_set: PolicySet, mode: Mode) -> Enforcement:
    """The filters of the mode, and what they rely on."""
    if mode is Mode.CHECK:
        return checking(policy_set)
    if mode is Mode.WASM:
        return _by_module(policy_set)
    plan = make_plan(policy_set)
    is_native = mode is Mode.NATIVE
    return Enforcement(
        filters=native_filters(plan, delegated=Delegated.RESIDUAL if is_native else Delegated.DENIALS),
        log_fields=NATIVE_LOG_FIELDS,
        local_replies=native_local_replies(plan) if is_native else None,
        clusters=key_set_clusters(plan.providers) if plan.native_policies else [],
    )


def _by_module(policy_set: PolicySet) -> Enforcement:
    plan = compile_module(policy_set)
    return Enforcement(
        filters=wasm_filters(plan), log_fields=WASM_LOG_FIELDS, clusters=key_set_clusters(plan.providers)
    )
