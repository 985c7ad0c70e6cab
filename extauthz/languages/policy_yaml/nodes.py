"""YAML values that know where they were written.

Three kinds: a scalar, a list, a mapping with text keys. Positions count from 1, columns in code points, as in `Span`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from extauthz.model.access import JsonValue
from extauthz.model.source import Span

# The breaks of YAML 1.2 (section 5.4); others are refused before a document is read.
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class Document:
    """One source file: its path as the user gave it, and its text."""

    __slots__ = ("_lines", "path", "text")

    def __init__(self, path: str, text: str) -> None:
        self.path = path
        self.text = text
        self._lines: list[str] | None = None

    @property
    def lines(self) -> Sequence[str]:
        """The text by lines, without their breaks."""
        if self._lines is None:
            self._lines = _LINE_BREAK.split(self.text)
        return self._lines

    def line(self, number: int) -> str:
        """The line of this number, counting from 1; empty beyond the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


@dataclass(slots=True, eq=False)
class Node:
    """A value and its place."""

    document: Document = field(repr=False)
    line: int
    column: int

    @property
    def span(self) -> Span:
        return Span(self.document.path, self.line, self.column)


ScalarValue: TypeAlias = str | int | float | bool | None


@dataclass(slots=True, eq=False)
class Scalar(Node):
    """A text, number, boolean or null."""

    value: ScalarValue
    text: str
    """As written, quotes and escapes resolved."""
    style: str = ""
    """`'`, `"`, `|`, `>`; empty for a plain scalar."""


@dataclass(slots=True, eq=False)
class Items(Node):
    """A list."""

    items: list[AnyNode]


@dataclass(slots=True, eq=False)
class Fields(Node):
    """A mapping; its keys are distinct texts."""

    entries: dict[str, tuple[Scalar, AnyNode]]


AnyNode: TypeAlias = Scalar | Items | Fields


def plain_value(node: AnyNode) -> JsonValue:
    """The value without its places. The reader's limit on nesting bounds the recursion."""
    match node:
        case Scalar(value=value):
            return value
        case Items(items=items):
            return [plain_value(item) for item in items]
        case Fields(entries=entries):
            return {key: plain_value(value) for key, (_, value) in entries.items()}


def kind_of(node: AnyNode) -> str:
    """What the value is, for messages."""
    match node:
        case Items():
            return "a list"
        case Fields():
            return "a mapping"
        case Scalar(value=None):
            return "nothing"
        case Scalar(value=bool() as value):
            return "true" if value else "false"
        case Scalar(value=str()):
            return "text"
        case Scalar():
            return "a number"


def yaml_paths(roots: Sequence[AnyNode], wanted: set[int]) -> dict[int, str]:
    """The paths (`routes[2].allow[0].when`) of the nodes whose `id` is wanted, keys included, in one walk.

    A value shared through an alias has the path of its first place.
    """
    found: dict[int, str] = {}
    seen: set[int] = set()
    todo: list[tuple[AnyNode, str]] = [(root, "") for root in reversed(roots)]
    while todo and len(found) < len(wanted):
        node, path = todo.pop()
        if id(node) in wanted:
            found.setdefault(id(node), path)
        if isinstance(node, Scalar) or id(node) in seen:
            continue
        seen.add(id(node))
        children = list(_children(node, path))
        for key, _, child_path in children:
            if key is not None and id(key) in wanted:
                found.setdefault(id(key), child_path)
        todo.extend((child, child_path) for _, child, child_path in reversed(children))
    return found


def _children(node: Items | Fields, path: str) -> Iterator[tuple[Scalar | None, AnyNode, str]]:
    if isinstance(node, Items):
        yield from ((None, item, f"{path}[{index}]") for index, item in enumerate(node.items))
    else:
        for name, (key, value) in node.entries.items():
            yield key, value, f"{path}.{name}" if path else name
