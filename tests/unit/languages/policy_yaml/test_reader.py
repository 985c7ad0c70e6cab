import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extauthz.languages.policy_yaml.nodes import Fields, Items, Scalar, plain_value
from extauthz.languages.policy_yaml.reader import MAX_ALIASES, MAX_DEPTH, MAX_EXPANDED
from tests.policies import read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("-7", -7),
        ("+7", 7),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("1e", "1e"),
        (".", "."),
        ("-", "-"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRUE", "tRUE"),
        ("~", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("'true'", "true"),
        ('"1"', "1"),
        ("'~'", "~"),
    ],
)
def test_scalars_follow_the_core_schema(text, value):
    """YAML 1.2 section 10.3.2, none of the surprises of YAML 1.1; what is quoted is text."""
    root, found = read(f"a: {text}\n" if text != "-" else "a: '-'\n")
    assert found == []
    assert isinstance(root, Fields)
    (node,) = (value for _, value in root.entries.values())
    assert isinstance(node, Scalar)
    assert (node.value, type(node.value)) == (value, type(value))


def test_places_count_from_one_in_code_points():
    """A line and column that an editor shows."""
    root, _ = read("é: [ü, x]\n")
    assert isinstance(root, Fields)
    ((key, items),) = root.entries.values()
    assert (key.span.line, key.span.column) == (1, 1)
    assert isinstance(items, Items)
    assert (items.items[1].line, items.items[1].column) == (1, 8)


def test_a_byte_order_mark_is_no_part_of_the_text():
    """Editors on Windows write one."""
    root, found = read(b"\xef\xbb\xbfa: 1\n")
    assert (plain_value(root) if root else None, found) == ({"a": 1}, [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"\xff\xfea\x00", "EAZ101"),
        (b"a: \xc0\x80\n", "EAZ101"),
        (b"a: \x00\n", "EAZ101"),
        ('a: "\\0"\n', "EAZ101"),
        ("a: '\u2028'\n", "EAZ101"),
        ("a: '\x85'\n", "EAZ101"),
        ("a: b\u202ec\n", "EAZ101"),
        ("a: \ufeffb\n", "EAZ101"),
        ("a: [\n", "EAZ102"),
        ('a: "\\ud800"\n', "EAZ102"),
        ("%YAML 1.1\n---\na: 1\n", "EAZ102"),
        ("a: 1\na: 1\n", "EAZ103"),
        ("a: 1\n'a': 1\n", "EAZ103"),
        ("1: a\n", "EAZ104"),
        ("? [a]\n: b\n", "EAZ104"),
        ("~: a\n", "EAZ104"),
        ("!!str a: b\n", "EAZ105"),
        ("a: ! b\n", "EAZ105"),
        ("a: !!python/object:os.system []\n", "EAZ105"),
        ("%TAG ! tag:example.com,2000:\n---\na: 1\n", "EAZ105"),
        ("a: *b\n", "EAZ106"),
        ("a: &a [*a]\n", "EAZ106"),
        ("a: 1\n---\nb: 2\n", "EAZ108"),
        ("", "EAZ109"),
        ("---\n...\n", "EAZ109"),
        ("null\n", "EAZ109"),
        ("a: .nan\n", "EAZ110"),
        ("a: 1234567890123456789\n", "EAZ110"),
        (f"a: {'9' * 5000}\n", "EAZ110"),
    ],
)
def test_what_readers_may_read_in_two_ways_is_refused(text, code):
    """One document, one reading."""
    assert read(text)[1] == [code]


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 10_000])
@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused_and_crashes_nothing(depth, opening):
    """Nothing here recurses over what an author writes."""
    root, found = read(opening * depth)
    assert (root, found) == (None, ["EAZ107"])


def test_nesting_through_aliases_counts():
    """An alias is as deep as what it stands for."""
    half = MAX_DEPTH // 2
    deep = "[" * half + "]" * half
    assert read(f"a: &a {deep}\nb: {'[' * (half - 1)}*a{']' * (half - 1)}\n")[1] == []
    assert read(f"a: &a {deep}\nb: {'[' * half}*a{']' * half}\n")[1] == ["EAZ107"]


def test_aliases_are_limited_in_number_and_in_what_they_stand_for():
    """A short file does not become a long one."""
    assert read("a: &a x\nb: [" + "*a, " * MAX_ALIASES + "]\n")[1] == []
    assert read("a: &a x\nb: [" + "*a, " * (MAX_ALIASES + 1) + "]\n")[1] == ["EAZ106"]
    wide = "x, " * (MAX_EXPANDED // 50)
    assert read(f"a: &a [{wide}]\nb: [{'*a, ' * 49}]\n")[1] == []
    assert read(f"a: &a [{wide}]\nb: [{'*a, ' * 51}]\n")[1] == ["EAZ106"]


def test_an_alias_stands_where_it_is_written():
    """What it stands for is shared, its place is its own."""
    root, _ = read("a: &x [1]\nb: *x\n")
    assert isinstance(root, Fields)
    first, second = (value for _, value in root.entries.values())
    assert (second.line, second.column) == (2, 4)
    assert isinstance(first, Items)
    assert isinstance(second, Items)
    assert first.items is second.items


@given(st.binary(max_size=300))
def test_any_bytes_are_a_value_or_a_finding(content):
    """Reading never fails in another way than by saying what is wrong."""
    root, found = read(content)
    assert root is not None or found


_texts = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]))
_plain = st.none() | st.booleans() | st.integers(-(10**18) + 1, 10**18 - 1) | _texts
_values = st.recursive(
    _plain, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text("abc", min_size=1), v, max_size=4)
)


@given(_values.filter(lambda value: value is not None))
def test_json_reads_as_itself(value):
    """YAML 1.2 holds JSON."""
    root, found = read(json.dumps(value, ensure_ascii=False))
    assert found == []
    assert root is not None
    assert plain_value(root) == value
