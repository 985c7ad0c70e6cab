"""What a module's memory holds at first."""

from __future__ import annotations

import pytest

from extauthz.lowering.wasm.data import Data
from extauthz.lowering.wasm.runtime.layout import DATA_BEGIN, Configured, Word
from tests.harness.machine import Machine


def test_the_same_constant_stands_once():
    """At an address that is a multiple of 8, behind the cells."""
    data = Data()
    addresses = [data.text("a"), data.text("b"), data.text(b"a"), data.numbers([1, 2]), data.numbers([1, 2])]
    assert addresses[0] == addresses[2] != addresses[1]
    assert addresses[3] == addresses[4]
    assert all(address % 8 == 0 and address >= DATA_BEGIN for address in addresses)


def test_a_table_is_sorted_by_octets():
    """As the runtime searches it."""
    data = Data()
    table = data.table({"é": 1, "z": 2, "a": 3})
    held = data.finished()
    numbers = [int.from_bytes(held[table + 4 * n : table + 4 * n + 4], "little") for n in range(7)]
    assert numbers == [3, data.text("a"), 3, data.text("z"), 2, data.text("é"), 1]


def test_cells_are_not_written_over_constants():
    """That would be a mistake in the layout."""
    data = Data()
    data.fill(Configured.BITS, [7])
    assert data.finished()[Configured.BITS] == 7
    with pytest.raises(AssertionError):
        data.fill(DATA_BEGIN - 4, [1, 2])


@pytest.mark.parametrize("word", Word)
def test_every_word_is_a_text(word):
    """Where the runtime looks for it."""
    assert Machine().read_text(word) == b"" if word is Word.EMPTY else Machine().read_text(word)
