"""multipart/form-data (RFC 7578) as Go reads it: strictly, but for lines that end in a line feed alone.

What Go refuses is refused: a missing end, a line between parts, a malformed header or media type.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple
from urllib.parse import unquote_to_bytes

MAX_PART_HEADERS: Final = 10_000
MAX_HEADER_BYTES: Final = 10 * 1024 * 1024


class MultipartError(Exception):
    """Not what its media type says."""


class Part(NamedTuple):
    """One field of a form."""

    name: str
    """Empty where the part is no form field."""
    content_type: str
    body: bytes


# --- Parts ---------------------------------------------------------------------------------------------------------


def read_parts(body: bytes, boundary: str) -> Iterator[Part]:
    """The parts of a body.

    Raises:
        MultipartError: the body is malformed; parts before that may have been read.
    """
    if not boundary:
        raise MultipartError("multipart: boundary is empty")
    dashes = b"--" + boundary.encode("utf-8", "surrogateescape")
    # Only a part makes a line feed alone the end of lines.
    first = re.compile(rb"(?:(?<=\n)|\A)" + re.escape(dashes) + rb"(?:(--)[ \t]*(?:\r\n|\Z)|[ \t]*(\r?\n))")
    found = first.search(body)
    if found is None:
        raise MultipartError("multipart: NextPart: EOF")
    newline = found[2] or b"\r\n"
    delimiter = re.compile(newline + re.escape(dashes) + rb"(?=[ \t\r\n]|--|\Z)")
    closed = re.compile(re.escape(dashes) + rb"(--)?[ \t]*(" + newline + rb"|\Z)")
    while found[1] is None:
        header, start = _read_header(body, found.end())
        # A delimiter may follow the header at once: its own newline is then the header's last.
        end = delimiter.search(body, start - len(newline) if body.startswith(dashes, start) else start)
        if end is None:
            raise MultipartError("unexpected EOF")
        content = body[start : max(start, end.start())]
        yield _part(header, content)
        found = _next_delimiter(body, end.start() + len(newline), closed, newline)


def _next_delimiter(body: bytes, start: int, closed: re.Pattern[bytes], newline: bytes) -> re.Match[bytes]:
    found = closed.match(body, start)
    if found is None or (found[1] is None and found[2] != newline):
        raise MultipartError("multipart: unexpected line after a part")
    return found


def _part(header: dict[str, str], content: bytes) -> Part:
    try:
        disposition, parameters = parse_media_type(header.get("content-disposition", ""))
    except MultipartError:
        disposition, parameters = "", {}
    name = parameters.get("name", "") if disposition == "form-data" else ""
    if name and header.get("content-transfer-encoding", "").lower() == "quoted-printable":
        content = _quoted_printable(content)  # that of other parts is not read
    return Part(name, header.get("content-type", ""), content)


# Go takes spaces in names, and does not find such fields by the name without.
_HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z ]+):([\t\x20-\x7e\x80-\xff]*)")


def _read_header(body: bytes, start: int) -> tuple[dict[str, str], int]:
    """The header fields at a place, the first of each name, and where the content begins (RFC 5322 section 2.2)."""
    fields: dict[str, str] = {}
    lines: list[bytes] = []
    position = start
    while True:
        end = body.find(b"\n", position, start + MAX_HEADER_BYTES)
        if end < 0:
            raise MultipartError("unexpected EOF")
        line = body[position:end].rstrip(b"\r")
        position = end + 1
        if not line.strip(b" \t"):
            break
        if line[:1] in b" \t":
            if not lines:
                raise MultipartError("malformed MIME header initial line")
            lines[-1] += b" " + line.strip(b" \t")
        else:
            lines.append(line.rstrip(b" \t"))
    if len(lines) > MAX_PART_HEADERS:
        raise MultipartError("multipart: message too large")
    for line in lines:
        field = _HEADER_LINE.fullmatch(line)
        if field is None:
            raise MultipartError("malformed MIME header line")
        fields.setdefault(field[1].decode().lower(), field[2].strip(b" \t").decode("utf-8", "surrogateescape"))
    return fields, position


_SOFT_BREAK = re.compile(rb"=[ \t]*\r?\n")
_ENCODED = re.compile(rb"=([0-9A-Fa-f]{2})?")


def _quoted_printable(content: bytes) -> bytes:
    """Decoded (RFC 2045 section 6.7)."""

    def decoded(match: re.Match[bytes]) -> bytes:
        if match[1] is None:
            raise MultipartError("quotedprintable: invalid bytes after =")
        return bytes.fromhex(match[1].decode())

    return _ENCODED.sub(decoded, _SOFT_BREAK.sub(b"", content))


# --- Media types ---------------------------------------------------------------------------------------------------

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z{}]+"
_TYPE = re.compile(rf"\s*({_NAME}(?:/{_NAME})?)\s*(?=;|\Z)")
_PARAMETER = re.compile(rf';\s*({_NAME})\s*=\s*(?:({_NAME})|"((?:[^"\\\r\n]|\\[^\r\n])*)")\s*')
_ESCAPED = re.compile(r'\\([()<>@,;:\\"/\[\]?=])')
_EXTENDED = re.compile(r"([^*]+)\*(?:(0|[1-9][0-9]*)(\*)?)?")


def media_parameters(text: str) -> dict[str, str]:
    """The parameters of a media type, by lower-case name.

    Raises:
        MultipartError: as `parse_media_type`.
    """
    return parse_media_type(text)[1]


def parse_media_type(text: str) -> tuple[str, dict[str, str]]:
    """A media type or disposition in lower case, and its parameters by lower-case name (RFC 2045, RFC 2231).

    Raises:
        MultipartError: it is malformed, or gives a parameter two values.
    """
    found = _TYPE.match(text)
    if found is None:
        raise MultipartError("mime: no media type")
    media_type, position = found[1].lower(), found.end()
    parameters: dict[str, str] = {}
    while text[position:].strip(" \t\r\n;") or text[position:].count(";") > 1:
        parameter = _PARAMETER.match(text, position)
        if parameter is None:
            raise MultipartError("mime: invalid media parameter")
        name, token, quoted = parameter.groups()
        value = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if parameters.setdefault(name.lower(), value) != value:
            raise MultipartError("mime: duplicate parameter name")
        position = parameter.end()
    return media_type, _joined(parameters)


def _joined(parameters: dict[str, str]) -> dict[str, str]:
    """Parameters in pieces, and those with a character set, made whole (RFC 2231)."""
    whole = {name: value for name, value in parameters.items() if "*" not in name}
    pieces: dict[str, dict[int, str]] = {}
    for name, value in parameters.items():
        extended = _EXTENDED.fullmatch(name)
        if extended is None or extended[1] in whole:
            continue
        number = int(extended[2] or 0)
        is_encoded = extended[2] is None or extended[3] is not None
        if is_encoded and number == 0:
            value = value.partition("'")[2].partition("'")[2]  # noqa: PLW2901 - without character set and language
        text = unquote_to_bytes(value.encode()).decode("utf-8", "surrogateescape") if is_encoded else value
        pieces.setdefault(extended[1], {})[number] = text
    for name, numbered in pieces.items():
        if 0 in numbered:
            count = next(n for n in range(len(numbered) + 1) if n not in numbered)
            whole[name] = "".join(numbered[n] for n in range(count))
    return whole
