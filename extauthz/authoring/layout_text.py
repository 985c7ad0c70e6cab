"""The tree of a YAML file -> text, in the one style.

Two spaces for each level, list items below their key included. A `{...}` or `[...]` stays one if it fits on its line
and holds no comment; everything else stands on lines of its own. At most one blank line in a row, none at the beginning
of a block; two spaces before a comment beside something. Scalars are written as they are, further lines indented anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile, takewhile

from extauthz.authoring.layout import BLANK, Block, Branch, Entry, Layout, Leaf, Node

WIDTH = 120
"""Of a line with a flow collection."""
STEP = 2


def layout_text(layout: Layout) -> str:
    """The file's text."""
    writer = _Writer()
    root = layout.root
    writer.comments(root.lead, 0)
    if isinstance(root.value, Branch):
        flow = _fitting(root.value, 0)
        if flow is not None:
            writer.line(flow, root.tail)
        else:
            writer.line(root.value.anchor, root.tail)
            writer.branch(root.value, 0)
    writer.comments(layout.foot, 0)
    return "".join(f"{line}\n" for line in writer.lines)


@dataclass(slots=True)
class _Writer:
    lines: list[str] = field(default_factory=list)
    may_skip: bool = False
    """Whether a blank line may come next: not at the beginning, nor where a block scalar would take it."""

    def line(self, text: str, comment: str = "") -> None:
        """A line, if there is anything to write."""
        if text or comment:
            self.lines.append(f"{text}  {comment}" if text and comment else text or comment)
            self.may_skip = True

    def comments(self, comments: Iterable[str], indent: int) -> None:
        for comment in comments:
            if comment != BLANK:
                self.line(" " * indent + comment)
            elif self.may_skip:
                self.lines.append("")
                self.may_skip = False

    def branch(self, branch: Branch, indent: int, head: str = "") -> None:
        """The entries, one below the other.

        Args:
            branch: what to write.
            indent: how far.
            head: what stands before the first entry on its line, which has no comments above it then.
        """
        for number, entry in enumerate(branch.entries):
            if number == 0 and head:
                self.entry(entry, indent, head)
                continue
            lead: Iterable[str] = _lead(entry, indent)
            self.comments(lead if number else dropwhile(BLANK.__eq__, lead), indent)
            self.entry(entry, indent, " " * indent)
        self.comments(branch.foot, indent)

    def entry(self, entry: Entry, indent: int, head: str) -> None:
        """An entry without the comments above it; `head` is what its line begins with."""
        head += _start(entry)
        value = entry.value
        if isinstance(value, Leaf):
            self.leaf(value, indent + STEP, head, entry.tail)
            return
        flow = _fitting(value, len(head) + 1)
        if flow is not None:
            self.line(f"{head} {flow}", entry.tail)
        elif _is_compact(entry):
            self.branch(value, indent + STEP, f"{head} ")
        else:
            self.line(f"{head} {value.anchor}".rstrip(), entry.tail)
            self.branch(value, indent + STEP)

    def leaf(self, leaf: Leaf, indent: int, head: str, comment: str) -> None:
        """A scalar; `indent` is that of its further lines."""
        if leaf.anchor:
            head += f" {leaf.anchor}"
        margin = " " * indent
        if leaf.block is not None:
            self.line(f"{head} {_header(leaf.block)}", leaf.block.comment)
            self.lines += [margin + line if line else "" for line in leaf.block.lines]
            self.may_skip = leaf.block.chomping != "+"
            return
        first, *more = leaf.source.split("\n")
        lines = [f"{head} {first}" if first else head, *(margin + line.lstrip(" \t") for line in more)]
        for line in lines[:-1]:
            self.lines.append(_without_end_space(line))
        self.line(lines[-1], comment)


def _start(entry: Entry) -> str:
    if entry.key is None:
        return "-"
    return f"{_flow(entry.key)} :" if entry.key.source.startswith("*") else f"{_flow(entry.key)}:"


def _is_compact(entry: Entry) -> bool:
    """Whether the first entry of a broken collection stands on the line of its dash."""
    return entry.key is None and isinstance(entry.value, Branch) and not entry.value.anchor


def _lead(entry: Entry, indent: int) -> Sequence[str]:
    """The lines above an entry, with those that cannot stand where they stood."""
    value = entry.value
    if not _is_compact(entry) or not isinstance(value, Branch) or _fitting(value, indent + STEP) is not None:
        return entry.lead
    beside = [entry.tail] if entry.tail else []
    return [*entry.lead, *beside, *_lead(value.entries[0], indent + STEP)]


def _header(block: Block) -> str:
    """The header; it tells the indentation where the text begins with space of its own (YAML 1.2, section 8.1.1.1)."""
    begin = [*takewhile(lambda line: not line.strip(" "), block.lines)]
    first = block.lines[len(begin) : len(begin) + 1]
    digit = str(STEP) if any(line.startswith((" ", "\t")) for line in (*begin, *first)) else ""
    return f"{block.indicator}{digit}{block.chomping}"


def _without_end_space(line: str) -> str:
    """The line without spaces that folding drops; an escaped one stays."""
    stripped = line.rstrip(" \t")
    return line if stripped.endswith("\\") else stripped


def _fitting(branch: Branch, column: int) -> str | None:
    """A flow collection on one line that begins at a column; None when it must be broken into lines."""
    if not branch.is_flow:
        return None
    flow = _flow(branch)
    return flow if (flow is not None and column + len(flow) <= WIDTH) or not branch.entries else None


def _flow(node: Node) -> str | None:
    """The node within a line; None when it holds comments or breaks."""
    anchor = f"{node.anchor} " if node.anchor else ""
    if isinstance(node, Leaf):
        return None if "\n" in node.source else f"{anchor}{node.source}".rstrip()
    if any(line != BLANK for line in node.foot):
        return None
    texts = [_flow_entry(entry) for entry in node.entries]
    if None in texts:
        return None
    inner = ", ".join(text for text in texts if text is not None)
    return f"{anchor}{{{inner}}}" if node.is_mapping else f"{anchor}[{inner}]"


def _flow_entry(entry: Entry) -> str | None:
    value = _flow(entry.value)
    if value is None or entry.tail or any(line != BLANK for line in entry.lead):
        return None
    if entry.key is None:
        return value
    return f"{_start(entry)} {value}" if value else _flow(entry.key)
