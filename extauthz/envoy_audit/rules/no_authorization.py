"""EAE101."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import AUTHORIZING, Manager, get
from extauthz.envoy_audit.rule import EXT_AUTHZ, Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    # A filter whose configuration comes by discovery, or a WebAssembly module, may be the one.
    if not any(
        each.type in AUTHORIZING | {"Wasm"} or get(each.node, "config_discovery") is not None
        for each in manager.filters
    ):
        yield Finding(manager.node, "no filter authorizes requests here", "add ext_authz, or rbac, before the router")


RULE = Rule(
    code="EAE101",
    title="an HttpConnectionManager without a filter that authorizes",
    severity=Severity.ERROR,
    why="""\
Whatever reaches this listener reaches the upstreams. Envoy authorizes nothing by itself.""",
    wrong="http_filters: [{name: router}]",
    right=f"http_filters: [{{name: ext_authz, typed_config: {{{EXT_AUTHZ}}}}}, {{name: router}}]",
    check=_check,
)
