"""A policy set as a module in wasmtime, asked as Envoy would ask it."""

from __future__ import annotations

import json
from typing import Any

from extauthz.lowering.wasm.compiler import WasmPlan, compile_module
from tests.harness.machine import Machine, metadata
from tests.policies import parse

SET: dict[str, Any] = {
    "version": 1,
    "name": "shop",
    "providers": {
        "corp": {
            "issuer": "https://issuer.example",
            "audiences": ["shop"],
            "algorithms": ["ES256"],
            "jwks": {"uri": "https://issuer.example/jwks.json"},
            "claims": {"roles": "roles", "groups": "groups", "scopes": "scope"},
        }
    },
    "roles": {"reader": {"permissions": ["orders:read"]}, "editor": {"inherits": ["reader"]}},
}
"""To which tests add routes."""


def plan_of(routes: list[dict[str, Any]], *, has_authorizer: bool = True, **fields: Any) -> WasmPlan:
    """The plan of a set of these routes."""
    document = json.dumps({**SET, **fields, "routes": routes})
    return compile_module(parse(document).policy_set, has_authorizer=has_authorizer)


def ask(
    plan: WasmPlan,
    path: str = "/",
    *,
    method: str = "GET",
    host: str = "shop.example",
    headers: tuple[tuple[str, str], ...] = (),
    caller: str | None = "anonymous",
    claims: dict[str, Any] | None = None,
    properties: dict[str, bytes] | None = None,
) -> Machine:
    """The machine after one request; `claims` make the caller one of the provider `corp`."""
    told = metadata(caller) if claims is None else metadata("provider_corp", **{"sub": "alice", **claims})
    sent = ((":method", method), (":path", path), (":authority", host), (":scheme", "http"), *headers)
    machine = Machine(module=plan.module, headers=sent, properties={**told, **(properties or {})})
    machine.paused = machine.request() == 1
    return machine


def said(machine: Machine) -> str | None:
    """What the module has decided; None when the request is left."""
    told = machine.written["extauthz"]
    return None if told.startswith("left ") else told
