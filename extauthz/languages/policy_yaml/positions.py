"""Places within a text that YAML quoted, escaped, folded or indented.

A front end for another language (CEL) reports a line and column of the *value*; an author wants the place in the file.
The source of the scalar is read again as YAML reads it (YAML 1.2 chapters 7.3 and 8.1), noting where each character of
the value came from. When that does not reproduce the value exactly, the place is the beginning of the scalar: a
diagnostic is never put at a wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TypeAlias

from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.model.source import Span

_Placed: TypeAlias = tuple[str, int, int]
"""A character of the value with the line and column of the source, counting from 1."""

_HEX_ESCAPES = {"x": 2, "u": 4, "U": 8}
_ESCAPES = dict(zip('0abt\tnvfre "/\\N_LP', '\0\a\b\t\t\n\v\f\r\x1b "/\\\x85\xa0\u2028\u2029', strict=True))


def place_within(scalar: Scalar, line: int, column: int) -> Span:
    """Where the value's character at this line and column (from 1) stands in the file."""
    lines = scalar.text.split("\n")
    if not 1 <= line <= len(lines) or column < 1:
        return scalar.span
    offset = sum(len(text) + 1 for text in lines[: line - 1]) + min(column - 1, len(lines[line - 1]))
    placed = list(_characters(scalar))
    if "".join(character for character, _, _ in placed) != scalar.text or not placed:
        return scalar.span
    if offset < len(placed):
        _, source_line, source_column = placed[offset]
    else:
        _, source_line, source_column = placed[-1]
        source_column += 1
    return Span(scalar.document.path, source_line, source_column)


def _characters(scalar: Scalar) -> Iterator[_Placed]:
    match scalar.style:
        case "|":
            return _literal(scalar)
        case ">":
            return _folded(scalar)
        case "'" | '"' | "":
            return _flow(scalar)
        case _:
            return iter(())


def _block_lines(scalar: Scalar) -> Iterator[tuple[int, int, str]]:
    """The content lines of a block scalar with their number and first column."""
    number = scalar.line + 1
    document = scalar.document
    first = number
    while first <= len(document.lines) and not document.line(first).strip(" "):
        first += 1
    header = re.search(r"[|>][-+]?([1-9])?", document.line(scalar.line)[scalar.column - 1 :])
    if header is not None and header[1]:
        return  # an explicit indentation is relative to a parent that is not known here
    indentation = len(document.line(first)) - len(document.line(first).lstrip(" "))
    count = scalar.text.count("\n") + 1
    # A folded scalar has more lines than its value; what follows less indented is no longer its content.
    while number <= len(document.lines) and (count > 0 or scalar.style == ">"):
        text = document.line(number)
        if text.strip(" ") and not text.startswith(" " * indentation):
            return
        yield number, indentation + 1, text[indentation:]
        number += 1
        count -= 1


def _literal(scalar: Scalar) -> Iterator[_Placed]:
    remaining = len(scalar.text)
    for number, column, text in _block_lines(scalar):
        for index, character in enumerate((*text, "\n")):
            if remaining == 0:
                return
            remaining -= 1
            yield character, number, column + index


def _folded(scalar: Scalar) -> Iterator[_Placed]:
    """Breaks between two lines that are not more indented become a space; empty lines stay breaks (section 8.1.3)."""
    lines = list(_block_lines(scalar))
    while lines and not lines[-1][2]:
        lines.pop()
    for index, (number, column, text) in enumerate(lines):
        yield from ((character, number, column + offset) for offset, character in enumerate(text))
        end = (number, column + len(text))
        following = lines[index + 1][2] if index + 1 < len(lines) else None
        if following is None:
            if scalar.text.endswith("\n"):
                yield "\n", *end
        elif not text or text[:1] in " \t" or following[:1] in (" ", "\t"):
            yield "\n", *end
        elif following:
            yield " ", *end


def _flow(scalar: Scalar) -> Iterator[_Placed]:
    """A plain or quoted scalar: line breaks with the blanks around them are folded (section 7.3.1)."""
    lines = scalar.document.lines
    number, index = scalar.line, scalar.column - 1 + len(scalar.style)
    remaining = len(scalar.text)
    while remaining > 0 and number <= len(lines):
        text = lines[number - 1]
        if not text[index:].strip(" \t"):
            breaks, end = 0, (number, index + 1)
            while number <= len(lines) and not lines[number - 1][index:].strip(" \t"):
                breaks, number, index = breaks + 1, number + 1, 0
            index = len(lines[number - 1]) - len(lines[number - 1].lstrip(" \t")) if number <= len(lines) else 0
            folded = " " if breaks == 1 else "\n" * (breaks - 1)
            yield from ((character, *end) for character in folded)
            remaining -= len(folded)
            continue
        character, width = _flow_character(text, index, scalar.style)
        if character:
            yield character, number, index + 1
            remaining -= 1
        index += width


def _flow_character(text: str, index: int, style: str) -> tuple[str, int]:
    """The character of the value that stands here, and how many characters of the source it takes."""
    if style == "'" and text[index : index + 2] == "''":
        return "'", 2
    if style == '"' and text[index] == "\\":
        escape = text[index + 1 : index + 2]
        if escape in _HEX_ESCAPES and escape:
            digits = text[index + 2 : index + 2 + _HEX_ESCAPES[escape]]
            return chr(int(digits, 16)), 2 + len(digits)
        return _ESCAPES.get(escape, ""), 2
    return text[index], 1
