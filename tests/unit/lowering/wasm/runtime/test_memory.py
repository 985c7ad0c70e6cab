"""Memory, octets and texts."""

from __future__ import annotations

import itertools

import pytest

from extauthz.lowering.wasm.runtime.layout import Cell
from tests.harness.machine import Machine, StoppedError

TEXTS = ["", "a", "ab", "abc", "b", "ba", "é", "ét", "\U0001f600", "\uffff", "a\0b", " "]


@pytest.fixture
def machine():
    return Machine()


def test_allocations_do_not_overlap(machine):
    """And are aligned for what is stored in them."""
    addresses = [machine.call("allocate", size) for size in (1, 8, 9, 0, 100_000, 16)]
    assert all(
        later - earlier >= size
        for earlier, later, size in zip(addresses, addresses[1:], (1, 8, 9, 0, 100_000), strict=False)
    )
    assert all(address % 8 == 0 for address in addresses)


def test_memory_grows_and_is_used_again(machine):
    """A large request leaves nothing behind for the next but room."""
    first = machine.call("allocate", 8)
    machine.store(machine.call("allocate", 5_000_000) + 4_999_992, 7)
    machine.store(Cell.ROUTE, 7)
    machine.call("reset")
    assert machine.call("allocate", 8) == first
    assert machine.word(Cell.ROUTE) == 0


@pytest.mark.parametrize("size", [2**31 - 1, 200 * 2**20, -1])
def test_a_module_without_memory_stops(machine, size):
    """It does not go on with an address that is not its own."""
    with pytest.raises(StoppedError):
        machine.call("allocate", size)


def test_texts_are_compared_octet_by_octet(machine):
    """Every text with every other: equality, and the order of code points."""
    for left, right in itertools.product(TEXTS, repeat=2):
        one, other = machine.text(left), machine.text(right)
        assert machine.call("texts_equal", one, other) == (left == right)
        order = machine.call(
            "compare", machine.word(one + 4), machine.word(one + 8), machine.word(other + 4), machine.word(other + 8)
        )
        assert (order < 0) == (left < right)
        assert (order == 0) == (left == right)


def test_a_sorted_table_finds_what_it_holds(machine):
    """And nothing else."""
    for size in (0, 1, 2, 7, 64):
        names = sorted(f"n{number:03}" for number in range(size))
        rows = [n for number, name in enumerate(names) for n in (machine.text(name), 100 + number)]
        table = machine.numbers(size, *rows)
        for name in [*names, "", "m", "n", "n0", "n000x", "z"]:
            expected = 100 + names.index(name) if name in names else 0
            text = machine.text(name)
            assert machine.call("find_sorted", table, machine.word(text + 4), machine.word(text + 8)) == expected


OCTETS = [
    bytes([*before, a, b])
    for before in ((), (0xE0,), (0xED,), (0xF0, 0x90), (0xF4, 0x8F))
    for a in range(0x70, 0x100, 5)
    for b in (0x41, 0x80, 0x9F, 0xA0, 0xBF, 0xC2)
]


def test_utf8_is_what_python_decodes(machine):
    """Surrogates and overlong forms are none; also at the very end."""
    singles = [
        character.encode("utf-8", "surrogatepass")
        for character in "\x7f\x80\u07ff\u0800\ud7ff\ud800\udfff\ue000\uffff\U00010000\U0010ffff"
    ]
    for octets in [
        *OCTETS,
        *singles,
        *(s[:-1] for s in singles),
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
    ]:
        try:
            octets.decode()
            valid = True
        except UnicodeDecodeError:
            valid = False
        assert machine.call("is_utf8", machine.put(octets), len(octets)) == valid, octets


@pytest.mark.parametrize(("octets", "comparable"), [(b"a", True), (b"", True), (b"a\0", False), (b"\xff", False)])
def test_text_that_is_compared_has_no_nul(machine, octets, comparable):
    """Nor octets that are no text."""
    assert machine.call("is_comparable", machine.text(octets)) == comparable
