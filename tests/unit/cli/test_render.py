import io
import json

import pytest
from rich.console import Console

from extauthz.cli.render import (
    console,
    count,
    diagnostic_json,
    print_diagnostics,
    print_json,
    print_table,
    visible,
)
from extauthz.model.source import Diagnostic, Severity, Span


def diagnostic(line: str, column: int, **more: object) -> Diagnostic:
    return Diagnostic(Span("p.yaml", 3, column), "EAZ201", "no such key", source_line=line, **more)  # type: ignore[arg-type]


def printed(*diagnostics: Diagnostic, terminal: bool = False) -> str:
    stream = io.StringIO()
    print_diagnostics(
        diagnostics,
        Console(file=stream, force_terminal=terminal, color_system="standard" if terminal else None, soft_wrap=True),
    )
    return stream.getvalue()


def test_plain_diagnostic_reads_as_the_model_renders_it():
    """Without a terminal the text is exactly what errors elsewhere print."""
    finding = diagnostic("  rowtes: []", 3, hint="did you mean 'routes'?")
    assert printed(finding) == finding.render() + "\n"


def test_warning_says_so():
    """A warning is told from an error without colour."""
    assert "EAZ201 warning: no such key" in printed(diagnostic("x", 1, severity=Severity.WARNING))


def test_terminal_gets_colour():
    """Code and caret are red for errors; the words stay the same."""
    text = printed(diagnostic("rowtes: []", 1), terminal=True)
    assert "\x1b[1;31mEAZ201\x1b[0m" in text


@pytest.mark.parametrize(
    ("line", "column", "caret_cells"),
    [
        ("abc", 3, 2),
        ("\tabc", 2, 1),  # a tab shows as one space
        ("\u6f22\u5b57: x", 3, 4),  # two characters, two cells each
        ("e\u0301x", 3, 1),  # a combining accent has no cell of its own
        ("\x1b[2Jx", 5, 7),  # an escape sequence is spelled out
        ("abc", 4, 3),  # just behind the end
    ],
)
def test_caret_stands_below_its_column(line, column, caret_cells):
    """Columns count code points, terminals count cells."""
    caret_line = printed(diagnostic(line, column)).splitlines()[2]
    assert caret_line == "  " + " " * caret_cells + "^"


def test_long_line_is_cut_around_the_caret():
    """A minified file shows the neighbourhood of the finding, not a megabyte."""
    text = printed(diagnostic("a" * 500_000 + "!" + "b" * 500_000, 500_001))
    _, source, caret = text.splitlines()
    assert len(source) < 170
    assert source[2] == source[-1] == "\N{HORIZONTAL ELLIPSIS}"
    assert source[caret.index("^")] == "!"


def test_control_characters_never_reach_the_terminal():
    """Escape sequences, bidirectional overrides and lone surrogates of a policy show as what they are."""
    text = printed(
        Diagnostic(Span("\x1b[31m.yaml", 1, 1), "EAZ201", "no \u202e key", hint="\x07", source_line="\udc80 \x9b31m")
    )
    assert text.splitlines() == [
        "\\x1b[31m.yaml:1:1: EAZ201 no \\u202e key",
        "  \\udc80 \\x9b31m",
        "  ^",
        "  hint: \\x07",
    ]


def test_visible_keeps_text():
    """Letters of any script, emoji and spaces are left alone."""
    text = "Gr\u00fc\u00dfe \u05e9\u05dc\u05d5\u05dd \U0001f600 [bold]"
    assert visible(text) == text


def test_markup_is_text(capsys):
    """Square brackets and colons of a policy are no markup, no emoji."""
    console().print("[bold]x[/bold] :smile: [/]")
    assert capsys.readouterr().out == "[bold]x[/bold] :smile: [/]\n"


def test_diagnostic_as_json():
    """Programs get every field by name."""
    assert diagnostic_json(diagnostic("x", 7, path="routes[0]", hint="h")) == {
        "file": "p.yaml",
        "line": 3,
        "column": 7,
        "code": "EAZ201",
        "severity": "error",
        "message": "no such key",
        "path": "routes[0]",
        "hint": "h",
    }


def test_json_survives_any_text(capsys):
    """What standard output could not encode is escaped."""
    print_json({"a": "\udc80\u202e"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert json.loads(out) == {"a": "\udc80\u202e"}


def test_table_keeps_every_cell(capsys):
    """Cells are folded, never cut, and markup in them is text."""
    long = "x" * 200
    print_table(["name", "value"], [["[red]a", long]], console())
    out = capsys.readouterr().out
    assert "[red]a" in out
    assert out.count("x") == 200


@pytest.mark.parametrize(("number", "text"), [(0, "0 routes"), (1, "1 route"), (2, "2 routes")])
def test_count(number, text):
    """Nouns agree with their number."""
    assert count(number, "route") == text
