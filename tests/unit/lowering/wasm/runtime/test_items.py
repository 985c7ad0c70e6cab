"""`exists` and `all`. Their outcomes are compared with CEL's in the conditions' own tests."""

from __future__ import annotations

from typing import Any

import pytest

from extauthz.lowering.wasm import assembler as wasm
from extauthz.lowering.wasm.emitter import Emitter, constant
from extauthz.lowering.wasm.runtime.layout import Cell, Kind
from tests.harness.machine import Machine, metadata

CLAIMS: dict[str, Any] = {
    "texts": ["a", 1, None],
    "objects": [{"a": "x", "b": 1}, {}],
    "nul": ["a\0"],
    "nul_in_object": [{"a": "\0"}],
    "nul_in_key": [{"\0": "a"}],
    "list_within": [["a"]],
    "list_in_object": [{"a": ["b"]}],
    "object_in_object": [{"a": {"b": 1}}],
    "nul_behind_object_in_object": [{"a": {"b": 1}}, "\0"],
    "nul_in_list_in_object": [{"a": ["\0"]}],
    "object": {"a": "b"},
    "text": "a",
}
EXPECTED = {
    **dict.fromkeys(("texts", "objects"), "list"),
    **dict.fromkeys(("nul", "nul_in_object", "nul_in_key", "nul_behind_object_in_object", "nothing"), "error"),
    **dict.fromkeys(("list_within", "list_in_object", "object_in_object", "object"), "left"),
    "nul_in_list_in_object": "error",
    "text": "a",
}


def machine_with_claims(emitter: Emitter | None = None) -> Machine:
    machine = Machine(emitter, properties=metadata("anonymous", **CLAIMS))
    machine.store(Cell.METADATA, machine.call("read_property", machine.text("metadata")))
    assert machine.call("read_claims", machine.text("claims_corp"))
    return machine


@pytest.mark.parametrize("name", EXPECTED)
def test_items_are_asked_when_they_may_cross(name):
    """Text with NUL anywhere is an error; what is nested further is left."""
    machine = machine_with_claims()
    assert machine.value(machine.call("claimed_items", machine.texts([name]))) == EXPECTED[name]


def test_a_field_of_an_item_is_read():
    """Absent, or of an item that is no object: an error."""
    machine = machine_with_claims()
    items = machine.call("claimed_items", machine.texts(["objects"]))
    address, length = machine.word(items + 4), machine.word(items + 8)
    machine.store(Cell.ITEM, machine.call("next_element", address, address + length))
    assert machine.value(machine.call("item_field", machine.text("a"))) == "x"
    assert machine.value(machine.call("item_field", machine.text("c"))) == "error"
    assert machine.value(machine.call("has_item_field", machine.text("b"))) == "true"
    assert machine.value(machine.call("has_item_field", machine.text("c"))) == "false"
    machine.store(Cell.ITEM, machine.text("a"))
    assert machine.value(machine.call("item_field", machine.text("a"))) == "error"
    assert machine.value(machine.call("has_item_field", machine.text("a"))) == "error"


def test_the_item_of_the_loop_around_is_the_item_again():
    """A loop within a loop asks items of its own, and gives back the other's."""
    emitter = Emitter()
    question = emitter.function(constant(Cell.ITEM) + wasm.LOAD_32)
    place = emitter.module.table_index(question)
    machine = machine_with_claims(emitter)
    outer = machine.text("outer")
    machine.store(Cell.ITEM, outer)
    items = machine.call("claimed_items", machine.texts(["texts"]))
    assert machine.value(machine.call("ask_items", items, place, 0)) == "error"
    assert machine.word(Cell.ITEM) == outer
    a_map = machine.numbers(Kind.MAP, 0, 0)
    assert machine.value(machine.call("ask_items", a_map, place, 0)) == "left"
