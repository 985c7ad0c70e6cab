import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.policy_yaml.nodes import Fields, Scalar
from extauthz.languages.policy_yaml.positions import place_within
from tests.policies import read


def text_of(source: str) -> Scalar:
    root, found = read(source)
    assert isinstance(root, Fields), found
    node = root.entries["a"][1]
    assert isinstance(node, Scalar)
    return node


@pytest.mark.parametrize(
    "source",
    [
        "a: one X two\n",
        "a: 'it''s X'\n",
        'a: "\\x41\\u00e9\\t\\"X\\""\n',
        "a: |\n  one\n    X\n",
        "a: |-\n\n\n  one\n\n  two X\n",
        "a: |+\n  one X\n\n\n",
        "a: >\n  one\n  two\n\n  three X\n",
        "a: >-\n  one\n    more\n  X\n",
        "a: one\n   two\n\n   X three\n",
        "a: 'one  \n   two\n\n   X'\n",
        'a: "one\n   X"\nb: 1\n',
        "x: 1\na: é X\n",
        "a: |\r\n  one\r\n  X\r\n",
    ],
)
def test_a_character_of_the_value_is_found_in_the_source(source):
    """In every style, through quotes, escapes, folding and indentation."""
    node = text_of(source)
    offset = node.text.index("X")
    line = node.text.count("\n", 0, offset) + 1
    column = offset - node.text.rfind("\n", 0, offset)
    place = place_within(node, line, column)
    assert node.document.line(place.line)[place.column - 1] == "X"


@pytest.mark.parametrize("source", ['a: "one \\\n   X"\n', "b: &b X\na: *b\n", "a: |2\n    X\n", "a: &anchor X\n"])
def test_what_cannot_be_followed_is_placed_at_the_beginning(source):
    """Never at a wrong place."""
    node = text_of(source)
    assert place_within(node, 1, 1) == node.span


def test_places_beyond_the_value_stay_near_it():
    """The end of a line is where it ends; a line that there is not is the beginning."""
    node = text_of("a: one two\n")
    assert place_within(node, 1, 99).column == len("a: one two") + 1
    assert place_within(node, 7, 1) == node.span
    assert place_within(node, 0, 1) == node.span


_words = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@given(st.lists(_words, min_size=1, max_size=6), st.data())
def test_every_place_in_a_literal_block_is_exact(words, data):
    """A block of lines, each at its indentation."""
    node = text_of("a: |\n" + "".join(f"   {word}\n" for word in words))
    line = data.draw(st.integers(1, len(words)))
    column = data.draw(st.integers(1, len(words[line - 1])))
    place = place_within(node, line, column)
    assert (place.line, place.column) == (1 + line, 3 + column)
