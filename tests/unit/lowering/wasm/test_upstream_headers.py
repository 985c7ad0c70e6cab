"""What an allowed request carries on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.module import ask, plan_of, said


def plan_with(template: str, **more: Any) -> Any:
    route = {"name": "r", "path": "/{id}", "authentication": "optional", "allow": [{"anyone": True}]}
    return plan_of([{**route, "upstream_headers": {"set": {"x-user": template}, **more}}])


@pytest.mark.parametrize(
    ("template", "claims", "value"),
    [
        ("{principal.subject}", {}, "alice"),
        ("{principal.subject}", None, None),
        ("u-{principal.subject}-{path.id}", {}, "u-alice-v"),
        ("u-{principal.subject}", None, None),
        ("{principal.provider}", {}, "corp"),
        ("{claims.a.b}", {"a": {"b": "x"}}, "x"),
        ("{claims.a.b}", {"a": "x"}, None),
        ("{claims.a}", {"a": ["x", "y"]}, "x,y"),
        ("{principal.roles}", {"roles": ["editor"]}, "editor,reader"),
        ("{principal.roles}", {}, None),
        ("fixed 100%", None, "fixed 100%"),
    ],
)
def test_a_header_is_set_or_removed(template, claims, value):
    """By what the template comes to; of an absent fact nothing is left, text around it included."""
    machine = ask(plan_with(template), "/v", claims=claims)
    assert said(machine) == "allow allowed r r.allow.0"
    assert machine.changed == [("x-user", value)]


@pytest.mark.parametrize("claims", [{"a": {}}, {"a": "é"}, {"a": ["x,y"]}, {"a": " x"}, {"a": "x\0"}])
def test_a_value_that_no_header_can_carry_denies(claims):
    """And no header is changed."""
    machine = ask(plan_with("{claims.a}"), "/v", claims=claims)
    assert said(machine) == "deny upstream_header_invalid r r.allow.0"
    assert machine.changed == []


def test_a_number_is_the_authorizers_to_write():
    """`1` and `1.0` are one number here."""
    machine = ask(plan_with("{claims.a}"), "/v", claims={"a": 1})
    assert said(machine) is None
    assert machine.changed == []


def test_headers_that_the_route_removes_are_removed():
    """Beside the set's own, which the filter in front removes from every request."""
    machine = ask(plan_with("{path.id}", remove=["cookie"]), "/v")
    assert sorted(machine.changed) == [("cookie", None), ("x-user", "v")]


@pytest.mark.parametrize("name", ["groups", "scopes"])
def test_what_is_not_written_is_left_where_there_is_any(name):
    """For nobody it is empty."""
    plan = plan_with(f"{{principal.{name}}}")
    assert [list(item.reasons) for item in plan.residual] == [[f"a module does not write principal.{name}"]]
    assert said(ask(plan, "/v", claims={})) is None
    assert said(ask(plan, "/v")) == "allow allowed r r.allow.0"
