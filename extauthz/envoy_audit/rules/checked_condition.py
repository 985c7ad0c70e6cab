"""EAE109."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, members
from extauthz.envoy_audit.rule import RBAC, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("RBAC"):
        for rules in ("rules", "shadow_rules"):
            for name, policy in members(each.config, rules, "policies").items():
                checked = get(policy, "checked_condition")
                if checked is not None:
                    yield Finding(checked, f"Envoy does not read this condition of {name!r}", "write it as `condition`")


RULE = Rule(
    code="EAE109",
    title="a checked_condition, which Envoy ignores",
    severity=Severity.ERROR,
    why="""\
Envoy 1.40 loads `checked_condition` and does not evaluate it: the policy matches as if it had no condition.""",
    wrong=f"""\
http_filters:
  - name: rbac
    typed_config: {{{RBAC}, rules: {{policies: {{own: {{checked_condition: {{}}, principals: [{{any: true}}]}}}}}}}}
""",
    right=f"""\
http_filters:
  - name: rbac
    typed_config: {{{RBAC}, rules: {{policies: {{own: {{condition: {{}}, principals: [{{any: true}}]}}}}}}}}
""",
    check=_check,
)
