"""The query of a request target, as `application/x-www-form-urlencoded` (URL Standard, section 5.1).

Split at `&`, then at the first `=`; `+` is a space, `%XX` an octet of UTF-8. A value that cannot be decoded is kept as
None, so that a condition that reads it fails instead of reading a guess. A *name* that cannot be decoded, or one with
NUL, might be any name to another reader, so it spoils the whole query. `;` separates nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

MAX_PARAMETERS = 1000
"""More are refused: nobody sends them in earnest, and each costs time."""

_MALFORMED_ESCAPE = re.compile("%(?![0-9A-Fa-f]{2})")


class QueryError(Exception):
    """A query whose names cannot be told apart safely."""


def parse_query(target: str) -> Mapping[str, tuple[str | None, ...]]:
    """The parameters of a raw request target, each with its values in order; None where a value cannot be decoded.

    Raises:
        QueryError: a name that cannot be decoded, or too many parameters.
    """
    query = target.partition("?")[2]
    if query.count("&") >= MAX_PARAMETERS:
        raise QueryError(f"more than {MAX_PARAMETERS} parameters")
    parameters: dict[str, tuple[str | None, ...]] = {}
    for pair in query.split("&"):
        if pair:
            raw_name, _, raw_value = pair.partition("=")
            name = _decode(raw_name)
            if name is None or "\0" in name:
                raise QueryError("a parameter's name cannot be decoded")
            parameters[name] = (*parameters.get(name, ()), _decode(raw_value))
    return parameters


def _decode(raw: str) -> str | None:
    if _MALFORMED_ESCAPE.search(raw):
        return None
    try:
        return unquote_to_bytes(raw.replace("+", " ")).decode("utf-8")
    except UnicodeError:
        return None
