"""Which lines of the modules are evaluated, for those who measure what tests reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:  # sets without Rego do without plans
    from extauthz.languages.rego.ir import Place

Line: TypeAlias = tuple[str, int]
"""A module's path, and a line counted from 1."""


class LineMarks:
    """Counts evaluations line by line. A program that was compiled with marks counts into them, in one thread."""

    def __init__(self) -> None:
        self._numbers: dict[Line, int] = {}
        self.counts: list[int] = []
        """By number; generated code adds to them."""

    def number(self, place: Place) -> int:
        """The number of a line, which is there to be evaluated."""
        line = (place.file, place.line)
        if line not in self._numbers:
            self._numbers[line] = len(self.counts)
            self.counts.append(0)
        return self._numbers[line]

    @property
    def by_line(self) -> Mapping[Line, int]:
        """How often each line was evaluated; a line without an expression is not there."""
        return {line: self.counts[number] for line, number in sorted(self._numbers.items())}
