"""EAE204."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import GUARDING, Manager, is_on
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    differs = any(scope.filter_type in GUARDING for scope in manager.scopes)
    if len(manager.virtual_hosts) < 2 or not differs:
        return
    strips_port = is_on(manager.node, "strip_any_host_port") or is_on(manager.node, "strip_matching_host_port")
    for is_set, form, name in (
        (strips_port, "admin.example:80", "strip_any_host_port"),
        (is_on(manager.node, "strip_trailing_host_dot"), "admin.example.", "strip_trailing_host_dot"),
    ):
        if not is_set:
            yield Finding(manager.node, f"{form} takes another virtual host than admin.example", f"set {name}: true")


RULE = Rule(
    code="EAE204",
    title="spellings of a host that lead to another virtual host, where authorization differs",
    severity=Severity.ERROR,
    why="""\
A host with a port or a final dot matches no virtual host of that name and falls to the one for `*`. Where
virtual hosts configure authorization differently, the client chooses.""",
    wrong=f"""\
http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]
route_config:
  virtual_hosts:
    - {{name: admin, domains: [admin.example]}}
    - name: rest
      domains: ["*"]
      typed_per_filter_config: {{ext_authz: {{check_settings: {{context_extensions: {{tier: low}}}}}}}}
""",
    right=f"""\
strip_any_host_port: true
strip_trailing_host_dot: true
http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]
route_config:
  virtual_hosts:
    - {{name: admin, domains: [admin.example]}}
    - name: rest
      domains: ["*"]
      typed_per_filter_config: {{ext_authz: {{check_settings: {{context_extensions: {{tier: low}}}}}}}}
""",
    check=_check,
)
