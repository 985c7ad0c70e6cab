from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.records import Key, Record, RecordOf
from extauthz.languages.policy_yaml.shapes import (
    AnyJson,
    ByKey,
    Choice,
    Flag,
    ListOf,
    MapOf,
    Number,
    OneOf,
    OneOrMany,
    Shape,
    Text,
    texts,
)
from tests.policies import read
from tests.shapes import CAT, found, reading


def test_null_is_refused_by_every_shape():
    """It could be read as nothing or as everything."""
    shapes: list[Shape[object]] = [
        *(Text(), Number((1,), Code.VERSION), Flag(), Flag(may_be_false=False), Choice(("a",)), AnyJson()),
        *(ListOf(Text()), OneOrMany(Text()), MapOf(Text(), Text()), CAT, OneOf(Text(), CAT), ByKey("x", CAT, CAT)),
    ]
    for shape in shapes:
        assert found(ListOf(shape), "[~]") == ["EAZ204"]


def test_texts():
    """Not blank, of their form, with values only where they are replaced."""
    assert found(Text(), "a b") == []
    assert found(Text(), "'  '") == ["EAZ204"]
    assert found(Text(), "5") == ["EAZ203"]
    assert found(Text(pattern="[a-z]+", form="lower case"), "aB") == ["EAZ206"]
    assert found(Text(), "'${X}'", X="a") == ["EAZ211"]
    assert found(Text(is_code=True), "'${X}'") == []
    assert found(Text(substitutes=True), "'${X}-${Y}'", X="a") == ["EAZ210"]


def test_values_are_replaced_before_the_form_is_checked():
    """And remembered, for they are part of what a set was read from."""
    root, _ = read("'${X}b${X}$X${x y}'")
    assert root is not None
    context = reading(X="a")
    text = Text(substitutes=True).read(root, context)
    assert text is not None
    assert (text.text, context.used_values) == ("aba$X${x y}", {"X"})
    assert found(Text(substitutes=True, pattern="[a-z]+", form="lower case"), "'${X}'", X="B") == ["EAZ206"]
    assert found(Text(substitutes=True), "'${X}'", X=" ") == ["EAZ204"]


def test_flags_and_choices():
    """Words are words, truth is truth."""
    assert found(Flag(), "false") == []
    assert found(Flag(may_be_false=False), "false") == ["EAZ205"]
    assert found(Flag(), "'true'") == ["EAZ203"]
    assert found(Choice(("a", "b")), "b") == []
    assert found(Choice(("a", "b")), "c") == ["EAZ205"]
    assert found(Choice(("true",)), "true") == ["EAZ203"]
    assert found(Number((1,), Code.VERSION), "true") == ["EAZ203"]
    assert found(Number((1,), Code.VERSION), "1.0") == ["EAZ203"]


def test_lists_hold_something():
    """A single value is a list only where that is said."""
    assert found(ListOf(Text()), "[a, b]") == []
    assert found(ListOf(Text()), "[]") == ["EAZ204"]
    assert found(ListOf(Text()), "a") == ["EAZ203"]
    assert found(OneOrMany(Text()), "a") == []
    assert found(OneOrMany(Text()), "[]") == ["EAZ204"]
    assert found(OneOrMany(Text()), "{}") == ["EAZ203"]


def test_maps_keep_the_names_of_values_that_cannot_be_read():
    """A role that is badly written is declared nonetheless."""
    root, _ = read("{a: 1, b: x}")
    assert root is not None
    entries = MapOf(Text(), Text()).read(root, reading())
    assert entries is not None
    assert [(entry.name, entry.value is None) for entry in entries] == [("a", True), ("b", False)]


def test_shapes_are_told_apart_by_kind_or_key():
    """So that a finding is about what the author meant."""
    assert found(OneOf(Choice(("none",), "a mapping"), CAT), "nune") == ["EAZ205"]
    assert found(OneOf(Choice(("none",), "a mapping"), CAT), "{name: a}") == []
    assert found(ByKey("name", CAT, RecordOf(lambda: Dog)), "{name: a, bark: 1}") == ["EAZ201"]
    assert found(ByKey("name", CAT, RecordOf(lambda: Dog)), "{bark: loud}") == []


class Dog(Record):
    """A dog."""

    bark = Key(Text(), "How it barks.", required=True)


def test_texts_of_nothing_are_none():
    """What was not written has no texts."""
    assert texts(None) == ()
