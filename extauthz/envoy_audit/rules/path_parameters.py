"""EAE202."""

from __future__ import annotations

from collections.abc import Iterator

from extauthz.envoy_audit.manager import Manager, get, is_on
from extauthz.envoy_audit.rule import Finding, Rule
from extauthz.model.source import Severity


def _check(manager: Manager) -> Iterator[Finding]:
    name = "ignore_path_parameters_in_path_matching"
    place = get(manager.node, "route_config", name)
    if place is not None and is_on(manager.node, "route_config", name):
        yield Finding(place, "/admin;x=1 is routed as /admin, and rules read it as another path", f"remove {name}")


RULE = Rule(
    code="EAE202",
    title="path parameters that routes ignore and rules do not",
    severity=Severity.ERROR,
    why="""\
With ignore_path_parameters_in_path_matching, `/admin;x=1` takes the route of `/admin`; rules that compare the
path see another one (CVE-2026-73553).""",
    wrong="route_config: {ignore_path_parameters_in_path_matching: true}",
    right="route_config: {name: all}",
    check=_check,
)
