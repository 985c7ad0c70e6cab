"""The request body as JSON, for conditions: parsed strictly and once per request.

Two readers of one body must not see two things, so we refuse where parsers differ: duplicate keys, NaN and Infinity, a
byte order mark, NUL and lone surrogates in text, deep nesting, another charset, a content coding, a content type that
is not JSON. Numbers become doubles, as in `extauthz.languages.cel_value`.
"""

from __future__ import annotations

import json
from typing import Final, NoReturn

from extauthz.languages.cel_value import PlainValue, UnsafeValueError, plain_value
from extauthz.model.access import AccessRequest, Facts

MAX_BODY_DEPTH = 64
"""Lists and objects within each other."""

_MEMO_KEY: Final = "json_body"


class JsonBodyError(Exception):
    """The request has no body that can be read as one JSON text; the message says why, without any of it."""


def json_body(facts: Facts) -> PlainValue:
    """The body, parsed at the first read and kept for the request.

    Raises:
        JsonBodyError: there is none, not all of it is here, or it is not JSON that every reader reads alike.
    """
    kept = facts.memo.get(_MEMO_KEY)
    if kept is None:
        try:
            kept = _Parsed(parse_json_body(facts.request))
        except JsonBodyError as error:
            kept = error
        facts.memo[_MEMO_KEY] = kept
    if isinstance(kept, _Parsed):
        return kept.value
    raise JsonBodyError(str(kept))


class _Parsed:
    """Tells a parsed `null` from no body."""

    __slots__ = ("value",)

    def __init__(self, value: PlainValue) -> None:
        self.value = value


def parse_json_body(request: AccessRequest) -> PlainValue:
    """The body of the request as plain, safe values.

    Raises:
        JsonBodyError: as for `json_body`.
    """
    body = request.body
    if body is None:
        raise JsonBodyError("the body is not here, or not whole")
    _require_json(request)
    try:
        text = body.decode("utf-8")
        value = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_int=float,
            parse_constant=_refuse_constant,
        )
        return plain_value(value, MAX_BODY_DEPTH)
    except (ValueError, RecursionError, UnsafeValueError) as error:
        raise JsonBodyError(f"the body is not acceptable JSON: {type(error).__name__}") from error


def _require_json(request: AccessRequest) -> None:
    types = request.header_values("content-type")
    if len(types) != 1 or not _is_json(types[0]):
        raise JsonBodyError("the content type is not JSON in UTF-8")
    if any(coding.strip().lower() != "identity" for coding in request.header_values("content-encoding")):
        raise JsonBodyError("the body has a content coding")


def _is_json(content_type: str) -> bool:
    """`application/json` or a `+json` suffix (RFC 6839 section 3.1), in UTF-8 (RFC 8259 section 8.1)."""
    media_type, *parameters = (part.strip().lower() for part in content_type.split(";"))
    kind, slash, subtype = media_type.partition("/")
    is_json = media_type == "application/json" or (bool(kind and slash) and subtype.endswith("+json"))
    charsets = [p.partition("=")[2].strip().strip('"') for p in parameters if p.partition("=")[0].strip() == "charset"]
    return is_json and all(charset == "utf-8" for charset in charsets)


def _unique_keys(pairs: list[tuple[str, PlainValue]]) -> dict[str, PlainValue]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a key stands twice")
    return result


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError("not a JSON number")
