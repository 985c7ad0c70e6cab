"""Where a piece of policy text stands, and what is to be said about it.

A diagnostic reads as a compiler's: `file:line:column: EAZnnn message`, the source line, a caret, a hint. Diagnostics
are collected and sorted, never reported one at a time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A place in a file. Lines and columns count from 1; columns count code points."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


class Severity(StrEnum):
    """Whether a set with this diagnostic may be served."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, order=True)
class Diagnostic:
    """One finding about a policy set. Sorts by place, then code."""

    span: Span
    code: str
    message: str
    severity: Severity = field(default=Severity.ERROR, compare=False)
    path: str = field(default="", compare=False)
    """The YAML path, as in `routes[2].allow[0].when`."""
    hint: str = field(default="", compare=False)
    """What to do, as in `did you mean 'authenticated'?`."""
    source_line: str = field(default="", compare=False)

    def render(self) -> str:
        """The diagnostic as an author reads it in a terminal, without a final newline."""
        label = "" if self.severity is Severity.ERROR else "warning: "
        lines = [f"{self.span}: {self.code} {label}{self.message}"]
        if self.source_line:
            lines += [f"  {self.source_line}", "  " + " " * (self.span.column - 1) + "^"]
        if self.hint:
            lines.append(f"  hint: {self.hint}")
        return "\n".join(lines)
