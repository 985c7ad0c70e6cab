"""EAE302."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, is_on
from extauthz.envoy_audit.rule import Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    if not is_on(manager.node, "use_remote_address"):
        hint = "set use_remote_address: true, unless another Envoy stands in front"
        yield Finding(manager.node, "clients write X-Forwarded-For and Envoy's own headers themselves", hint)


RULE = Rule(
    code="EAE302",
    title="what clients say about their address is believed",
    severity=Severity.WARNING,
    why="""\
At the edge, `use_remote_address` makes Envoy write X-Forwarded-For from the connection and remove its own
internal headers (x-envoy-*) from requests. Without it, both are the client's (CVE-2023-27487,
CVE-2024-45806).""",
    wrong="{}",
    right="use_remote_address: true",
    check=_check,
)
