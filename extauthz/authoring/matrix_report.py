"""A matrix on paper: Markdown, CSV (RFC 4180) and SVG."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from html import escape

from extauthz.authoring.matrix import Answer, Cell, Matrix, Row
from extauthz.model.decision import PolicyId
from extauthz.model.policy import RuleKind

_KINDS = {RuleKind.DENY: "unless", RuleKind.REQUIRE: "only if", RuleKind.ALLOW: "if"}


def cell_text(cell: Cell, matrix: Matrix) -> str:
    """`yes`, `no`, `if` with the notes of which one has to hold; and, in parentheses, those that can still deny."""
    if cell.answer is not Answer.DEPENDS:
        return str(cell.answer)
    allows = f"if {_numbers(cell.allows, matrix)}" if cell.allows else "yes"
    return f"{allows} ({_numbers(cell.guards, matrix)})" if cell.guards else allows


def _numbers(rules: Iterable[PolicyId], matrix: Matrix) -> str:
    return " ".join(f"[{matrix.number(rule)}]" for rule in rules)


def note_text(number: int, matrix: Matrix) -> str:
    """`[1] if order.allow.owner: when: ...`."""
    note = matrix.notes[number - 1]
    return f"[{number}] {_KINDS[note.kind]} {note.rule}: {note.text}"


def headings(matrix: Matrix) -> tuple[str, ...]:
    """Of the columns of a table."""
    return ("route", "methods", "path", *(column.name for column in matrix.columns))


def cells(row: Row, matrix: Matrix) -> tuple[str, ...]:
    """A row of a table."""
    route = row.route
    return (route.name, row.methods, f"{route.host or ''}{route.path.text}", *(cell_text(c, matrix) for c in row.cells))


def grant_texts(matrix: Matrix) -> Iterator[str]:
    """`clerk: subject alice, when ...`, one for each binding."""
    for grant in matrix.grants:
        yield f"{grant.role}: {grant.who}" + (f", when {grant.when}" if grant.when else "")


# --- Markdown ------------------------------------------------------------------------------------------------------


def markdown(matrix: Matrix) -> str:
    """Tables of GitHub Flavored Markdown."""
    lines = [f"# Who can do what: {markdown_text(matrix.name)}", "", f"Revision {matrix.revision}.", ""]
    lines += [_md_row(headings(matrix)), _md_row(["---"] * len(headings(matrix)))]
    lines += [_md_row(cells(row, matrix)) for row in matrix.rows]
    if matrix.notes:
        lines += ["", "It depends:", ""]
        lines += [
            f"- {markdown_text(note_text(number, matrix))} ({markdown_text(str(note.span))})"
            for number, note in enumerate(matrix.notes, start=1)
        ]
    if matrix.grants:
        lines += ["", "Roles are given to:", ""]
        lines += [
            f"- {markdown_text(text)} ({markdown_text(str(g.span))})"
            for text, g in zip(grant_texts(matrix), matrix.grants, strict=True)
        ]
    return "\n".join(lines) + "\n"


def _md_row(values: tuple[str, ...] | list[str]) -> str:
    return f"| {' | '.join(map(markdown_text, values))} |"


def markdown_text(text: str) -> str:
    """The text, with whatever Markdown is made of escaped."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>|#" else c for c in text)


# --- CSV -----------------------------------------------------------------------------------------------------------


def csv_table(matrix: Matrix) -> str:
    """A line for each route and kind of caller, with the rules that it depends on."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(("route", "methods", "host", "path", "caller", "answer", "if one of", "unless or only if"))
    for row in matrix.rows:
        route = row.route
        for column, cell in zip(matrix.columns, row.cells, strict=True):
            place = (route.name, row.methods, str(route.host or ""), route.path.text)
            rules = (" ".join(cell.allows), " ".join(cell.guards))
            writer.writerow([_inert(value) for value in (*place, column.name, str(cell.answer), *rules)])
    return out.getvalue()


def _inert(text: str) -> str:
    """Spreadsheets take some first characters for formulas."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


# --- SVG -----------------------------------------------------------------------------------------------------------

_FILLS = {Answer.YES: "#d7f0d9", Answer.NO: "#f6f6f6", Answer.DEPENDS: "#fdf0c4"}
_ROW, _CHARACTER, _PADDING, _MARGIN, _NOTE = 24, 7.2, 8, 24, 18


def svg(matrix: Matrix) -> str:
    """A page that prints: the table, its notes, and who is given roles."""
    table = [headings(matrix), *(cells(row, matrix) for row in matrix.rows)]
    widths = [max(len(row[i]) for row in table) * _CHARACTER + 2 * _PADDING for i in range(len(table[0]))]
    lefts = [_MARGIN + sum(widths[:i]) for i in range(len(widths))]
    notes = [note_text(number, matrix) for number in range(1, len(matrix.notes) + 1)]
    footer = [*notes, *(["", "Roles are given to:", *grant_texts(matrix)] if matrix.grants else [])]
    top = _MARGIN + 2 * _ROW
    bottom = top + len(table) * _ROW + _ROW
    width = max(lefts[-1] + widths[-1], _MARGIN + max((len(line) for line in footer), default=0) * _CHARACTER) + _MARGIN
    height = bottom + len(footer) * _NOTE + _MARGIN
    body = [_text(_MARGIN, _MARGIN + 14, f"Who can do what: {matrix.name}", size=18, bold=True)]
    body.append(_text(_MARGIN, _MARGIN + 34, f"revision {matrix.revision}", size=11))
    for number, row in enumerate(table):
        y = top + number * _ROW
        for column, (left, cell_width, text) in enumerate(zip(lefts, widths, row, strict=True)):
            answers = matrix.rows[number - 1].cells if number else ()
            fill = _FILLS[answers[column - 3].answer] if number and column >= 3 else "#ffffff"
            body.append(
                f'<rect x="{left:g}" y="{y}" width="{cell_width:g}" height="{_ROW}" fill="{fill}" stroke="#999999"/>'
            )
            body.append(_text(left + _PADDING, y + 16, text, bold=number == 0))
    body += [_text(_MARGIN, bottom + number * _NOTE, line) for number, line in enumerate(footer) if line]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height}" viewBox="0 0 {width:g} {height}" '
        'font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">\n'
        f'<rect width="{width:g}" height="{height}" fill="#ffffff"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


def _text(x: float, y: float, text: str, *, size: int = 12, bold: bool = False) -> str:
    weight = ' font-weight="bold"' if bold else ""
    # Control characters are no part of XML, however they are escaped.
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}"{weight} xml:space="preserve">{escape(shown)}</text>'
