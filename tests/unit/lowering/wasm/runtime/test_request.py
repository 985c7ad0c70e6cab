"""The order of a decision."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.machine import Machine, StoppedError, metadata
from tests.harness.module import ask, plan_of, said

ROUTES: list[dict[str, Any]] = [
    {"name": "open", "path": "/open", "methods": ["GET"], "public": True},
    {"name": "orders", "path": "/orders", "methods": ["GET", "POST"], "allow": [{"role": "reader"}]},
    {"name": "put", "path": "/orders", "methods": ["PUT"], "public": True, "cors": {"origins": ["https://a.example"]}},
    {
        "name": "any",
        "path": "/any/**",
        "authentication": "optional",
        "allow": [{"authenticated": True}],
        "cors": {"origins": ["*"]},
    },
]


@pytest.fixture(scope="module")
def plan():
    return plan_of(ROUTES)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"path": "/open"}, "allow allowed open open.public"),
        ({"path": "/open", "method": "HEAD"}, "allow allowed open open.public"),
        ({"path": "/open", "caller": None}, "allow allowed open open.public"),
        ({"path": "/open", "method": "POST"}, "deny credential_missing - -"),
        ({"path": "/open", "method": "POST", "claims": {}}, "deny no_route - -"),
        ({"path": "/nowhere"}, "deny credential_missing - -"),
        ({"path": "/nowhere", "claims": {}}, "deny no_route - -"),
        ({"path": "/nowhere", "caller": None}, None),
        ({"path": "/orders"}, "deny credential_missing orders -"),
        ({"path": "/orders", "caller": None}, None),
        ({"path": "/orders", "claims": {"roles": "editor"}}, "allow allowed orders orders.allow.0"),
        ({"path": "/orders", "claims": {"roles": []}}, "deny no_matching_allow orders -"),
        ({"path": "/any"}, "deny credential_missing any -"),
        ({"path": "/any/x", "method": "CONNECT", "claims": {}}, "deny no_route - -"),
        ({"path": "/any/x", "method": "TRACE"}, "deny credential_missing - -"),
        ({"path": "/open;x"}, "deny path_ambiguous - -"),
        ({"path": "*"}, "deny path_ambiguous - -"),
        ({"path": "/open", "host": "a,b"}, "deny host_invalid - -"),
    ],
    ids=str,
)
def test_requests_are_decided_in_order(plan, asked, expected):
    """400, the route, 401, 403 or allow; what the caller's credential is worth may be left."""
    machine = ask(plan, **asked)
    assert said(machine) == expected
    assert machine.paused is (machine.response is not None) is (expected is not None and expected.startswith("deny"))


def preflight(origin: str, method: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("origin", origin), ("access-control-request-method", method), *more)


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/orders", preflight("https://a.example", "PUT"), "allow preflight put -"),
        ("/orders", preflight("https://b.example", "PUT"), "deny credential_missing - -"),
        ("/orders", preflight("https://a.example", "GET"), "deny credential_missing - -"),
        ("/orders", preflight("https://a.example", "PUT", ("origin", "x")), "deny credential_missing - -"),
        ("/orders", preflight("https://a.example", "PUT")[:1], "deny credential_missing - -"),
        ("/any", preflight("https://b.example", "DELETE"), "allow preflight any -"),
        ("/any", preflight("https://b.example", "TRACE"), "deny credential_missing any -"),
    ],
    ids=str,
)
def test_a_preflight_passes_where_its_origin_is_listed(plan, path, headers, expected):
    """For a route that has the method; any other OPTIONS is an ordinary request."""
    assert said(ask(plan, path, method="OPTIONS", headers=headers)) == expected
    assert said(ask(plan, path, method="options", headers=headers)) != "allow preflight put -"


def test_without_an_authorizer_what_is_left_is_denied():
    """By 401 where the credential is in doubt, else by 403."""
    left = {"name": "left", "path": "/left", "authentication": "none", "allow": [{"when": "request.query['q'] == '1'"}]}
    plan = plan_of([*ROUTES, left], has_authorizer=False)
    for path, caller, status in (("/orders", None, 401), ("/nowhere", None, 401), ("/left", "anonymous", 403)):
        machine = ask(plan, path, caller=caller)
        assert machine.response is not None
        assert machine.response[0] == status
        assert machine.paused


