"""The records of a file, line by line, each with the number of its line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from extauthz.authoring.record import Record, RecordRefusedError, read_record
from extauthz.errors import ConfigurationError
from extauthz.languages.policy_yaml.nodes import AnyNode, Fields, Items
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.model.source import Span


@dataclass(slots=True)
class RecordFile:
    """Reads records; whoever wrote them may have been stopped in the middle of the last line."""

    path: str
    bytes_read: int = 0
    records: int = 0
    is_cut_off: bool = False
    """Whether the last line is a part of a record. It was left out."""

    def read(self, lines: Iterable[bytes]) -> Iterator[tuple[int, Record]]:
        """The records, as far as the file is read.

        Args:
            lines: of the file, with their breaks.

        Raises:
            ConfigurationError: a line is no record, or there is none; with its place.
        """
        for number, line in enumerate(lines, start=1):
            self.bytes_read += len(line)
            try:
                record = read_record(line.decode())
            except UnicodeDecodeError as error:
                if self._ends_in(line):
                    return
                raise self._refused(number, error.start + 1, "not UTF-8") from None
            except RecordRefusedError as error:
                if error.column is not None and self._ends_in(line):
                    return
                column = error.column or _column(line, error.path)
                raise self._refused(number, column, str(error)) from None
            self.records += 1
            yield number, record
        if not self.records:
            raise ConfigurationError(f"{self.path} holds no records: name a file that `serve --record` wrote")

    def _ends_in(self, line: bytes) -> bool:
        """Whether the file ends in the middle of this line, after others."""
        self.is_cut_off = self.records > 0 and not line.endswith(b"\n")
        return self.is_cut_off

    def _refused(self, line: int, column: int, message: str) -> ConfigurationError:
        return ConfigurationError(f"{Span(self.path, line, column)}: {message}")


def _column(line: bytes, path: tuple[str | int, ...]) -> int:
    """Where a member stands in its line. JSON is YAML, whose reader knows places."""
    node: AnyNode | None = read_document("", line, Report())
    column = 1
    for step in path:
        if isinstance(node, Fields) and isinstance(step, str) and step in node.entries:
            node = node.entries[step][1]
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node.items):
            node = node.items[step]
        else:
            break
        column = node.column
    return column
