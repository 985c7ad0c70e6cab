"""EAE104."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import GUARDING, Manager, get, is_on, message_type
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.filters:
        place = get(each.node, "disabled")
        if place is not None and is_on(each.node, "disabled") and each.type in GUARDING:
            yield Finding(place, f"{each.name} is disabled where no route enables it", "remove disabled")
    for scope in manager.scopes:
        is_off = is_on(scope.node, "disabled") or is_on(scope.node, "config", "disabled")
        # A per-route RBAC without rules is one that allows everything.
        is_empty = message_type(scope.node) == "RBACPerRoute" and get(scope.node, "rbac") is None
        if (is_off or is_empty) and scope.filter_type in GUARDING:
            hint = "remove it, and let the policy say that anyone may pass (public: true)"
            yield Finding(scope.node, f"{scope.filter_name} is switched off for {scope.label!r}", hint)


RULE = Rule(
    code="EAE104",
    title="authorization is switched off for a route or a virtual host",
    severity=Severity.ERROR,
    why="""\
Nobody is asked about these requests, and no decision is logged; an internal redirect can lead there, too. A
policy that says `public: true` does the same where it can be read, tested and audited.""",
    wrong=f"""\
http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]
route_config:
  virtual_hosts:
    - name: all
      domains: ["*"]
      routes:
        - match: {{prefix: /static}}
          typed_per_filter_config:
            ext_authz:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute
              disabled: true
""",
    right=f"""\
http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]
route_config: {{virtual_hosts: [{{name: all, domains: ["*"], routes: [{{match: {{prefix: /static}}}}]}}]}}
""",
    check=_check,
)
