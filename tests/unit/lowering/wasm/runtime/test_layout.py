"""Where things stand in memory."""

from __future__ import annotations

from extauthz.lowering.wasm.runtime.layout import (
    DATA_BEGIN,
    ERROR,
    FALSE,
    LEFT,
    NULL,
    RECORD_BYTES,
    TRUE,
    Cell,
    Configured,
    Kind,
    Option,
    Word,
)


def test_nothing_stands_in_another_things_place():
    """Values, cells, configuration, words, in no particular order."""
    records = [ERROR, LEFT, NULL, FALSE, TRUE, *Word]
    taken = [range(address, address + RECORD_BYTES) for address in records]
    taken += [range(cell, cell + 4) for cell in (*Cell, *Configured)]
    places = [place for octets in taken for place in octets]
    assert len(places) == len(set(places))
    assert min(places) > 0
    assert max(places) < DATA_BEGIN


def test_what_was_never_written_is_an_error():
    """Address 0, and a record of zeros."""
    assert int(Kind.ERROR) == 0


def test_options_are_bits_of_their_own():
    """Each may be on without another."""
    assert sum(Option) == 2 ** len(Option) - 1


def test_false_is_before_true():
    """As `<` of two BOOLs has it."""
    assert FALSE < TRUE
