"""JSON objects that every reader reads alike, for tokens and key sets.

Python's reader takes the last of two equal names, `NaN`, and numbers that become infinite. Two readers of one token
could then disagree on what it says (RFC 8259 section 4 calls that behaviour unpredictable), so all three are refused,
and nesting is bounded.
"""

from __future__ import annotations

import json
import math
import sys

from extauthz.model.access import JsonValue

MAX_DEPTH = 64
"""How deep objects and arrays may nest: more than any issuer needs, far less than recursion would take."""

_LARGEST_INTEGER = int(sys.float_info.max)
"""Conditions compute with doubles, which end at 1.8e308."""


class JsonRefusedError(ValueError):
    """Not a JSON object, or one that could be read in two ways. The message never quotes it."""


def parse_object(data: bytes) -> dict[str, JsonValue]:
    """Read a JSON object from UTF-8.

    Raises:
        JsonRefusedError: not UTF-8, not JSON, not an object, a name given twice, a number that is not finite, or
            nested deeper than MAX_DEPTH.
    """
    try:
        value = json.loads(
            data.decode(),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
        )
    except JsonRefusedError:
        raise
    except (ValueError, RecursionError):
        raise JsonRefusedError("not JSON") from None
    if not isinstance(value, dict):
        raise JsonRefusedError("not a JSON object")
    _check_values(value)
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonRefusedError("a name is given twice")
    return members


def _refuse_constant(text: str) -> JsonValue:
    raise JsonRefusedError(f"{text} is no JSON number")


def _check_values(root: dict[str, JsonValue]) -> None:
    """Refuse excessive depth and numbers out of range, level by level: the stack does not grow with the input."""
    level: list[dict[str, JsonValue] | list[JsonValue]] = [root]
    for _ in range(MAX_DEPTH):
        deeper: list[dict[str, JsonValue] | list[JsonValue]] = []
        for container in level:
            for value in container.values() if isinstance(container, dict) else container:
                if isinstance(value, (dict, list)):
                    deeper.append(value)
                elif not _in_range(value):
                    raise JsonRefusedError("a number is out of range")
        if not deeper:
            return
        level = deeper
    raise JsonRefusedError(f"nested deeper than {MAX_DEPTH}")


def _in_range(value: JsonValue) -> bool:
    if isinstance(value, int):
        return -_LARGEST_INTEGER <= value <= _LARGEST_INTEGER
    return not isinstance(value, float) or math.isfinite(value)
