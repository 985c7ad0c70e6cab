"""EAE105."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import AUTHORIZING, Manager, get, items, message_type, text
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    authorizes = bool(manager.of_type(*AUTHORIZING))
    for upgrade in items(manager.node, "upgrade_configs"):
        filters = items(upgrade, "filters")
        types = {message_type(get(each, "typed_config")) for each in filters}
        if authorizes and filters and not types & AUTHORIZING:
            kind = text(upgrade, "upgrade_type") or "upgrade"
            yield Finding(
                upgrade,
                f"{kind} requests go through filters of their own, none of which authorizes",
                "remove filters, or have the authorizing ones among them",
            )


RULE = Rule(
    code="EAE105",
    title="upgrades go through filters that do not authorize",
    severity=Severity.ERROR,
    why="""\
`upgrade_configs` with `filters` replaces the whole chain for requests that ask for an upgrade, as WebSockets
do: a header that any client can send leads around the authorizer.""",
    wrong=f"""\
http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]
upgrade_configs: [{{upgrade_type: websocket, filters: [{{name: router}}]}}]
""",
    right=f"""\
http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}]
upgrade_configs: [{{upgrade_type: websocket}}]
""",
    check=_check,
)
