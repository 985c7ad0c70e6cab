"""One reading of a path: the authorizer's."""

from __future__ import annotations

import itertools
from random import Random

import pytest

from extauthz.errors import PathAmbiguousError
from extauthz.lowering.wasm.compiler import path_options
from extauthz.lowering.wasm.runtime.layout import Cell, Configured
from extauthz.model.policy import OnAmbiguity, PathSettings, TrailingSlash
from extauthz.pdp.canonical import PathReader
from tests.harness.machine import Machine

KEEP = OnAmbiguity.KEEP
SETTINGS = [
    PathSettings(),
    PathSettings(trailing_slash=TrailingSlash.DISTINCT),
    PathSettings(encoded_slash=KEEP),
    PathSettings(double_encoding=KEEP),
    PathSettings(repeated_slash=KEEP, dot_segments=KEEP, parameters=KEEP),
    PathSettings(KEEP, KEEP, KEEP, KEEP, KEEP, TrailingSlash.DISTINCT),
]
PIECES = [
    *("/", "/", "/", "a", "b", ".", "..", "%2e", "%2F", "%2f", "%5C", "%25", "%252F", "%2541", "%25zz", ";", "%3B"),
    *("%", "%4", "%zz", "%00", "%1f", "%7F", "%c3%a9", "%C3", "%A9", "%ED%A0%80", "%C0%80", "%F4%90%80%80", "%41"),
    *("?", "?q=/", "#", "\\", " ", "é", "\x01", "%20", ":", "~", "!", "*", "@", ",", "A"),
]
PATHS = ["", "/", "//", "///", "/a", "/a/", "/a//", "a", "?", "/?x", "*", "/%", "/%2", "/" + "a" * 300, "/a/" * 200]


def read(machine: Machine, target: bytes) -> tuple[str, ...] | None:
    machine.call("reset")
    if not machine.call("read_path", machine.text(target)):
        return None
    segments, count = machine.word(Cell.SEGMENTS), machine.word(Cell.SEGMENT_COUNT)
    places = [(machine.word(segments + 8 * n), machine.word(segments + 8 * n + 4)) for n in range(count)]
    return tuple(machine.read(address, length).decode() for address, length in places)


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_a_path_is_read_as_the_authorizer_reads_it(settings):
    """Thousands of paths, out of everything that two readers may read in two ways."""
    random = Random(1)
    made = ["".join(["/", *random.choices(PIECES, k=random.randint(0, 6))]) for _ in range(1500)]
    pairs = ["/" + "".join(pair) for pair in itertools.product(PIECES, repeat=2)]
    machine, reader = Machine(), PathReader(settings)
    machine.store(Configured.BITS, path_options(settings))
    for path in (*PATHS, *made, *pairs):
        target = path.encode()
        try:
            expected = reader.read(target.decode("utf-8", "surrogateescape"))
        except PathAmbiguousError:
            assert read(machine, target) is None, path
            continue
        assert read(machine, target) == expected, path
        assert machine.read_text(machine.word(Cell.PATH)).decode() == "/" + "/".join(expected), path


@pytest.mark.parametrize(
    ("path", "rests"),
    [("/a/b/c", ["a/b/c", "b/c", "c", ""]), ("/a/b/", ["a/b", "b", ""]), ("/", ["", ""]), ("/%41/x", ["A/x", "x", ""])],
)
def test_the_rest_of_a_path_is_joined_by_slashes(path, rests):
    """Decoded, without the final slash."""
    machine = Machine()
    assert read(machine, path.encode()) is not None
    assert [machine.value(machine.call("rest_from", n)) for n in range(len(rests))] == rests
