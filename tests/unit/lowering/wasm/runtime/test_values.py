"""CEL's operators over values."""

from __future__ import annotations

import itertools
import operator
import struct
from typing import Any

import pytest
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import ListValue, Struct

from extauthz.lowering.wasm.emitter import Emitter
from extauthz.lowering.wasm.runtime.layout import ERROR, FALSE, LEFT, NULL, TRUE, Cell, Kind
from tests.harness.machine import SINGLES, Machine

SCALARS = [1.0, 2.5, -1.0, 0.0, 2.0**53, "", "a", "ab", "é", True, False, None]


class Values:
    """A machine with constants."""

    def __init__(self) -> None:
        emitter = Emitter()
        self._data = emitter.data
        self.scalars = [self.constant(value) for value in SCALARS]
        self.lists = {text: self.list(value) for text, value in LISTS.items()}
        emitter.module.table_index(emitter.function(b"\0"))
        self.machine = Machine(emitter)

    def constant(self, value: object) -> int:
        match value:
            case bool():
                return TRUE if value else FALSE
            case None:
                return NULL
            case str():
                return self._data.text(value)
            case float():
                return self._data.number(value)
            case _:
                raise AssertionError(value)

    def list(self, value: list[object]) -> int:
        return self._data.list(ParseDict(value, ListValue()).SerializeToString())

    def call(self, name: str, *arguments: int) -> object:
        return self.machine.value(self.machine.call(name, *arguments))


LISTS: dict[str, list[object]] = {
    "empty": [],
    "a": ["a"],
    "ab": ["a", "b"],
    "ba": ["b", "a"],
    "mixed": ["a", 1, True, None],
    "nested": ["a", ["b"]],
}


@pytest.fixture(scope="module")
def values():
    return Values()


@pytest.mark.parametrize(("left", "right"), list(itertools.product(SINGLES, repeat=2)), ids=str)
def test_and_or_and_not_have_four_outcomes(values, left, right):
    """What is left is what makes no difference when it is decided; else both are tried, and must agree."""

    def plain_and(a: int, b: int) -> int:
        if FALSE in {a, b}:
            return FALSE
        return TRUE if a == b == TRUE else ERROR

    def plain_or(a: int, b: int) -> int:
        if TRUE in {a, b}:
            return TRUE
        return FALSE if a == b == FALSE else ERROR

    for name, plain in (("both", plain_and), ("either", plain_or)):
        ways = {plain(a, b) for a in _possible(left) for b in _possible(right)}
        assert values.machine.call(name, left, right) == (ways.pop() if len(ways) == 1 else LEFT)
    negations = {TRUE: FALSE, FALSE: TRUE, LEFT: LEFT}
    assert values.machine.call("negated", left) == negations.get(left, ERROR)


def _possible(value: int) -> list[int]:
    return [TRUE, FALSE, ERROR] if value == LEFT else [value]


def test_scalars_are_equal_when_they_are_the_same(values):
    """Unlike kinds are not equal, and no error: `1 == true` is false."""
    for (left, one), (right, other) in itertools.product(zip(SCALARS, values.scalars, strict=True), repeat=2):
        same = left == right and isinstance(left, bool) is isinstance(right, bool)
        assert values.call("equal", one, other) == ("true" if same else "false"), (left, right)


def test_order_is_of_one_kind(values):
    """Numbers, texts, BOOLs; anything else is an error."""
    scalars: list[tuple[Any, int]] = list(zip(SCALARS, values.scalars, strict=True))
    for (left, one), (right, other) in itertools.product(scalars, repeat=2):
        for or_equal, compare in ((0, operator.lt), (1, operator.le)):
            expected = "error" if type(left) is not type(right) or left is None else str(compare(left, right)).lower()
            assert values.call("less", one, other, or_equal) == expected, (left, right)


@pytest.mark.parametrize("name", ["equal", "less", "contained", "contains", "starts_with", "ends_with"])
def test_an_error_is_an_error_whatever_the_other_operand_is(values, name):
    """Also one that is left; which itself leaves any other."""
    more = (0,) if name == "less" else ()
    text = values.machine.text("a")
    for one, other, expected in (
        (ERROR, LEFT, "error"),
        (LEFT, ERROR, "error"),
        (LEFT, text, "left"),
        (text, LEFT, "left"),
    ):
        assert values.call(name, one, other, *more) == expected


