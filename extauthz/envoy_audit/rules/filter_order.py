"""EAE404."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import AUTHORIZING, Manager
from extauthz.envoy_audit.rule import JWT_AUTHN, RBAC, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    decided: list[str] = []
    for each in manager.filters:
        if each.type == "JwtAuthentication" and decided:
            hint = "put it before them"
            yield Finding(each.node, f"{', '.join(decided)} decided before the token was verified", hint)
        if each.type in AUTHORIZING:
            decided.append(each.name)


RULE = Rule(
    code="EAE404",
    title="tokens are verified after the decision",
    severity=Severity.ERROR,
    why="""\
Filters run in their order. A filter that decides by claims before jwt_authn has verified the token finds
none, and a condition about what is not there does not hold, or fails.""",
    wrong=f"""\
http_filters:
  - {{name: rbac, typed_config: {{{RBAC}, rules: {{}}}}}}
  - {{name: jwt, typed_config: {{{JWT_AUTHN}}}}}
""",
    right=f"""\
http_filters:
  - {{name: jwt, typed_config: {{{JWT_AUTHN}}}}}
  - {{name: rbac, typed_config: {{{RBAC}, rules: {{}}}}}}
""",
    check=_check,
)
