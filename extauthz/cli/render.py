"""How commands print: diagnostics, tables, JSON.

Colour is rich's decision (a terminal, `NO_COLOR`, `FORCE_COLOR`, `TERM=dumb`). Text that comes from files or requests
is made visible first: a control character or a bidirectional override in a policy must not reach the reader's terminal
as an instruction.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from enum import StrEnum

import typer
from rich.box import SIMPLE
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from extauthz.model.source import Diagnostic, Severity

_WIDEST_SOURCE_LINE = 160
"""Characters of a source line that are shown, around the caret."""

_INVISIBLE = re.compile(
    "[\x00-\x1f\x7f-\x9f"  # C0, DEL, C1: terminal control
    "\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff"  # zero width, line separators, bidirectional overrides (UAX #9)
    "\ud800-\udfff]"  # lone surrogates: a file name that is not UTF-8
)


class OutputFormat(StrEnum):
    """`--format`."""

    TEXT = "text"
    JSON = "json"


def console(*, stderr: bool = False) -> Console:
    """A console on the stream as it is now. Prints text as given: no markup, no highlighting, no wrapping."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)


def visible(text: str) -> str:
    """The text on one line, with a tab as a space and everything else that would not show as its escape."""
    return _INVISIBLE.sub(lambda match: _escape(match[0]), text)


def _escape(character: str) -> str:
    if character == "\t":
        return " "
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def print_json(value: object) -> None:
    """One JSON document on standard output, for programs."""
    typer.echo(json.dumps(value, indent=2))


def print_diagnostics(diagnostics: Iterable[Diagnostic], out: Console) -> None:
    """Each with its source line, a caret and a hint."""
    for diagnostic in diagnostics:
        out.print(_diagnostic_text(diagnostic))


def _diagnostic_text(diagnostic: Diagnostic) -> Text:
    warning = diagnostic.severity is Severity.WARNING
    text = Text()
    text.append(f"{visible(str(diagnostic.span))}: ", style="bold")
    text.append(diagnostic.code, style="bold yellow" if warning else "bold red")
    text.append(f" {'warning: ' if warning else ''}{visible(diagnostic.message)}")
    if diagnostic.source_line:
        line, indent = _source_window(diagnostic.source_line, diagnostic.span.column)
        text.append(f"\n  {line}")
        text.append(f"\n  {' ' * indent}^", style="bold yellow" if warning else "bold red")
    if diagnostic.hint:
        text.append("\n  hint: ", style="bold cyan")
        text.append(visible(diagnostic.hint))
    return text


def _source_window(source_line: str, column: int) -> tuple[str, int]:
    """The part of the line around the column, and how many terminal cells stand before the column."""
    start = 0
    if len(source_line) > _WIDEST_SOURCE_LINE:
        start = min(max(0, column - 1 - _WIDEST_SOURCE_LINE // 2), len(source_line) - _WIDEST_SOURCE_LINE)
    end = start + _WIDEST_SOURCE_LINE
    before = ("…" if start else "") + visible(source_line[start : column - 1])
    after = visible(source_line[column - 1 : end]) + ("…" if end < len(source_line) else "")
    return before + after, cell_len(before)


def diagnostic_json(diagnostic: Diagnostic) -> dict[str, object]:
    """The diagnostic for programs; lines and columns count from 1."""
    return {
        "file": diagnostic.span.file,
        "line": diagnostic.span.line,
        "column": diagnostic.span.column,
        "code": diagnostic.code,
        "severity": str(diagnostic.severity),
        "message": diagnostic.message,
        "path": diagnostic.path,
        "hint": diagnostic.hint,
    }


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]], out: Console) -> None:
    """A table whose cells are never cut; a cell that is `Text` keeps its own style."""
    table = Table(box=SIMPLE, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(visible(cell)) for cell in row))
    out.print(table)


def count(number: int, noun: str) -> str:
    """`1 route`, `2 routes`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
