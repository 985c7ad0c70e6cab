"""What an allowed request carries on."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, NULL, TRUE
from tests.harness.machine import Machine, StoppedError, metadata


@pytest.fixture
def machine():
    return Machine()


def test_pieces_are_joined_from_the_left(machine):
    """The first that is no text decides, as the authorizer stops there."""
    text = machine.text("a")
    for left, right, expected in (
        (text, machine.text("b"), "ab"),
        (text, NULL, "null"),
        (NULL, ERROR, "null"),
        (ERROR, NULL, "error"),
        (LEFT, ERROR, "left"),
        (text, LEFT, "left"),
    ):
        assert machine.value(machine.call("joined", left, right)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "a"),
        ("a b", "a b"),
        ("~!", "~!"),
        ("", "error"),
        (" a", "error"),
        ("a ", "error"),
        ("a\tb", "error"),
        ("a\0", "error"),
        ("é", "error"),
        ("\x7f", "error"),
        (" ", "error"),
    ],
)
def test_a_header_is_visible_ascii(machine, text, expected):
    """With spaces only inside."""
    assert machine.value(machine.call("checked", machine.text(text))) == expected


CLAIMS: dict[str, Any] = {
    "text": "x,y",
    "empty": "",
    "yes": True,
    "number": 1,
    "null": None,
    "map": {"a": 1},
    "list": ["a", True, "b c"],
    "none": [],
    "comma": ["a,b"],
    "space": ["a "],
    "null_within": ["a", None],
    "number_within": ["a", 1],
    "number_and_comma": [1, "a,b"],
    "list_within": ["a", ["b"]],
}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("text", "x,y"),
        ("empty", "null"),
        ("yes", "true"),
        ("number", "left"),
        ("null", "null"),
        ("map", "error"),
        ("list", "a,true,b c"),
        ("none", "null"),
        ("comma", "error"),
        ("space", "error"),
        ("null_within", "error"),
        ("number_within", "left"),
        ("number_and_comma", "error"),
        ("list_within", "error"),
        ("nothing", "null"),
    ],
)
def test_a_claim_is_written_as_the_authorizer_writes_it(name, expected):
    """Absent and empty remove the header, what cannot be carried denies, and a number is the authorizer's to write."""
    machine = Machine(properties=metadata("anonymous", **CLAIMS))
    claims = machine.call("read_property", machine.text("metadata"))
    machine.store(140, claims)
    machine.call("read_claims", machine.text("claims_corp"))
    assert machine.value(machine.call("claim_piece", machine.texts([name]))) == expected


def test_roles_are_listed_while_they_are_held(machine):
    """One that errs denies, one that is left leaves, and an error beats that."""
    roles = [machine.text(name) for name in ("a", "b", "c")]

    def listed(*outcomes: int) -> object:
        whole = NULL
        for role, holds in zip(roles, outcomes, strict=False):
            whole = machine.call("with_role", whole, holds, role)
        return machine.value(whole)

    assert listed(TRUE, FALSE, TRUE) == "a,c"
    assert listed(FALSE, FALSE) == "null"
    assert listed(LEFT, TRUE) == "left"
    assert listed(TRUE, LEFT) == "left"
    assert listed(LEFT, ERROR) == "error"
    assert listed(ERROR, TRUE) == "error"


def test_headers_are_set_or_removed(machine):
    """All of their values."""
    machine.call("set_header", machine.text("x-a"), machine.text("1"))
    machine.call("set_header", machine.text("x-b"), NULL)
    machine.call("remove_header", machine.text("x-c"))
    assert machine.changed == [("x-a", "1"), ("x-b", None), ("x-c", None)]


@pytest.mark.parametrize("name", ["proxy_replace_header_map_value", "proxy_remove_header_map_value"])
def test_a_header_that_cannot_be_changed_stops_the_module(machine, name):
    """The client's own could pass for ours."""
    machine.failing.add(name)
    with pytest.raises(StoppedError):
        machine.call("set_header", machine.text("x"), machine.text("1") if "replace" in name else NULL)
