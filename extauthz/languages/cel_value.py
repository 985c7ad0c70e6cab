"""What may cross into the CEL library, which is unsafe with raw input.

cel-expr-python cuts strings at NUL ("admin", NUL, "x" would equal "admin"), raises on lone surrogates, overflows the C
stack on deep nesting, and takes `True` for an integer. So a value that comes from a request is either copied into plain
`dict`, `list`, `str`, `bool`, `float` and `None` of bounded depth, or refused.

Numbers become doubles, as in Envoy's google.protobuf.Struct, so that a condition has the same answer there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import TypeAlias

from extauthz.model.access import JsonValue

PlainValue: TypeAlias = "bool | float | str | list[PlainValue] | dict[str, PlainValue] | None"

MAX_DEPTH = 32
"""Lists and objects within each other, in one value that is read."""

_NUL_OR_SURROGATE = re.compile("[\0\ud800-\udfff]")


class UnsafeValueError(Exception):
    """A value that must not cross: the text says what is wrong with it, never what it is."""


def is_safe_text(text: str) -> bool:
    """Whether the text has neither NUL nor lone surrogates."""
    if text.isascii():
        return "\0" not in text
    return _NUL_OR_SURROGATE.search(text) is None


def plain_text(text: object) -> str:
    """The text itself.

    Raises:
        UnsafeValueError: it holds NUL or a lone surrogate, or is no text after all (a key of a mapping).
    """
    if not isinstance(text, str) or not is_safe_text(text):
        raise UnsafeValueError("text with NUL or a lone surrogate")
    return text


def plain_value(value: JsonValue, depth: int = MAX_DEPTH) -> PlainValue:
    """A copy that is safe to cross; numbers become doubles.

    Args:
        value: as JSON gives it; tuples and other mappings are taken too.
        depth: how many lists and objects may stand within each other.

    Raises:
        UnsafeValueError: NUL or a lone surrogate, a number that is no finite double, nesting beyond `depth`.
    """
    if isinstance(value, str):
        return plain_text(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return _plain_number(value)
    if depth == 0:
        raise UnsafeValueError("nested too deeply")
    if isinstance(value, (dict, Mapping)):
        return {plain_text(key): plain_value(item, depth - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain_value(item, depth - 1) for item in value]
    raise UnsafeValueError("not a JSON value")


def _plain_number(value: float) -> float:
    try:
        number = float(value)
    except OverflowError as error:
        raise UnsafeValueError("a number beyond a double") from error
    if not math.isfinite(number):
        raise UnsafeValueError("a number that is not finite")
    return number
