"""EAE108."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, members, text
from extauthz.envoy_audit.rule import RBAC, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("RBAC"):
        if text(each.config, "rules", "action") != "DENY":
            continue
        for name, policy in members(each.config, "rules", "policies").items():
            condition = get(policy, "condition")
            if condition is not None:
                hint = "write it as an ALLOW of its negation, in an RBAC filter of its own"
                yield Finding(condition, f"a condition of {name!r} that fails does not deny", hint)


RULE = Rule(
    code="EAE108",
    title="a DENY by a CEL condition, which lets requests through when the condition fails",
    severity=Severity.ERROR,
    why="""\
A CEL expression that fails is no match. A claim that is missing, a request without a token, a value of
another type: each makes the condition fail, and the DENY does not apply. Guards with has() do not help where
there is no token at all.""",
    wrong=f"""\
http_filters:
  - name: rbac
    typed_config:
      {RBAC}
      rules: {{action: DENY, policies: {{suspended: {{condition: {{}}, principals: [{{any: true}}]}}}}}}
""",
    right=f"""\
http_filters:
  - name: rbac
    typed_config:
      {RBAC}
      rules: {{action: ALLOW, policies: {{not_suspended: {{condition: {{}}, principals: [{{any: true}}]}}}}}}
""",
    check=_check,
)
