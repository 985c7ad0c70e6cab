import pytest

from extauthz.errors import ConfigurationError
from extauthz.sources.values import parse_values


def test_reads_names_and_text():
    """Plain, quoted and block strings are values as they stand; `NO` and `on` are text in YAML 1.2."""
    content = b'ISSUER: https://issuer.example\nPORT: "8080"\nCOUNTRY: NO\nswitch: on\nnote: |\n  two\n  lines\n'
    assert parse_values("values.yaml", content) == {
        "ISSUER": "https://issuer.example",
        "PORT": "8080",
        "COUNTRY": "NO",
        "switch": "on",
        "note": "two\nlines\n",
    }


@pytest.mark.parametrize("content", [b"", b"# nothing yet\n", b"{}\n", b"---\n...\n"])
def test_empty_file_or_map_has_no_values(content):
    """A file that says nothing is a map of nothing, except that an explicit null document is no map."""
    if content.startswith(b"---"):
        with pytest.raises(ConfigurationError, match="a map of strings is expected"):
            parse_values("values.yaml", content)
    else:
        assert parse_values("values.yaml", content) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PORT: 8080\n", "v.yaml:1:7: the value of PORT is not a string: put it in quotes"),
        (b"A: x\nB: true\n", "v.yaml:2:4: the value of B is not a string: put it in quotes"),
        (b"A: 1e3\n", "v.yaml:1:4: the value of A is not a string: put it in quotes"),
        (b"A:\n", "v.yaml:1:3: the value of A is not a string: put it in quotes"),
        (b"A: x\nA: y\n", "v.yaml:2:1: A is given twice: keep one"),
        (b"my-name: x\n", "v.yaml:1:1: 'my-name' is no name: use letters, digits and _, as in ${NAME}"),
        (b"A: [x]\n", "v.yaml:1:4: a string is expected: values are text, without lists, maps or aliases"),
        (b"A: &a x\nB: *a\n", "v.yaml:2:4: a string is expected: values are text, without lists, maps or aliases"),
        (b"A: !!binary aGk=\n", "v.yaml:1:4: tags are not read: remove it"),
        (b"- A\n", "v.yaml:1:1: a map of strings is expected, as in ISSUER: https://issuer.example"),
        (b"A: x\n---\nB: y\n", "v.yaml:2:1: one document is expected: remove what follows"),
        (b"A: 'x\n", "v.yaml:2:1: not YAML: found unexpected end of stream"),
        (b"A: \x00\n", "v.yaml: not YAML: special characters are not allowed"),
    ],
)
def test_wrong_values_are_named_by_place(content, message):
    """Whatever is no flat map of strings is one line: file, place, what to do."""
    with pytest.raises(ConfigurationError) as raised:
        parse_values("v.yaml", content)
    assert str(raised.value) == message


def test_depth_cannot_overflow_the_stack():
    """A hundred thousand open brackets are an ordinary error: the reader does not recurse."""
    with pytest.raises(ConfigurationError, match="a string is expected"):
        parse_values("v.yaml", b"A: " + b"[" * 100_000)


def test_messages_never_show_a_value():
    """A values file may hold what is nobody's business: only names and places are said."""
    with pytest.raises(ConfigurationError) as raised:
        parse_values("v.yaml", b"SECRET: [hunter2]\n")
    assert "hunter2" not in str(raised.value)
