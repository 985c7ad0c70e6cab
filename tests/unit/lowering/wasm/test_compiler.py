"""A policy set into a module."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import wasmtime

from extauthz.lowering.plan import Verdict
from extauthz.lowering.wasm.compiler import compile_module
from tests.harness.module import SET, ask, plan_of, said
from tests.policies import parse


def one(**fields: Any) -> list[dict[str, Any]]:
    return [{"name": "r", "path": "/", "authentication": "optional", "allow": [{"anyone": True}], **fields}]


LEFT = {"when": "request.query['q'] == '1'"}
HOLDS, FAILS, ERRS = {"when": "1 == 1"}, {"when": "1 == 2"}, {"when": "claims.nothing == 1"}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"deny": [FAILS]}, "allowed"),
        ({"deny": [HOLDS]}, "denied_by_policy"),
        ({"deny": [ERRS]}, "evaluation_error"),
        ({"deny": [LEFT]}, None),
        ({"deny": [LEFT, HOLDS]}, "denied_by_policy"),
        ({"deny": [LEFT, ERRS]}, "evaluation_error"),
        ({"require": [HOLDS]}, "allowed"),
        ({"require": [FAILS]}, "requirement_failed"),
        ({"require": [ERRS]}, "evaluation_error"),
        ({"require": [LEFT]}, None),
        ({"require": [LEFT, FAILS]}, "requirement_failed"),
        ({"allow": [FAILS, HOLDS]}, "allowed"),
        ({"allow": [ERRS, HOLDS]}, "allowed"),
        ({"allow": [LEFT, HOLDS]}, "allowed"),
        ({"allow": [LEFT, FAILS]}, None),
        ({"allow": [FAILS, ERRS]}, "evaluation_error"),
        ({"allow": [FAILS]}, "no_matching_allow"),
        ({"allow": [{"scope": "a", **HOLDS}]}, "insufficient_scope"),
        ({"allow": [{"scope": "a", **ERRS}]}, "no_matching_allow"),
        ({"allow": [{"scope": "a", **LEFT}]}, None),
    ],
    ids=str,
)
def test_the_law_is_the_authorizers(fields, expected):
    """Deny overrides, an error never widens, and what is left leaves the request unless the rest decides it."""
    decided = said(ask(plan_of(one(**fields)), claims={}))
    assert (decided and decided.split(" ")[1]) == expected


def test_nobody_is_asked_to_authenticate_where_that_is_optional():
    """Whatever else is lacking; a deny is a deny."""
    plan = plan_of(one(allow=[{"scope": "a"}], deny=[{"when": "request.method == 'PUT'"}]))
    assert said(ask(plan)) == "deny credential_missing r -"
    assert said(ask(plan, method="PUT")) == "deny denied_by_policy r r.deny.0"


def test_a_caller_of_another_routes_provider_is_left():
    """What a token is worth on a route that does not take it is the authorizer's to say."""
    corp = {**SET["providers"]["corp"], "may_assert": "all"}
    providers = {"corp": corp, "partner": {**corp, "issuer": "https://partner.example"}}
    routes = [{"name": "r", "path": "/", "providers": ["partner"], "allow": [{"authenticated": True}]}]
    plan = plan_of(routes, providers=providers, defaults={"providers": ["partner"]})
    assert said(ask(plan, claims={})) is None
    assert said(ask(plan, "/nowhere", claims={})) is None


def test_a_provider_that_envoy_does_not_verify_is_residual():
    """Its callers are never classified, so all that asks for one of them is left."""
    discovery = {**SET["providers"]["corp"], "jwks": {"discovery": True}}
    plan = plan_of(one(), providers={"corp": discovery})
    (item,) = plan.residual
    assert (item.kind, item.verdict) == ("provider", Verdict.RESIDUAL)
    assert plan.providers == ()


def test_the_module_is_valid_and_always_the_same():
    """Byte for byte, for the same set."""
    routes = [*one(), {"name": "s", "path": "/s/{x}", "allow": [{"role": ["reader", "editor"], "group": ["b", "a"]}]}]
    first, second = plan_of(routes), plan_of(routes)
    wasmtime.Module(wasmtime.Engine(), first.module)
    assert first.module == second.module
    assert {item.verdict for item in first.items} == {Verdict.WASM}


def test_a_large_set_is_compiled_in_time():
    """Far below a second for a thousand routes, and valid: rules that read alike are one function."""
    routes = [
        {
            "name": f"r{n}",
            "path": f"/api/v{n % 7}/things{n}/{{id}}",
            "allow": [{"role": "reader", "when": f"path.id == 'x{n}'"}],
        }
        for n in range(1000)
    ]
    policy_set = parse(json.dumps({**SET, "routes": routes})).policy_set
    started = time.process_time()
    plan = compile_module(policy_set)
    assert time.process_time() - started < 3
    decided = said(ask(plan, "/api/v6/things993/x993", claims={"roles": ["reader"]}))
    assert decided == "allow allowed r993 r993.allow.0"
    assert said(ask(plan, "/api/v6/things993/x994", claims={"roles": ["reader"]})) == "deny no_matching_allow r993 -"
