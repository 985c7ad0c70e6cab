"""The request's headers."""

from __future__ import annotations

import pytest

from extauthz.lowering.wasm.runtime.layout import Cell
from tests.harness.machine import Machine

HEADERS: list[tuple[str, str | bytes]] = [
    (":method", "GET"),
    ("x-a", "1"),
    ("x-b", ""),
    ("x-c", "1"),
    ("x-c", "2"),
    ("x-d", b"\xff"),
    ("x-e", "é,x"),
]


@pytest.fixture
def machine():
    machine = Machine(headers=HEADERS)
    assert machine.call("read_headers")
    return machine


@pytest.mark.parametrize(
    ("name", "presence", "value"),
    [
        (":method", "true", "GET"),
        ("x-a", "true", "1"),
        ("x-b", "true", ""),
        ("x-c", "true", "error"),
        ("x-d", "true", "error"),
        ("x-e", "true", "é,x"),
        ("x-f", "false", "error"),
        ("x-", "false", "error"),
    ],
)
def test_a_header_is_read_when_it_is_one_text(machine, name, presence, value):
    """Absent, repeated, or no text: an error, but present."""
    assert machine.value(machine.call("has_header", machine.text(name))) == presence
    assert machine.value(machine.call("header_value", machine.text(name))) == value


def test_the_first_of_several_is_found(machine):
    """As it was sent."""
    assert machine.read_text(machine.call("raw_header", machine.text("x-c"))) == b"1"
    assert machine.call("raw_header", machine.text("x-f")) == 0


def test_without_headers_there_are_none():
    """An empty list is no failure."""
    machine = Machine()
    assert machine.call("read_headers")
    assert machine.word(Cell.HEADER_COUNT) == 0


def test_a_failing_host_is_noticed():
    """Then nothing is known of the request."""
    machine = Machine(headers=HEADERS)
    machine.failing.add("proxy_get_header_map_pairs")
    assert not machine.call("read_headers")
    assert machine.word(Cell.HEADER_COUNT) == 0


@pytest.mark.parametrize(
    "encoded",
    [b"", b"\x01", b"\x01\0\0\0", b"\xff\xff\xff\xff" + bytes(40), b"\x01\0\0\0" + b"\x05\0\0\0\x05\0\0\0ab\0c\0"],
)
def test_what_is_no_list_of_headers_is_noticed(encoded):
    """The lengths are believed only as far as there are octets."""
    machine = Machine()
    machine.encoded_headers = encoded
    assert not machine.call("read_headers")
