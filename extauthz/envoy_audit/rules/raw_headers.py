"""EAE304."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, is_on
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("ExtAuthz"):
        if get(each.config, "grpc_service") is not None and not is_on(each.config, "encode_raw_headers"):
            hint = "set encode_raw_headers: true"
            yield Finding(each.config or each.node, "the authorizer sees repeated headers joined by commas", hint)


RULE = Rule(
    code="EAE304",
    title="the authorizer does not see headers as they were sent",
    severity=Severity.WARNING,
    why="""\
Without encode_raw_headers, a header that was sent twice reaches the authorizer as one value with a comma, and
bytes that are no UTF-8 as `!`. The upstream gets them as they were sent, and may read the other value.""",
    wrong=f"http_filters: [{{name: a, typed_config: {{{EXT_AUTHZ}, grpc_service: {{}}}}}}]",
    right=f"http_filters: [{{name: a, typed_config: {{{EXT_AUTHZ}, grpc_service: {{}}, encode_raw_headers: true}}}}]",
    check=_check,
)
