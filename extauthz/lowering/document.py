"""Envoy configuration as JSON: values in the proto3 JSON mapping, and their one text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeAlias

JsonObject: TypeAlias = dict[str, Any]
"""A message of Envoy's API. Its schema is Envoy's, which the real binary checks."""


def render(value: JsonObject | Sequence[JsonObject]) -> str:
    """The text of a configuration: the same value gives the same bytes."""
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
