"""RBAC filters (`envoy.extensions.filters.http.rbac.v3.RBAC`) out of formulas.

Two kinds. A *classifying* filter has shadow rules: it stops nobody, and writes the name of the first policy that
matches into metadata, for the filters behind it. The *enforcing* filter has allow rules alone: what no policy matches
is denied, and since an error is no match, an error never lets anybody through.
"""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.lowering.document import JsonObject
from extauthz.lowering.expression import CEL_CONFIG, to_envoy
from extauthz.lowering.formula import Conjunction, Formula, conjunctions

_TYPE = "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"


def classifying_filter(name: str, prefix: str, policies: Mapping[str, Conjunction]) -> JsonObject:
    """A filter that writes `<prefix>shadow_effective_policy_id`, nothing when no policy matches."""
    config: JsonObject = {
        "@type": _TYPE,
        "shadow_rules": {"action": "ALLOW", "policies": {n: policy(c) for n, c in policies.items()}},
        "shadow_rules_stat_prefix": prefix,
    }
    return {"name": name, "typed_config": config}


def enforcing_filter(name: str, prefix: str, policies: Mapping[str, Conjunction]) -> JsonObject:
    """A filter that denies what no policy matches, and writes `<prefix>enforced_effective_policy_id`."""
    config: JsonObject = {
        "@type": _TYPE,
        "rules": {"action": "ALLOW", "policies": {n: policy(c) for n, c in policies.items()}},
        # Without a prefix of its own another RBAC filter's metadata could be taken for this one's.
        "rules_stat_prefix": prefix,
    }
    return {"name": name, "typed_config": config}


def one_policy_each(formulas: Mapping[str, Formula]) -> Mapping[str, Conjunction]:
    """Policies for formulas that are one conjunction each: more than one could not have the same name."""
    policies: dict[str, Conjunction] = {}
    for name, formula in formulas.items():
        (policies[name],) = conjunctions(formula)
    return policies


def policy(conjunction: Conjunction) -> JsonObject:
    """`envoy.config.rbac.v3.Policy`."""
    document: JsonObject = {
        "permissions": [{"any": True}],
        "principals": [conjunction.principal or {"any": True}],
    }
    if conjunction.condition is not None:
        document["condition"] = to_envoy(conjunction.condition)
        document["cel_config"] = CEL_CONFIG
    return document
