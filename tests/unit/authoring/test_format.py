import pytest

from extauthz.authoring import format as format_module
from extauthz.authoring.format import formatted
from extauthz.errors import ConfigurationError, PolicyError


def test_style_and_order():
    """Layout and keys, of a policy."""
    before = b"version:   1\nroutes:\n- {path: /a,name: x}   # why\n"
    assert formatted("p.yaml", before, is_suite=False) == b"version: 1\nroutes:\n  - {name: x, path: /a}  # why\n"


def test_tests_are_ordered_as_tests():
    """Their keys are others."""
    before = b"tests:\n  - {request: {path: /, method: GET}, name: x, expect: deny}\n"
    after = b"tests:\n  - {name: x, request: {method: GET, path: /}, expect: deny}\n"
    assert formatted("p_test.yaml", before, is_suite=True) == after


@pytest.mark.parametrize(
    "text", ["a: 1\r\nb: |\r\n  x\r\n  y\r\n", "a: 1\rb: |\r  x\r  y\r", "\ufeffa: 1\nb: |\n  x\n  y\n"]
)
def test_line_breaks_and_byte_order_mark(text):
    """A line ends with a line feed, and nothing stands before the first."""
    assert formatted("p.yaml", text.encode(), is_suite=False) == b"a: 1\nb: |\n  x\n  y\n"


@pytest.mark.parametrize(
    "content", [b"a: 1\na: 2\n", b"a: !x 1\n", b"a: [\n", b"", b"\xff", b"a: 1\n---\nb: 1\n", b"text\n"]
)
def test_what_cannot_be_read_is_not_formatted(content):
    """Each reason is told, at its place."""
    with pytest.raises(PolicyError) as caught:
        formatted("p.yaml", content, is_suite=False)
    assert caught.value.diagnostics[0].span.file == "p.yaml"


@pytest.mark.parametrize(
    "wrong", ["a: 2\n# c\n", "a: 1\n", "a: 1\n#c\n", "a: [\n", "a: '1'\n# c\n", "{a: 1, b: 2} # c\n"]
)
def test_a_text_that_says_something_else_is_refused(wrong, monkeypatch):
    """Another value, another type, a lost comment, or what is no YAML: nothing is returned."""
    monkeypatch.setattr(format_module, "layout_text", lambda _: wrong)
    with pytest.raises(ConfigurationError, match=r"p\.yaml cannot be formatted"):
        formatted("p.yaml", b"a: 1\n# c\n", is_suite=False)
