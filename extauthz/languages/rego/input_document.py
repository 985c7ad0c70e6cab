"""What a policy finds in `input` beside the request's own attributes, as users of opa-envoy-plugin know it.

`parsed_path` and `parsed_query` come from the request's target, `parsed_body` and `truncated_body` from its headers and
body. What cannot be read is refused in Go's words, since clients see them. Values are as in `value`; bytes that are no
UTF-8 stand in texts as lone surrogates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from extauthz.errors import ExtAuthzError
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.multipart import MultipartError, media_parameters, read_parts
from extauthz.languages.rego.value import Value, bytes_text, parse_json

MAX_QUERY_PARAMETERS: Final = 10_000
"""Go's net/url reads no more pairs than that (GODEBUG urlmaxqueryparams)."""

PARTIAL_BODY_HEADER: Final = "x-envoy-auth-partial-body"
"""Envoy says `true` there when `allow_partial_message` cut the body off."""


class InputRefusedError(ExtAuthzError):
    """The request cannot be made into a document: an escape, the query or the body is malformed."""


class Body(NamedTuple):
    """What `parsed_body` and `truncated_body` are."""

    value: Value
    truncated: bool


NO_BODY: Final = Body(None, truncated=False)
CUT_BODY: Final = Body(None, truncated=True)

GrpcReader: TypeAlias = Callable[[bytes, list[str]], Body]
"""Reads a gRPC message, given what was sent and the parsed path; raises InputRefusedError."""


# --- The target ----------------------------------------------------------------------------------------------------


def parse_target(target: str) -> tuple[list[str], dict[str, list[str]]]:
    """`parsed_path` and `parsed_query` of a request target.

    It is cut at the first `?`. All slashes in front go, then the decoded path is split at slashes: an encoded one
    splits, too.

    Raises:
        InputRefusedError: a percent escape is malformed, or the query holds `;` or too many pairs.
    """
    path, _, query = target.partition("?")
    return _unescape(path).lstrip("/").split("/"), parse_query(query) if query else {}


def parse_query(query: str) -> dict[str, list[str]]:
    """The values of each name, in order (application/x-www-form-urlencoded).

    Raises:
        InputRefusedError: as `parse_target`.
    """
    if query.count("&") >= MAX_QUERY_PARAMETERS:
        raise InputRefusedError("number of URL query parameters exceeded limit")
    if ";" in query:
        raise InputRefusedError("invalid semicolon separator in query")
    found: dict[str, list[str]] = {}
    for pair in query.split("&"):
        if pair:
            name, _, value = pair.replace("+", " ").partition("=")
            found.setdefault(_unescape(name), []).append(_unescape(value))
    return found


_MALFORMED_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2}).{0,2}", re.DOTALL)


def _unescape(text: str) -> str:
    if "%" not in text:
        return text
    if malformed := _MALFORMED_ESCAPE.search(text):
        raise InputRefusedError(f'invalid URL escape "{malformed[0]}"')
    return bytes_text(unquote_to_bytes(text.encode("utf-8", "surrogateescape")))


# --- The body ------------------------------------------------------------------------------------------------------


def parse_body(
    headers: Mapping[str, str], body: bytes, *, raw: bytes, path: list[str], grpc: GrpcReader | None = None
) -> Body:
    """`parsed_body` and `truncated_body`.

    Args:
        headers: by lower-case name.
        body: what was sent, as the proxy packs it.
        raw: the same where it was packed as bytes, else empty: gRPC messages are read from there alone.
        path: the parsed path.
        grpc: reads gRPC messages; None where no descriptors are configured.

    Raises:
        InputRefusedError: the content type or content length does not fit the body.
    """
    if headers.get(PARTIAL_BODY_HEADER) == "true":
        return CUT_BODY
    content_type = headers.get("content-type")
    if content_type is None:
        return NO_BODY
    if "application/json" in content_type:
        return _measured(headers, body, _parse_json)
    if "application/grpc" in content_type:
        return grpc(raw, path) if grpc is not None and raw else NO_BODY
    if "application/x-www-form-urlencoded" in content_type:
        return _measured(headers, body, _parse_form)
    if "multipart/form-data" in content_type:
        return _measured(headers, body, lambda whole: _parse_multipart(content_type, whole))
    return NO_BODY


_INT64 = re.compile(r"[+-]?[0-9]+", re.ASCII)
_MAX_DIGITS: Final = 4_000
"""Python converts no texts that are longer; a length has leading zeros at that size."""


def _measured(headers: Mapping[str, str], body: bytes, parse: Callable[[bytes], Value]) -> Body:
    """A body that is as long as its content length says, parsed."""
    if not body:
        return NO_BODY
    length = headers.get("content-length")
    if length is not None:
        if not _INT64.fullmatch(length):
            raise InputRefusedError(f'strconv.ParseInt: parsing "{length}": invalid syntax')
        if len(length) > _MAX_DIGITS or not -(1 << 63) <= int(length) < 1 << 63:
            raise InputRefusedError(f'strconv.ParseInt: parsing "{length}": value out of range')
        if int(length) > len(body):
            return CUT_BODY
    return Body(parse(body), truncated=False)


_LONE_BYTE = re.compile("[\udc80-\udcff]")


def _readable(text: str) -> str:
    """The text with Go's replacement character for each byte that is no UTF-8: bodies have gone through JSON there."""
    return _LONE_BYTE.sub("\ufffd", text)


def _parse_form(body: bytes) -> Value:
    form = parse_query(bytes_text(body))
    return {_readable(name): [_readable(value) for value in values] for name, values in form.items()}


def _parse_json(body: bytes) -> Value:
    try:
        return parse_json(_readable(bytes_text(body)))
    except BuiltinError as error:
        raise InputRefusedError(f"invalid JSON: {error}") from None


def _parse_multipart(content_type: str, body: bytes) -> Value:
    try:
        boundary = media_parameters(content_type).get("boundary")
        if boundary is None:
            return None
        values: dict[str, list[Value]] = {}
        for part in read_parts(body, boundary):
            if part.name:
                is_json = "application/json" in part.content_type
                value = _parse_json(part.body) if is_json else _readable(bytes_text(part.body))
                values.setdefault(_readable(part.name), []).append(value)
    except MultipartError as error:
        raise InputRefusedError(str(error)) from None
    return values
