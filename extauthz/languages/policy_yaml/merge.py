"""Several files, one set: maps merge (a name given twice is an error), lists concatenate, scalars must agree.

Records (`paths`, `defaults`, ...) merge key by key by the same rule. Files are taken in the order given.
"""

from __future__ import annotations

from collections.abc import Sequence

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.records import R, Record
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.languages.policy_yaml.shapes import Entry


def merge(records: Sequence[R], report: Report) -> R:
    """One record that says what all of them say; `records` is not empty."""
    first = records[0]
    if len(records) == 1:
        return first
    values: dict[object, object] = {}
    entries = dict(first.node.entries)
    for record in records[1:]:
        entries = {**record.node.entries, **entries}
    for name, key in first.keys.items():
        written = [record.values[key] for record in records if key in record.values]
        if written:
            values[key] = _merge_values(name, written, report)
    node = type(first.node)(first.node.document, first.node.line, first.node.column, entries)
    return type(first)(node, first.owner, values)


def _merge_values(name: str, written: Sequence[object], report: Report) -> object:
    first = written[0]
    if len(written) == 1:
        return first
    if isinstance(first, tuple):
        together = tuple(item for part in written if isinstance(part, tuple) for item in part)
        repeated = _repeated_names([item for item in together if isinstance(item, Entry)], report)
        return tuple(item for item in together if item not in repeated)
    if isinstance(first, Record) and all(isinstance(part, type(first)) for part in written):
        return merge([part for part in written if isinstance(part, Record)], report)
    for other in written[1:]:
        if isinstance(other, Scalar) and not (isinstance(first, Scalar) and first.value == other.value):
            message = f"{quoted(name)} is {quoted(other.text)} here"
            hint = "files of one set must agree: it is something else elsewhere"
            if isinstance(first, Scalar):
                hint = f"files of one set must agree: it is {quoted(first.text)} at {first.span}"
            report.error(Code.MERGE_CONFLICT, other, message, hint)
        elif isinstance(other, Record):
            report.error(Code.MERGE_CONFLICT, other.owner, f"{quoted(name)} is something else in another file")
    return first


def _repeated_names(entries: Sequence[Entry[object]], report: Report) -> list[Entry[object]]:
    """The entries whose name another one has already, reported."""
    repeated: list[Entry[object]] = []
    known: dict[str, Entry[object]] = {}
    for entry in entries:
        first = known.setdefault(entry.name, entry)
        if first is not entry:
            message = f"{quoted(entry.name)} is defined twice, first at {first.key.span}"
            report.error(Code.DUPLICATE_NAME, entry.key, message)
            repeated.append(entry)
    return repeated
