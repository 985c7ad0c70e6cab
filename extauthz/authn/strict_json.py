"""JSON objects that every reader reads alike, for tokens and key sets.

Python's reader takes the last of two equal names, `NaN`, and numbers that become infinite. Two readers of one token
could then disagree on what it says (RFC 8259 section 4 calls that behaviour unpredictable), so all three are refused,
and nesting is bounded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

from extauthz.model.access import JsonValue

MAX_DEPTH = 64
"""How deep objects and arrays may nest: more than any issuer needs, far less than recursion would take."""

_MAX_INTEGER_DIGITS = 300
"""Keeps integers within a double's range, 1.8e308, which is what conditions compute with."""


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
            parse_float=_finite,
            parse_int=_bounded,
        )
    except JsonRefusedError:
        raise
    except (ValueError, RecursionError):
        raise JsonRefusedError("not JSON") from None
    if not isinstance(value, dict):
        raise JsonRefusedError("not a JSON object")
    if _depth_exceeds(value, MAX_DEPTH):
        raise JsonRefusedError(f"nested deeper than {MAX_DEPTH}")
    return value


def _unique(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise JsonRefusedError("a name is given twice")
    return members


def _refuse_constant(text: str) -> JsonValue:
    raise JsonRefusedError(f"{text} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise JsonRefusedError("a number is out of range")
    return number


def _bounded(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS:
        raise JsonRefusedError("a number is out of range")
    return int(text)


def _depth_exceeds(value: JsonValue, limit: int) -> bool:
    level: list[JsonValue] = [value]
    for _ in range(limit):
        level = [child for container in level for child in _children(container)]
        if not level:
            return False
    return any(_is_container(value) for value in level)


def _children(value: JsonValue) -> Sequence[JsonValue]:
    if isinstance(value, Mapping):
        return list(value.values())
    return value if isinstance(value, list) else ()


def _is_container(value: JsonValue) -> bool:
    return isinstance(value, (dict, list))