def test_lists_are_equal_element_by_element(values):
    """Lists within lists are left, unless another element differs."""
    for one, other in itertools.product(LISTS, repeat=2):
        expected = str(LISTS[one] == LISTS[other]).lower()
        if one == other == "nested":
            expected = "left"
        assert values.call("equal", values.lists[one], values.lists[other]) == expected, (one, other)


def test_membership_is_of_lists(values):
    """In a text or a number it is an error, in a map it is left."""
    for name, elements in LISTS.items():
        for value, constant in zip(SCALARS, values.scalars, strict=True):
            found = any(value == e and isinstance(value, bool) is isinstance(e, bool) for e in elements)
            assert values.call("contained", constant, values.lists[name]) == str(found).lower(), (value, name)
    text = values.machine.text("a")
    assert values.call("contained", text, text) == "error"
    assert values.call("contained", text, values.machine.numbers(Kind.MAP, 0, 0)) == "left"


def test_texts_are_searched(values):
    """Every text in every other; what is no text is an error."""
    texts = ["", "a", "b", "ab", "abc", "bc", "é", "xé"]
    for text, part in itertools.product(texts, repeat=2):
        one, other = values.machine.text(text), values.machine.text(part)
        assert values.call("starts_with", one, other) == str(text.startswith(part)).lower()
        assert values.call("ends_with", one, other) == str(text.endswith(part)).lower()
        assert values.call("contains", one, other) == str(part in text).lower()
    assert values.call("contains", values.machine.text("a"), values.scalars[0]) == "error"


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 70_000])
def test_a_text_has_as_many_code_points(values, count):
    """Compared with the double of that number."""
    size = values.machine.call("size", values.machine.text("é" * count))
    number = values.machine.read(values.machine.word(size + 4), 8)
    machine = values.machine
    expected = machine.numbers(Kind.NUMBER, machine.put(_double(count)), 8)
    assert values.call("equal", size, expected) == "true", number


def _double(number: int) -> bytes:
    return struct.pack("<d", number)


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 2**20, 2**20 + 1, 2**21 - 1, 2**30 + 7, 2**31 - 1])
def test_a_whole_number_becomes_its_double(values, number):
    """Bit by bit."""
    machine = values.machine
    value = machine.call("make_number", number)
    assert machine.read(machine.word(value + 4), 8) == _double(number)


def test_size_is_of_texts_and_lists(values):
    """Of a number it is an error, of a map it is left."""
    for elements in values.lists:
        size = values.machine.call("size", values.lists[elements])
        assert values.machine.read(values.machine.word(size + 4), 8) == _double(len(LISTS[elements]))
    assert values.call("size", values.scalars[0]) == "error"
    assert values.call("size", values.machine.numbers(Kind.MAP, 0, 0)) == "left"


CLAIMS = {
    "text": "a",
    "nul": "a\0b",
    "number": 3,
    "null": None,
    "map": {"inner": "x", "deep": {"er": True}},
    "list": ["a", 1],
    "nul_within": ["a", "b\0"],
    "maps_within": [{"a": 1}],
}


@pytest.mark.parametrize(
    ("path", "value", "presence"),
    [
        ("text", "a", "true"),
        ("nul", "error", "true"),
        ("number", "number", "true"),
        ("null", "null", "true"),
        ("map", "left", "true"),
        ("map.inner", "x", "true"),
        ("map.deep.er", "true", "true"),
        ("map.nothing", "error", "false"),
        ("map.inner.x", "error", "error"),
        ("nothing", "error", "false"),
        ("nothing.x", "error", "error"),
        ("null.x", "error", "error"),
        ("list", "list", "true"),
        ("nul_within", "error", "true"),
        ("maps_within", "left", "true"),
    ],
)
def test_a_claim_is_read_as_the_authorizer_reads_it(values, path, value, presence):
    """Absent, unsafe, of the wrong type above: an error; an object is left."""
    machine = values.machine
    octets = ParseDict(CLAIMS, Struct()).SerializeToString()
    machine.store(Cell.CLAIMS, machine.numbers(Kind.MAP, machine.put(octets), len(octets)))
    assert values.call("claim_value", machine.texts(path.split("."))) == value
    assert values.call("has_claim", machine.texts(path.split("."))) == presence


def test_text_that_is_no_utf8_is_left(values):
    """The issuer may have written a lone surrogate, which is an error, or something that Envoy has changed."""
    assert values.call("crossing", values.machine.text(b"a\xed\xa0\x80")) == "left"
    assert values.call("crossing", values.machine.text(b"\xff\0")) == "error"
