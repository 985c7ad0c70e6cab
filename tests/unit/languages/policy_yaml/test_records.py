from extauthz.languages.policy_yaml.records import RecordOf
from tests.policies import read
from tests.shapes import CAT, Cat, found, reading


def test_records_give_what_their_keys_read():
    """By attribute; None for what was not written."""
    root, _ = read("{name: tom, kittens: [{name: kit}]}")
    assert root is not None
    cat = CAT.read(root, reading())
    assert cat is not None
    assert cat.name is not None
    assert (cat.name.text, cat.lives) == ("tom", None)
    assert cat.wrote("kittens")
    assert not cat.wrote("lives")
    assert [kitten.name and kitten.name.text for kitten in cat.kittens or ()] == ["kit"]


def test_one_mistake_hides_no_other():
    """Every key of every item is read, whatever is wrong beside it."""
    assert found(CAT, "{nme: a, lives: 8, kittens: [{}, {name: [], tail: 1}, 5]}") == [
        *("EAZ202", "EAZ201", "EAZ110", "EAZ202", "EAZ203", "EAZ201", "EAZ203")
    ]


def test_a_record_knows_where_its_keys_were_written():
    """A finding about a key stands at it; about one that is missing, at the record."""
    root, _ = read("\n{name: a}\n")
    assert root is not None
    cat = CAT.read(root, reading())
    assert cat is not None
    assert (cat.place("name").line, cat.place("name").column) == (2, 2)
    assert cat.place("lives") is root
    assert not cat.has_unknown_keys


def test_extensions_are_ignored_only_where_that_is_said():
    """`x-` keys are the author's own at the top of a file."""
    assert found(CAT, "{name: a, x-a: 1}") == ["EAZ201"]
    assert found(RecordOf(lambda: Cat, ignores_extensions=True), "{name: a, x-a: [~, {}]}") == []


def test_schemas_say_what_is_read():
    """One description, recursive where the language is."""
    definitions: dict[str, dict[str, object]] = {}
    assert CAT.schema(definitions) == {"$ref": "#/$defs/Cat"}
    assert definitions["Cat"] == {
        "type": "object",
        "description": "A cat.",
        "properties": {
            "name": {"description": "What it is called.", "type": "string", "minLength": 1},
            "lives": {"description": "How many there are.", "enum": [7, 9]},
            "kittens": {
                "description": "Its young.",
                "type": "array",
                "minItems": 1,
                "items": {"$ref": "#/$defs/Cat"},
            },
        },
        "additionalProperties": False,
        "required": ["name"],
    }
