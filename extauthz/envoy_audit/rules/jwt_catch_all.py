"""EAE401."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, items, text
from extauthz.envoy_audit.rule import JWT_AUTHN, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("JwtAuthentication"):
        rules = items(each.config, "rules")
        if get(each.config, "filter_state_rules") is None and not any(
            text(rule, "match", "prefix") == "/" for rule in rules
        ):
            hint = "end the rules with {match: {prefix: /}, requires: ...}"
            yield Finding(each.config or each.node, "paths that no rule names need no token", hint)


RULE = Rule(
    code="EAE401",
    title="jwt_authn without a rule for all other paths",
    severity=Severity.ERROR,
    why="""\
A path that matches none of the rules passes without a token, and so does every new path of the upstream.""",
    wrong=f"""\
http_filters: [{{name: jwt, typed_config: {{{JWT_AUTHN}, rules: [{{match: {{prefix: /api}}}}]}}}}]
""",
    right=f"""\
http_filters: [{{name: jwt, typed_config: {{{JWT_AUTHN}, rules: [{{match: {{prefix: /}}}}]}}}}]
""",
    check=_check,
)
