"""The values file: what `${NAME}` in providers and hosts stands for, a YAML map of strings.

Read from YAML events, not from a constructed document: a flat map needs no nesting, so there is none to run out of,
and a scalar's style tells text from a number (`"8080"` is a value, `8080` is a mistake that YAML would retype).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

import yaml

from extauthz.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

# YAML 1.2.2 section 10.3.2, the core schema: every plain scalar that is not a string.
_NOT_A_STRING = re.compile(
    r"|~|null|Null|NULL|true|True|TRUE|false|False|FALSE"
    r"|[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"
    r"|[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)


class _Mark(Protocol):
    """A place in the text, counted from 0; PyYAML has two classes for it."""

    line: int
    column: int


def parse_values(path: str, content: bytes) -> Mapping[str, str]:
    """Read `NAME: text` pairs; messages name the file and line, never a value.

    Raises:
        ConfigurationError: not a YAML map of strings with names as `${NAME}` takes them, each once.
    """
    values: dict[str, str] = {}
    try:
        for key, value in _pairs(path, content):
            if _NAME.fullmatch(key.value) is None:
                raise _wrong(
                    path, key.start_mark, f"{key.value!r} is no name: use letters, digits and _, as in ${{NAME}}"
                )
            if key.value in values:
                raise _wrong(path, key.start_mark, f"{key.value} is given twice: keep one")
            if value.style is None and _NOT_A_STRING.fullmatch(value.value):
                raise _wrong(path, value.start_mark, f"the value of {key.value} is not a string: put it in quotes")
            values[key.value] = value.value
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or getattr(error, "reason", "it cannot be read")
        raise _wrong(path, getattr(error, "problem_mark", None), f"not YAML: {problem}") from error
    return values


def _pairs(path: str, content: bytes) -> Iterator[tuple[yaml.ScalarEvent, yaml.ScalarEvent]]:
    """The pairs of the one flat map that the file must be; an empty file has none."""
    framing = (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentEndEvent)
    events = (e for e in yaml.parse(content, Loader=yaml.SafeLoader) if not isinstance(e, framing))
    if next(events, None) is None:  # the start of a document
        return
    start = next(events)
    if not isinstance(start, yaml.MappingStartEvent):
        raise _wrong(path, start.start_mark, "a map of strings is expected, as in ISSUER: https://issuer.example")
    for key in events:
        if isinstance(key, yaml.MappingEndEvent):
            break
        yield _scalar(path, key), _scalar(path, next(events))
    for extra in events:
        raise _wrong(path, extra.start_mark, "one document is expected: remove what follows")


def _scalar(path: str, event: yaml.Event) -> yaml.ScalarEvent:
    if not isinstance(event, yaml.ScalarEvent):
        raise _wrong(path, event.start_mark, "a string is expected: values are text, without lists, maps or aliases")
    if event.tag is not None:
        raise _wrong(path, event.start_mark, "tags are not read: remove it")
    return event


def _wrong(path: str, mark: _Mark | None, message: str) -> ConfigurationError:
    where = path if mark is None else f"{path}:{mark.line + 1}:{mark.column + 1}"
    return ConfigurationError(f"{where}: {message}")
