"""YAML text -> what stands where, comments and blank lines included: the tree that a formatter writes anew.

Scalars stay as they are written: what a formatter never reads it cannot change. Between two of YAML's events stands
nothing but space, indicators and comments, so the comments are what begins with `#` there. A comment beside something
belongs to it; one on its own line belongs to what follows it, or, indented deeper than that, to the end of the
collection that it is level with.

The text has been read before: it is one document, without tags, with keys that are text.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TypeAlias

import yaml

BLANK = ""
"""A blank line among comments."""

_INDICATORS = " \t-?:,[]{}."
_SPACE = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLOCK_HEADER = re.compile(r"([|>])(?:([-+])?([1-9])?|([1-9])([-+]))[ \t]*(#[^\n]*)?(?:\n|\Z)")


@dataclass(slots=True)
class Block:
    """A literal or folded block."""

    indicator: str
    """`|` or `>`."""
    chomping: str
    """`-`, `+` or nothing."""
    comment: str
    """The one beside the indicator."""
    lines: list[str]
    """Its text, without the indentation."""


@dataclass(slots=True)
class Leaf:
    """A scalar or an alias."""

    source: str
    """As written, its anchor left out; empty for a value that is not there."""
    anchor: str = ""
    """With its `&`."""
    block: Block | None = None
    """What the source is, if it is a block."""


@dataclass(slots=True)
class Entry:
    """An item of a list, or a key with its value."""

    lead: list[str]
    """The lines before it: comments, and `BLANK`."""
    key: Leaf | None = None
    value: Leaf | Branch = field(default_factory=lambda: Leaf(""))
    tail: str = ""
    """The comment beside it."""


@dataclass(slots=True)
class Branch:
    """A list or a mapping."""

    is_mapping: bool
    is_flow: bool
    column: int
    anchor: str = ""
    entries: list[Entry] = field(default_factory=list)
    foot: list[str] = field(default_factory=list)
    """The lines after its last entry."""


Node: TypeAlias = Leaf | Branch


@dataclass(slots=True)
class Layout:
    """One file."""

    root: Entry
    """The document, with what stands before it."""
    foot: list[str]
    """What stands after a document that is no block."""
    has_anchors: bool


def read_layout(text: str) -> Layout:
    """The layout of a text that the reader accepts, with line feeds for breaks."""
    return _LayoutReader(text).read()


@dataclass(frozen=True, slots=True)
class _Line:
    """A comment that stands alone, or a blank line."""

    text: str
    column: int


@dataclass(slots=True)
class _LayoutReader:
    text: str
    position: int = 0
    """Up to where the text has been accounted for."""
    open: list[Branch] = field(default_factory=list)
    owners: list[Entry] = field(default_factory=list)
    """The entry whose value each open collection is."""
    closed: list[Branch] = field(default_factory=list)
    """The block collections that ended since the last token, the innermost first."""
    waiting: list[_Line] = field(default_factory=list)
    """Lines whose place is not known yet."""
    last: Entry | None = None
    """What a comment on its line is about."""
    key: Entry | None = None
    """A key that waits for its value."""
    root: Entry = field(default_factory=lambda: Entry([]))
    has_anchors: bool = False

    def read(self) -> Layout:
        for event in yaml.parse(self.text, Loader=yaml.CSafeLoader):
            match event:
                case yaml.ScalarEvent() | yaml.AliasEvent():
                    self._leaf(event)
                case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                    self._start(event)
                case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                    self._close(event)
                case _:
                    pass  # stream and document: what is written of them says nothing
        self._scan(len(self.text))
        end = Entry([])
        self._settle(end, -1)
        return Layout(self.root, _without_end(end.lead), self.has_anchors)

    # --- Events ----------------------------------------------------------------------------------------------------

    def _leaf(self, event: yaml.ScalarEvent | yaml.AliasEvent) -> None:
        self._scan(_begin(event))
        anchor = self._anchor(event) if isinstance(event, yaml.ScalarEvent) else ""
        end = max(_end(event), self.position)
        leaf = Leaf(self.text[self.position : end], anchor)
        self.position = end
        holder = self.open[-1] if self.open else None
        if holder is not None and holder.is_mapping and self.key is None:
            if isinstance(event, yaml.ScalarEvent) and "\n" in leaf.source:
                leaf.source = json.dumps(event.value, ensure_ascii=False)  # a key stands on one line
            self.key = self.last = self._entry(holder, key=leaf)
            return
        self.last = self._place(leaf)
        if isinstance(event, yaml.ScalarEvent) and event.style in {"|", ">"}:
            self._read_block(leaf, holder)

    def _read_block(self, leaf: Leaf, holder: Branch | None) -> None:
        block, has_blank_lines = _read_block(leaf.source, holder.column if holder is not None else -1)
        leaf.block = block
        if has_blank_lines:
            self.waiting.append(_Line(BLANK, -1))
        entry = self.last
        if entry is not None and entry.tail:  # from beside the key
            entry.lead += [block.comment] if block.comment else []
            block.comment, entry.tail = entry.tail, ""

    def _start(self, event: yaml.MappingStartEvent | yaml.SequenceStartEvent) -> None:
        self._scan(_begin(event))
        column = _column(self.text, _begin(event))
        anchor = self._anchor(event)
        branch = Branch(isinstance(event, yaml.MappingStartEvent), bool(event.flow_style), column, anchor)
        if anchor and not branch.is_flow:
            branch.column = _column(self.text, _after_space(self.text, self.position, len(self.text)))
        entry = self._place(branch)
        self.open.append(branch)
        self.owners.append(entry)
        if anchor or branch.is_flow:
            self.last = entry

    def _close(self, event: yaml.MappingEndEvent | yaml.SequenceEndEvent) -> None:
        branch, owner = self.open[-1], self.owners[-1]
        if branch.is_flow:
            self._scan(_begin(event))
            (branch.foot if branch.entries else owner.lead).extend(_without_end(self._take_waiting()))
            self.position = _end(event)
            self.last = owner
        else:
            self.closed.append(branch)
        self.open.pop()
        self.owners.pop()

    def _anchor(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> str:
        """The anchor before a value; what stands between the two is scanned like any other space."""
        if event.anchor is None:
            return ""
        self.has_anchors = True
        self.position = _begin(event) + len(event.anchor) + 1
        if isinstance(event, yaml.ScalarEvent):
            self._scan(_after_space(self.text, self.position, _end(event)))
        return f"&{event.anchor}"

    # --- Entries ---------------------------------------------------------------------------------------------------

    def _place(self, node: Node) -> Entry:
        """Put a value where it belongs: the entry that holds it."""
        if self.key is not None:
            entry, self.key = self.key, None
            if isinstance(node, Leaf) or node.is_flow:
                entry.lead += self._take_waiting()
        elif self.open:
            entry = self._entry(self.open[-1])
        else:
            entry = self.root
            entry.lead += self._take_waiting()
        entry.value = node
        return entry

    def _entry(self, holder: Branch, key: Leaf | None = None) -> Entry:
        entry = Entry([], key)
        self._settle(entry, holder.column)
        holder.entries.append(entry)
        return entry

    def _settle(self, following: Entry, column: int) -> None:
        """Give the waiting lines to collections that have ended, where they are indented as these, or to what follows.

        Args:
            following: what stands after the lines.
            column: how far that is indented.
        """
        closed, lines, settled = self.closed, self.waiting, 0
        for number, line in enumerate(lines, start=1):
            if line.text == BLANK:
                continue
            while closed and closed[0].column > line.column:
                closed = closed[1:]
            if not closed or line.column <= column:
                break
            closed[0].foot += [each.text for each in lines[settled:number]]
            settled = number
        following.lead += [line.text for line in lines[settled:]]
        self.waiting = []
        self.closed = []

    def _take_waiting(self) -> list[str]:
        taken = [line.text for line in self.waiting]
        self.waiting = []
        return taken

    # --- What stands between ---------------------------------------------------------------------------------------

    def _scan(self, end: int) -> None:
        """Read the comments and blank lines up to a token."""
        start = self.position
        for line in self.text[start:end].split("\n"):
            begins_line = start == 0 or self.text[start - 1] == "\n"
            ends_line = start + len(line) < end
            self._scan_line(line, begins_line=begins_line, ends_line=ends_line)
            start += len(line) + 1
        self.position = max(self.position, end)

    def _scan_line(self, line: str, *, begins_line: bool, ends_line: bool) -> None:
        """Read what stands on one line between two tokens, which may stand on it as well."""
        comment = "" if line.startswith("%") and begins_line else line.lstrip(_INDICATORS)
        before = line[: len(line) - len(comment)]
        if not comment:
            if begins_line and ends_line and not line.strip():
                self.waiting.append(_Line(BLANK, -1))
        elif self.last is None or "-" in before or (begins_line and not before.strip()):
            self.waiting.append(_Line(comment.rstrip(), len(before)))
        else:
            if self.last.tail:
                self.last.lead.append(self.last.tail)
            self.last.tail = comment.rstrip()


def _without_end(lines: list[str]) -> list[str]:
    """The lines without the blank ones at their end."""
    while lines and lines[-1] == BLANK:
        lines.pop()
    return lines


def _begin(event: yaml.Event) -> int:
    return event.start_mark.index if event.start_mark is not None else 0  # parsing gives every event its marks


def _end(event: yaml.Event) -> int:
    return event.end_mark.index if event.end_mark is not None else 0


def _column(text: str, place: int) -> int:
    return place - (text.rfind("\n", 0, place) + 1)


def _after_space(text: str, begin: int, end: int) -> int:
    """Where space and comments end that begin at a place."""
    space = _SPACE.match(text, begin, end)
    return space.end() if space is not None else begin


def _read_block(source: str, holder_indent: int) -> tuple[Block, bool]:
    """A block scalar, and whether blank lines follow it that are no part of it (YAML 1.2, section 8.1).

    Args:
        source: from its indicator on.
        holder_indent: how far the collection that holds it is indented, -1 for none.
    """
    header = _BLOCK_HEADER.match(source)
    assert header is not None  # noqa: S101 - the parser accepted it
    chomping, digit = header[2] or header[5] or "", header[3] or header[4]
    text = source[header.end() :]
    lines = text.split("\n")
    if lines[-1]:
        chomping = "-"  # the file ends without a break, so the text does
    else:
        lines.pop()
    if digit is not None:
        indent = max(holder_indent, 0) + int(digit)
    else:
        indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip(" ")), len(text))
    lines = [line[indent:] for line in lines]
    written = len(lines)
    while chomping != "+" and lines and not lines[-1]:
        lines.pop()
    return Block(header[1], chomping, header[6] or "", lines), len(lines) < written
