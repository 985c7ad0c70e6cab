"""EAE301."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, text
from extauthz.envoy_audit.rule import Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    action = text(manager.node, "common_http_protocol_options", "headers_with_underscores_action")
    if action not in {"REJECT_REQUEST", "DROP_HEADER"}:
        hint = "set common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}"
        yield Finding(manager.node, "x_user passes, and many upstreams read it as x-user", hint)


RULE = Rule(
    code="EAE301",
    title="header names with underscores",
    severity=Severity.WARNING,
    why="""\
To upstreams that make variables of headers (CGI, WSGI, PHP), `x_user` and `x-user` are one name. What the
authorizer sets or removes under the one, a client sends under the other.""",
    wrong="{}",
    right="common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}",
    check=_check,
)
