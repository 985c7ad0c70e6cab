"""EAE203."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, below, get, text
from extauthz.envoy_audit.rule import RBAC, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("RBAC"):
        for node in below(each.config) if each.config is not None else ():
            header = get(node, "header")
            is_open = get(header, "prefix_match") is not None or get(header, "string_match", "prefix") is not None
            if header is not None and text(header, "name") == ":path" and not is_open:
                yield Finding(header, "`:path` has the query: /admin?x is not /admin", "use url_path")


RULE = Rule(
    code="EAE203",
    title="a rule about `:path`, which has the query in it",
    severity=Severity.ERROR,
    why="""\
The header `:path` is the request target with its query. A rule that compares it as a whole is passed by a
question mark.""",
    wrong=f"""\
http_filters:
  - name: rbac
    typed_config:
      {RBAC}
      rules:
        action: DENY
        policies: {{admin: {{permissions: [{{header: {{name: ":path", string_match: {{exact: /admin}}}}}}]}}}}
""",
    right=f"""\
http_filters:
  - name: rbac
    typed_config:
      {RBAC}
      rules: {{action: DENY, policies: {{admin: {{permissions: [{{url_path: {{path: {{exact: /admin}}}}}}]}}}}}}
""",
    check=_check,
)
