"""The request's dynamic metadata, as protobuf writes it."""

from __future__ import annotations

from random import Random

import pytest
from envoy.config.core.v3.base_pb2 import Metadata
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import ListValue, Struct

from extauthz.lowering.wasm.runtime.layout import Kind
from tests.harness.machine import Machine

FIELDS = {
    "text": "é" * 100,
    "empty": "",
    "number": 2.5,
    "zero": 0,
    "yes": True,
    "no": False,
    "nothing": None,
    "list": ["a", 1],
    "map": {"x": "y"},
    "": "of the empty key",
    "none": {},
    "never": [],
}
EXPECTED = {"text": "é" * 100, "empty": "", "yes": "true", "no": "false", "nothing": "null", "": "of the empty key"}
EXPECTED |= {"number": "number", "zero": "number", "list": "list", "map": "map", "none": "map", "never": "list"}


@pytest.fixture
def machine():
    return Machine()


def map_value(machine: Machine, octets: bytes) -> int:
    return machine.numbers(Kind.MAP, machine.put(octets), len(octets))


def test_every_kind_of_value_is_told(machine):
    """Out of a Struct with all of them; and a key that is not there is absent."""
    struct = map_value(machine, ParseDict(FIELDS, Struct()).SerializeToString())
    for key, expected in EXPECTED.items():
        assert machine.value(machine.call("find_field", struct, machine.text(key))) == expected, key
    for key in ("x", "tex", "text ", "TEXT"):
        assert machine.call("find_field", struct, machine.text(key)) == 0


def test_an_entry_of_the_metadata_is_found(machine):
    """Beside others, and beside the typed metadata."""
    metadata = Metadata()
    metadata.typed_filter_metadata["a"].value = b"x" * 300
    ParseDict({"filterMetadata": {"a": {"k": "1"}, "b": {"k": "2"}}}, metadata)
    octets = metadata.SerializeToString()
    address = machine.put(octets)
    for namespace, expected in (("a", "1"), ("b", "2")):
        found = machine.call("find_entry", address, address + len(octets), machine.text(namespace))
        machine.store(found, Kind.MAP)
        assert machine.value(machine.call("find_field", found, machine.text("k"))) == expected
    assert machine.call("find_entry", address, address + len(octets), machine.text("c")) == 0


def test_a_list_is_walked_element_by_element(machine):
    """To its end."""
    octets = ParseDict(["a", None, "b" * 200], ListValue()).SerializeToString()
    position = machine.put(octets)
    end, seen = position + len(octets), []
    while position < end:
        seen.append(machine.value(machine.call("next_element", position, end)))
        position = machine.word(100)  # the cursor
    assert seen == ["a", "null", "b" * 200]


def test_octets_that_are_no_protobuf_end_the_search(machine):
    """Cut anywhere, or random: no stop, no value that is not there, no octet beyond the end."""
    random = Random(1)
    whole = ParseDict(FIELDS, Struct()).SerializeToString()
    broken = [whole[:end] for end in range(len(whole))]
    broken += [bytes(random.choices([0x0A, 0x12, 0x1A, 0xFF, 0, 1, 2, 5, 65], k=12)) for _ in range(500)]
    for octets in broken:
        value = machine.call("find_field", map_value(machine, octets), machine.text("zero"))
        assert (
            value == 0 or machine.value(value) in {"number", "left", "null", "true", "false"} | set(EXPECTED) or value
        )


@pytest.mark.parametrize(
    ("octets", "number", "size"),
    [(b"\x00", 0, 1), (b"\x7f", 127, 1), (b"\x80\x01", 128, 2), (b"\xff\xff\xff\xff\x07", 2**31 - 1, 5)],
)
def test_numbers_of_any_length_are_read(machine, octets, number, size):
    """And the cursor stands behind them."""
    address = machine.put(octets + b"\xff")
    assert machine.call("read_varint", address, address + len(octets) + 1) == number
    assert machine.word(100) == address + size


@pytest.mark.parametrize("octets", [b"", b"\x80", b"\xff\xff\xff\xff\x08", b"\xff\xff\xff\xff\xff\x01"])
def test_a_number_that_does_not_end_or_is_too_large_is_none(machine, octets):
    """Whatever stands behind it."""
    address = machine.put(octets + b"\x01" * 8)
    assert machine.call("read_varint", address, address + len(octets)) == -1
