"""EAE106."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, is_on
from extauthz.envoy_audit.rule import EXT_AUTHZ, RBAC, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    decided: list[str] = []
    for each in manager.filters:
        place = get(each.config, "clear_route_cache")
        if each.type == "ExtAuthz" and decided and place is not None and is_on(each.config, "clear_route_cache"):
            hint = "remove clear_route_cache, or put them after ext_authz"
            yield Finding(place, f"the route may change after {', '.join(decided)} decided about it", hint)
        if each.type in {"RBAC", "JwtAuthentication"}:
            decided.append(each.name)


RULE = Rule(
    code="EAE106",
    title="the route is chosen again after a filter has decided about it",
    severity=Severity.ERROR,
    why="""\
With clear_route_cache, headers that the authorizer sets choose the route anew. Filters before it decided
about another route, with that route's configuration: one was allowed, another is served.""",
    wrong=f"""\
http_filters:
  - {{name: rbac, typed_config: {{{RBAC}, rules: {{}}}}}}
  - {{name: ext_authz, typed_config: {{{EXT_AUTHZ}, clear_route_cache: true}}}}
""",
    right=f"""\
http_filters:
  - {{name: ext_authz, typed_config: {{{EXT_AUTHZ}, clear_route_cache: true}}}}
  - {{name: rbac, typed_config: {{{RBAC}, rules: {{}}}}}}
""",
    check=_check,
)
