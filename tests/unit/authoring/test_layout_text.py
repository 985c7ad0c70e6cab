from textwrap import dedent

import pytest

from extauthz.authoring.layout import read_layout
from extauthz.authoring.layout_text import WIDTH, layout_text


def laid_out(text: str) -> str:
    return layout_text(read_layout(dedent(text)))


def test_indentation_and_space():
    """Two spaces a level, lists below their key, one space after a colon."""
    text = """\
        a :   1
        b:
        -   x
        -
          - y
        c:
            d:    {e : 1,   f: [ 2,3 ]}   # why


        g: 1
        """
    assert laid_out(text) == dedent("""\
        a: 1
        b:
          - x
          - - y
        c:
          d: {e: 1, f: [2, 3]}  # why

        g: 1
        """)


def test_flow_that_does_not_fit_is_broken():
    """Its items stand below each other; those that fit stay on their lines."""
    long = "x" * 70
    assert laid_out(f"a: [{{b: {long}}}, {{c: {long}}}]\n") == f"a:\n  - {{b: {long}}}\n  - {{c: {long}}}\n"
    fits = "a: [" + "x" * (WIDTH - 5) + "]\n"
    assert laid_out(fits) == fits
    assert laid_out(fits.replace("[x", "[xx")).startswith("a:\n  - xx")


def test_flow_with_a_comment_is_broken():
    """A comment needs a line's end."""
    assert laid_out("a: {b: 1, # why\n  c: 2}\n") == "a:\n  b: 1  # why\n  c: 2\n"
    assert laid_out("a: [] # why\n") == "a: []  # why\n"


def test_flow_over_lines_that_fits_is_joined():
    """How it was broken does not matter."""
    assert laid_out("a: [\n  b,\n\n  c,\n]\n") == "a: [b, c]\n"


def test_comments_are_indented_with_what_they_are_about():
    """Wherever they stood."""
    text = "a:\n# about b\n      # more\n  b: 1\n  # the end of a\nc: 1\n"
    assert laid_out(text) == "a:\n  # about b\n  # more\n  b: 1\n  # the end of a\nc: 1\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- # one\n  - # two\n    a: 1\n", "# one\n# two\n- - a: 1\n"),
        ("- {a: 1, # why\n   b: 2}\n", "- a: 1  # why\n  b: 2\n"),
        ("- [ # why\n   # a\n   1]\n", "# why\n# a\n- - 1\n"),
    ],
)
def test_broken_items_begin_on_the_line_of_their_dash(text, expected):
    """Comments that cannot stay beside the dash go above it."""
    assert laid_out(text) == expected


def test_blank_lines():
    """One in a row, none at the beginning or the end."""
    assert laid_out("\n\na:\n\n  b: 1\n\n\n  c: 1\n\n") == "a:\n  b: 1\n\n  c: 1\n"


def test_texts_over_several_lines_are_indented_anew():
    """Folded texts keep their lines, without spaces at their ends, but for an escaped one."""
    text = "a: one  \n        two\nb: 'x\n\n  y'\nc: \"1\\\n      2\\ \n  3\"\n"
    assert laid_out(text) == "a: one\n  two\nb: 'x\n\n  y'\nc: \"1\\\n  2\\ \n  3\"\n"


def test_block_scalars_are_indented_anew():
    """The indentation is told only where the text begins with space."""
    assert laid_out("a: |3-\n   x\nb:\n     - >\n            y\n\n            z\n") == (
        "a: |-\n  x\nb:\n  - >\n    y\n\n    z\n"
    )
    assert laid_out("a: |1\n   x\n") == "a: |2\n    x\n"


def test_no_blank_line_becomes_part_of_a_block():
    """A block that keeps its end takes every blank line below it."""
    text = "a: |+\n  x\n\nb: 1\n"
    assert laid_out(text) == text


def test_anchors():
    """Beside the key; an alias as a key needs a space before its colon."""
    text = "a: &x\n  b: &y 1\nc: &z [*y, {*y : 1}]\nd:\n  - &w\n    e: 1\n  - *x\n"
    assert laid_out(text) == text
