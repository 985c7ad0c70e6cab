from extauthz.authoring.layout import BLANK, Block, Branch, Entry, Leaf, read_layout


def branch(entry: Entry) -> Branch:
    """The collection that is an entry's value."""
    assert isinstance(entry.value, Branch)
    return entry.value


def source(entry: Entry) -> str:
    """The scalar that is."""
    assert isinstance(entry.value, Leaf)
    return entry.value.source


def block(entry: Entry) -> Block:
    """The block scalar that is."""
    assert isinstance(entry.value, Leaf)
    assert entry.value.block is not None
    return entry.value.block


def entries(text: str) -> list[Entry]:
    """The entries of a document's collection."""
    return branch(read_layout(text).root).entries


def test_scalars_stay_as_written():
    """Quotes, escapes and number forms are the author's."""
    text = "a: \"x\\n\"\nb: 'it''s'\nc: 0x1F\nd:\ne: plain # text\n"
    assert [source(entry) for entry in entries(text)] == ['"x\\n"', "'it''s'", "0x1F", "", "plain"]


def test_comments_belong_to_what_they_stand_beside_or_before():
    """And a blank line is kept among them."""
    first, second = entries("# head\na: 1  # one\n\n# about b\nb: [x]  # two\n")
    assert (first.lead, first.tail) == ([], "# one")
    assert (second.lead, second.tail) == ([BLANK, "# about b"], "# two")
    assert read_layout("# head\na: 1\n").root.lead == ["# head"]


def test_comments_between_key_and_value_stay_with_the_key():
    """Before a scalar they go above it, before a block to its first entry."""
    scalar, below = entries("a: # beside\n  # between\n  1\nb:\n  # inside\n  c: 1\n")
    assert (scalar.lead, scalar.tail, scalar.value) == (["# between"], "# beside", Leaf("1"))
    assert branch(below).entries[0].lead == ["# inside"]


def test_comments_that_are_indented_deeper_end_what_came_before():
    """They stay in the innermost collection that they are level with."""
    first, second = entries("a:\n  - b: 1\n    # of b\n  # of the list\n# of c\nc: 2\n")
    assert branch(branch(first).entries[0]).foot == ["# of b"]
    assert branch(first).foot == ["# of the list"]
    assert second.lead == ["# of c"]


def test_comments_at_the_end_are_the_documents():
    """Nothing follows them."""
    assert branch(read_layout("a: 1\n\n# end\n").root).foot == [BLANK, "# end"]
    assert read_layout("{a: 1}\n# end\n").foot == ["# end"]


def test_comments_in_flow_collections():
    """Beside an item, above one, before the end."""
    (entry,) = entries("a: [ # open\n  b, # beside\n  # above\n  c\n  # end\n]\n")
    assert entry.tail == "# open"
    assert [(item.lead, item.tail) for item in branch(entry).entries] == [([], "# beside"), (["# above"], "")]
    assert branch(entry).foot == ["# end"]


def test_comment_beside_a_dash_goes_above_the_item():
    """There is nothing else that it could be about."""
    (entry,) = entries("a:\n  - # about\n    b: 1\n")
    assert branch(entry).entries[0].lead == ["# about"]


def test_block_scalars_lose_their_indentation():
    """Header and text are read by the rules of block scalars; blank lines after them are the file's."""
    first, second, third = entries("a: |2-  # why\n     x\n\n   y\n\nb: >+\n z\n\nc: 1\n")
    assert block(first) == Block("|", "-", "# why", ["   x", "", " y"])
    assert (second.lead, block(second).lines) == ([BLANK], ["z", ""])
    assert third.lead == []


def test_block_without_a_final_break_is_stripped():
    """Its text does not end with a break, which the file will have."""
    (entry,) = entries("a: |\n  x")
    assert (block(entry).chomping, block(entry).lines) == ("-", ["x"])


def test_anchors_and_aliases():
    """They are told apart from what they name."""
    layout = read_layout("a: &x # beside\n  b: 1\nc: &y 2\nd: *x\n")
    first, second, third = branch(layout.root).entries
    assert layout.has_anchors
    assert (branch(first).anchor, first.tail, branch(first).column) == ("&x", "# beside", 2)
    assert (second.value.anchor, source(second), source(third)) == ("&y", "2", "*x")
    assert not read_layout("a: 1\n").has_anchors


def test_keys_stand_on_one_line():
    """A key over several lines is written as one quoted text."""
    (entry,) = entries('? "a\n  b"\n: 1\n')
    assert entry.key is not None
    assert entry.key.source == '"a b"'


def test_directives_and_markers_say_nothing():
    """A document may begin with them."""
    layout = read_layout("# one\n%YAML 1.2\n--- # two\na: 1\n...\n")
    assert layout.root.lead == ["# one", "# two"]
