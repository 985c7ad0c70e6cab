"""The engine that is a WebAssembly module: a real Envoy that runs it, with the service behind it for what it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject
from extauthz.lowering.wasm.compiler import WasmPlan, compile_module
from extauthz.lowering.wasm.filters import WASM_LOG_FIELDS, wasm_filters
from tests.harness.answer import Answer, differences
from tests.harness.front import EnvoyEngine
from tests.harness.site import Site

_OF_THE_AUTHORIZER = ("reason", "route", "policies", "body")
"""What a module says in its own words, and only of the rule that decided."""


class WasmEngine(EnvoyEngine):
    """A real Envoy with a module of its own for each site."""

    def fields(self, access_log: str) -> JsonObject:
        return connection_manager_fields(access_log=access_log, behind_local_proxy=True, log_fields=WASM_LOG_FIELDS)

    def filters(self, site: Site) -> list[JsonObject]:
        return wasm_filters(self.plan(site), cluster=site.name)

    def plan(self, site: Site) -> WasmPlan:
        return compile_module(site.policy_set)


def wasm_differences(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    """Everything in which the answer is not what a case expects of every engine."""
    if answer.wasm is None:
        return differences(expected, answer)
    effect, reason, route, rule = answer.wasm.split(" ")
    found = differences({name: value for name, value in expected.items() if name not in _OF_THE_AUTHORIZER}, answer)
    if answer.told is not None:
        found.append(f"the module has decided, and the authorizer was asked: {answer.told}")
    if (effect == "allow") is not (answer.upstream is not None):
        found.append(f"the module says {answer.wasm}, and the request {'passed' if answer.upstream else 'did not'}")
    if expected.get("reason") != reason:
        found.append(f"reason: expected {expected.get('reason')}, got {reason}")
    if "route" in expected and expected["route"] != (None if route == "-" else route):
        found.append(f"route: expected {expected['route']}, got {route}")
    rules = expected.get("policies")
    if rules and effect == "allow" and reason == "allowed" and rule not in rules:
        found.append(f"{rule} let it through, but the rules that allow are {rules}")
    return found
