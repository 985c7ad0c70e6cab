"""`extauthz policy matrix`: who can do what."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from extauthz.cli.options import PathsArgument, ValuesOption
from extauthz.cli.render import console, print_diagnostics, print_json, print_table, visible

if TYPE_CHECKING:
    from extauthz.authoring.matrix import Matrix

_STYLES = {"yes": "green", "no": "dim", "depends": "yellow"}


class MatrixFormat(StrEnum):
    """`--format`."""

    TEXT = "text"
    MARKDOWN = "markdown"
    CSV = "csv"
    SVG = "svg"
    JSON = "json"


def print_matrix(
    paths: PathsArgument,
    values: ValuesOption = None,
    output: Annotated[MatrixFormat, typer.Option("--format", help="How to print it.")] = MatrixFormat.TEXT,
) -> None:
    """Show who can do what: nobody, a caller without a role, and each role, on every route.

    `yes` and `no` follow from the rules alone, for every request; what depends on more names the rules.

    Example: extauthz policy matrix policies/shop --values policies/shop.values.yaml --format svg > shop.svg
    """
    from extauthz.authoring.matrix import matrix_of
    from extauthz.authoring.matrix_report import csv_table, markdown, svg
    from extauthz.sources.policy_files import load

    parsed = load([str(path) for path in paths], values_file=None if values is None else str(values)).parsed
    matrix = matrix_of(parsed.policy_set)
    match output:
        case MatrixFormat.TEXT:
            print_diagnostics(parsed.warnings, console(stderr=True))
            _print(matrix, console())
        case MatrixFormat.MARKDOWN:
            typer.echo(markdown(matrix), nl=False)
        case MatrixFormat.CSV:
            typer.echo(csv_table(matrix).encode(), nl=False)  # as bytes: its line breaks are its own
        case MatrixFormat.SVG:
            typer.echo(svg(matrix), nl=False)
        case MatrixFormat.JSON:
            print_json(_as_json(matrix))


def _print(matrix: Matrix, out: Console) -> None:
    from extauthz.authoring.matrix_report import cells, grant_texts, headings, note_text

    rows = []
    for row in matrix.rows:
        texts = cells(row, matrix)
        answers = [Text(t, style=_STYLES[c.answer]) for t, c in zip(texts[3:], row.cells, strict=True)]
        rows.append([*(Text(visible(text)) for text in texts[:3]), *answers])
    print_table(headings(matrix), rows, out)
    for number, note in enumerate(matrix.notes, start=1):
        out.print(Text(visible(note_text(number, matrix))), Text(f" {visible(str(note.span))}", style="dim"))
    if matrix.grants:
        out.print("\nroles are given to", style="bold")
        for text, grant in zip(grant_texts(matrix), matrix.grants, strict=True):
            out.print(Text(visible(text)), Text(f" {visible(str(grant.span))}", style="dim"))


def _as_json(matrix: Matrix) -> dict[str, object]:
    return {
        "name": matrix.name,
        "revision": matrix.revision,
        "callers": [column.name for column in matrix.columns],
        "routes": [
            {
                "route": row.route.name,
                "methods": None if row.route.methods is None else sorted(row.route.methods),
                "host": None if row.route.host is None else str(row.route.host),
                "path": row.route.path.text,
                "cells": {
                    column.name: {"answer": cell.answer, "allows": list(cell.allows), "guards": list(cell.guards)}
                    for column, cell in zip(matrix.columns, row.cells, strict=True)
                },
            }
            for row in matrix.rows
        ],
        "rules": [
            {"id": note.rule, "kind": note.kind, "text": note.text, "file": note.span.file, "line": note.span.line}
            for note in matrix.notes
        ],
        "bindings": [
            {"role": g.role, "who": g.who, "when": g.when or None, "file": g.span.file, "line": g.span.line}
            for g in matrix.grants
        ],
    }
