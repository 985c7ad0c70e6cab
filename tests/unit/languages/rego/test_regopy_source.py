import pytest

from extauthz.languages.rego import Module
from extauthz.languages.rego.regopy_source import doubts, without_texts


def found(*texts):
    return [str(d.span) for d in doubts([Module(f"m{i}.rego", text) for i, text in enumerate(texts)])]


@pytest.mark.parametrize(
    "expression",
    [
        "p with input.x as input.y",
        "p with input as data",
        "p with data.a as data.b[0]",
        'p with input["a b"].c as  x.y',
        "p with input.x as q",
        "p with input.x as alias",
        "p with input.x as 1 with input.y as other",
        "p with input.x\n  as input.y",
    ],
)
def test_references_as_values(expression):
    """Written out, as a rule's name, or as an import's."""
    text = f"package a\n\nimport data.other\nimport data.some as alias\n\nq := 1\n\nr if {{ {expression} }}\n"
    assert len(found(text)) == 1


@pytest.mark.parametrize(
    "expression",
    [
        "p with input.x as v",
        'p with input.x as "input.y"',
        'p with input.x as {"a": input.y}',
        "p with input as [data.a]",
        "p with count as f",
        'x == "p with input.x as input.y"',
        "p # with input.x as input.y",
        "p with input.x as true",
        'p with input.x as "a"\n\nq := 1\n\ns if p',
    ],
)
def test_what_is_read_rightly(expression):
    """Variables, literals, functions; and what only looks like code."""
    assert found(f"package a\n\nr if {{ v := 1; {expression}\n }}\n") == []


def test_every_module_has_a_package():
    """In its first words, after comments."""
    assert found("r := 1") == ["m0.rego:1:1"]
    assert found('# package a\n"package b"') == ["m0.rego:1:1"]
    assert found("# a comment\n\n  package a.b\n") == []


def test_characters_stay_where_they_are():
    """Places in the text without strings are places in the text."""
    text = 'a "b\\"c" `d\ne` # f\ng'
    assert without_texts(text) == 'a "' + " " * 6 + "` \n" + " " * 6 + "\ng"
