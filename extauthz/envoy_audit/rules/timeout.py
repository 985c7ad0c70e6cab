"""EAE305."""

from __future__ import annotations

import re
from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, text
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("ExtAuthz"):
        for path in (("grpc_service", "timeout"), ("http_service", "server_uri", "timeout")):
            place = get(each.config, *path)
            if place is not None and re.fullmatch(r"0+(\.0*)?s", text(each.config, *path)):
                yield Finding(place, "Envoy waits for the authorizer without end", "set a timeout, as in 0.5s")


RULE = Rule(
    code="EAE305",
    title="no end of waiting for the authorizer",
    severity=Severity.WARNING,
    why="""\
A timeout of 0s is none. Requests pile up behind an authorizer that does not answer, until Envoy has no memory
left.""",
    wrong=f"http_filters: [{{name: a, typed_config: {{{EXT_AUTHZ}, grpc_service: {{timeout: 0s}}}}}}]",
    right=f"http_filters: [{{name: a, typed_config: {{{EXT_AUTHZ}, grpc_service: {{timeout: 0.5s}}}}}}]",
    check=_check,
)
