"""EAE102."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, is_on
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    for each in manager.of_type("ExtAuthz"):
        place = get(each.config, "failure_mode_allow")
        if place is not None and is_on(each.config, "failure_mode_allow"):
            yield Finding(place, "requests pass when the authorizer does not answer", "remove failure_mode_allow")


RULE = Rule(
    code="EAE102",
    title="failure_mode_allow: requests pass when the authorizer does not answer",
    severity=Severity.ERROR,
    why="""\
A timeout, a refused connection or a gRPC error then allows the request (CVE-2023-27488 let clients cause
one). Who can make the authorizer slow can do everything.""",
    wrong=f"http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}, failure_mode_allow: true}}}}]",
    right=f"http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]",
    check=_check,
)
