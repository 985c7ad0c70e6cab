"""EAE107."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Filter, Manager, get, is_on, text
from extauthz.envoy_audit.rule import RBAC, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("ExtAuthz"):
        place = get(each.config, "shadow_mode")
        if place is not None and is_on(each.config, "shadow_mode"):
            hint = "remove shadow_mode when the trial is over"
            yield Finding(place, "the authorizer's denials are not enforced", hint)
    if any(map(_enforces, manager.filters)):
        return  # what the others find out may be what that one decides by
    for each in manager.of_type("RBAC"):
        message = f"{each.name} enforces nothing, and neither does another filter: every request passes"
        yield Finding(each.config or each.node, message, "write rules with the action ALLOW or DENY, or a matcher")


def _enforces(each: Filter) -> bool:
    if each.type == "RBAC":
        has_rules = get(each.config, "rules") is not None and text(each.config, "rules", "action") != "LOG"
        return has_rules or get(each.config, "matcher") is not None
    if each.type == "ExtAuthz":
        return not is_on(each.config, "shadow_mode")
    return each.type == "Wasm"  # it may


RULE = Rule(
    code="EAE107",
    title="decisions that are not enforced",
    severity=Severity.ERROR,
    why="""\
ext_authz in shadow mode never denies; an RBAC filter without `rules` and `matcher`, or with the action LOG,
lets every request through, however many shadow rules it has.""",
    wrong=f"http_filters: [{{name: rbac, typed_config: {{{RBAC}, shadow_rules: {{}}}}}}]",
    right=f"http_filters: [{{name: rbac, typed_config: {{{RBAC}, rules: {{}}}}}}]",
    check=_check,
)