def machine_for(plan) -> Machine:
    sent = ((":method", "GET"), (":path", "/open"), (":authority", "shop.example"))
    return Machine(module=plan.module, headers=sent, properties=metadata("anonymous"))


def test_a_host_that_fails_lets_nothing_through(plan):
    """Each of its functions: the request is left, or the module stops."""
    machine = machine_for(plan)
    machine.failing.add("proxy_get_header_map_pairs")
    assert machine.request() == 0
    assert machine.written == {"extauthz": "left undecided - -"}
    for path in (b"/open", b"/orders"):
        machine = machine_for(plan)
        machine.headers[1] = (":path", path)
        machine.properties = {}
        machine.failing.add("proxy_set_property")
        with pytest.raises(StoppedError):
            machine.request()


def test_what_was_told_before_does_not_count(plan):
    """A request that passes the filters again, after an internal redirect, and is left this time."""
    machine = machine_for(plan)
    machine.request()
    assert machine.written["extauthz"].startswith("allow ")
    machine.headers[1], machine.properties = (":path", b"/orders"), {}
    assert machine.request() == 0
    assert machine.written["extauthz"] == "left undecided orders -"


def test_requests_do_not_see_each_other(plan):
    """One machine serves many: neither memory nor the caller is kept."""
    machine = Machine(module=plan.module)
    asked: tuple[tuple[dict[str, Any] | None, str, str], ...] = (
        ({"roles": ["reader"]}, "/orders", "allow allowed orders orders.allow.0"),
        (None, "/orders", "deny credential_missing orders -"),
        (None, "/nowhere", "deny credential_missing - -"),
    )
    for claims, path, expected in asked:
        machine.headers = [(":method", b"GET"), (":path", path.encode()), (":authority", b"h")]
        machine.properties = metadata("anonymous") if claims is None else metadata("provider_corp", sub="a", **claims)
        machine.request()
        assert machine.written["extauthz"] == expected


def test_the_interface_is_complete(plan):
    """What Envoy calls besides is there, and agrees."""
    machine = machine_for(plan)
    for name, arguments, expected in (
        ("proxy_abi_version_0_2_1", (), 0),
        ("proxy_on_context_create", (1, 0), 0),
        ("proxy_on_vm_start", (1, 0), 1),
        ("proxy_on_configure", (1, 0), 1),
        ("proxy_on_done", (1,), 1),
        ("proxy_on_log", (1,), 0),
        ("proxy_on_delete", (1,), 0),
    ):
        assert machine.call(name, *arguments) == expected


APP = ("origin", "https://a.example")


@pytest.mark.parametrize(
    ("path", "headers", "readable_by"),
    [
        ("/listed", (APP,), "https://a.example"),
        ("/listed", (("origin", "https://b.example"),), None),
        ("/listed", (("origin", "https://a.exampleX"),), None),
        ("/listed", (("origin", "*"),), None),
        ("/listed", (APP, APP), None),
        ("/listed", (), None),
        ("/any", (("origin", "https://b.example"),), "*"),
        ("/any", (), "*"),
        ("/orders", (APP,), None),
        ("/nowhere", (APP,), None),
    ],
    ids=str,
)
def test_a_denial_is_readable_where_the_route_lists_the_origin(path, headers, readable_by):
    """And says so to no cache's other readers."""
    listed = {"name": "listed", "path": "/listed", "allow": [{"role": "reader"}], "cors": {"origins": [APP[1]]}}
    machine = ask(plan_of([*ROUTES, listed]), path, headers=headers)
    assert machine.response is not None
    told = machine.response[3]
    assert (machine.response[0], told.get("access-control-allow-origin")) == (401, readable_by)
    assert told.get("vary") == (None if readable_by in {None, "*"} else "origin")
