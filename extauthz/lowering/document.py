"""Envoy configuration as JSON: values in the proto3 JSON mapping, and their one text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A message of Envoy's API. Its schema is Envoy's, which the real binary checks."""


_READABLE_CHARACTERS: Final = 4_000_000
"""Nobody reads a longer text; its indentation would be three quarters of it, and of the time that it takes."""


def render(value: JsonObject | Sequence[JsonObject]) -> str:
    """The text of a configuration, indented unless it is too long to be read: the same value gives the same bytes."""
    compact = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
    if len(compact) > _READABLE_CHARACTERS:
        return compact + "\n"
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
