"""The difference of two JSON documents as a JSON Patch (RFC 6902)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

Operation: TypeAlias = dict[str, Any]


def diff(before: object, after: object, path: str = "") -> Iterator[Operation]:
    """The operations that make `after` of `before`, in the order in which they apply."""
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _diff_maps(before, after, path)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _diff_lists(before, after, path)
    elif not _same_scalar(before, after):
        yield {"op": "replace", "path": path, "value": after}


def _diff_maps(before: dict[str, Any], after: dict[str, Any], path: str) -> Iterator[Operation]:
    for key in before:
        if key not in after:
            yield {"op": "remove", "path": f"{path}/{_escape(key)}"}
    for key, value in after.items():
        if key in before:
            yield from diff(before[key], value, f"{path}/{_escape(key)}")
        else:
            yield {"op": "add", "path": f"{path}/{_escape(key)}", "value": value}


def _diff_lists(before: list[Any], after: list[Any], path: str) -> Iterator[Operation]:
    """What is alike at both ends stays; what lies between is changed, then added to or cut."""
    start = _common(before, after)
    tail = _common(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - tail], after[start : len(after) - tail]
    both = min(len(old), len(new))
    for index in range(both):
        yield from diff(old[index], new[index], f"{path}/{start + index}")
    for index in range(len(old) - 1, both - 1, -1):
        yield {"op": "remove", "path": f"{path}/{start + index}"}
    for index in range(both, len(new)):
        yield {"op": "add", "path": f"{path}/{start + index}", "value": new[index]}


def _common(before: list[Any], after: list[Any]) -> int:
    """How many items at the start are alike."""
    for count, (one, other) in enumerate(zip(before, after, strict=False)):
        if not _same(one, other):
            return count
    return min(len(before), len(after))


def _same(one: object, other: object) -> bool:
    """Equal as JSON: true is not 1."""
    return next(diff(one, other), None) is None


def _same_scalar(one: object, other: object) -> bool:
    return type(one) is type(other) and one == other


def _escape(key: str) -> str:
    """As a part of a JSON Pointer (RFC 6901 section 3)."""
    return key.replace("~", "~0").replace("/", "~1")
