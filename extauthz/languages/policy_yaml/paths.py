"""Path patterns: `/orders/{order_id}/**`.

A pattern is written decoded and matched by segments. One that no request can match, because the reading of paths
refuses what it holds, is an error: a rule on such a route would never run.
"""

from __future__ import annotations

import re

from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Scalar
from extauthz.languages.policy_yaml.report import Report, quoted
from extauthz.model.policy import (
    LiteralSegment,
    OnAmbiguity,
    PathPattern,
    PathSettings,
    RestSegment,
    Segment,
    TrailingSlash,
    VariableSegment,
)

_VARIABLE = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_REST = re.compile(r"\*\*|\{([A-Za-z_][A-Za-z0-9_]*)=\*\*\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DOUBLE_ENCODING = re.compile(r"%25[0-9A-Fa-f]{2}")
_ENCODED_SLASH = re.compile(r"%(?:2[Ff]|5[Cc])")
_KEPT = re.compile(f"{_DOUBLE_ENCODING.pattern}|{_ENCODED_SLASH.pattern}")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")


class PathReader:
    """Reads patterns under one set of path settings."""

    def __init__(self, settings: PathSettings, report: Report) -> None:
        self._settings = settings
        self._report = report

    def read(self, scalar: Scalar, prefix: str = "") -> PathPattern | None:
        """The pattern of a prefix and a path; None after reporting."""
        text = scalar.text
        if not text.startswith("/"):
            self._report.error(Code.PATH, scalar, f"{quoted(text)} is not a path", "a path begins with a slash")
            return None
        if "?" in text:
            hint = "a path has no query; conditions can read request.query"
            self._report.error(Code.PATH, scalar, f"{quoted(text)} is not a path", hint)
            return None
        whole = self._joined(prefix, text)
        pieces = whole[1:].split("/") if whole != "/" else []
        if pieces and pieces[-1] == "" and self._settings.trailing_slash is TrailingSlash.SAME:
            pieces.pop()
        segments = [self._segment(piece, scalar, is_last=i + 1 == len(pieces)) for i, piece in enumerate(pieces)]
        known = [segment for segment in segments if segment is not None]
        pattern = PathPattern(tuple(known), whole)
        names = pattern.variables
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._report.error(Code.DUPLICATE_NAME, scalar, f"the path binds {quoted(name)} twice")
        return pattern if len(known) == len(segments) else None

    def read_prefix(self, scalar: Scalar, outer: str) -> str | None:
        """The text of a group's prefix, outer ones included; None after reporting."""
        pattern = self.read(scalar, outer)
        if pattern is None:
            return None
        if any(isinstance(segment, RestSegment) for segment in pattern.segments):
            self._report.error(Code.PATH, scalar, "a prefix cannot hold **", "it goes on with each route's path")
            return None
        return pattern.text.rstrip("/")

    def _joined(self, prefix: str, text: str) -> str:
        if prefix and text == "/" and self._settings.trailing_slash is TrailingSlash.SAME:
            return prefix
        return prefix + text

    def _segment(self, piece: str, scalar: Scalar, *, is_last: bool) -> Segment | None:
        if variable := _VARIABLE.fullmatch(piece):
            return VariableSegment(variable[1])
        if rest := _REST.fullmatch(piece):
            if is_last:
                return RestSegment(rest[1])
            self._report.error(Code.PATH, scalar, f"{quoted(piece)} can only be the last segment")
            return None
        if any(character in piece for character in "{}*"):
            message = f"the segment {quoted(piece)} is neither literal nor a variable"
            hint = "write {name} for one whole segment, a final ** for any rest"
            self._report.error(Code.PATH, scalar, message, hint)
            return None
        problem = self._unreachable(piece, is_last=is_last)
        if problem is not None:
            self._report.error(
                Code.UNREACHABLE, scalar, f"no request can reach {quoted(scalar.text)}: {problem[0]}", problem[1]
            )
            return None
        return LiteralSegment(_KEPT.sub(_upper_case, piece))

    def _unreachable(self, piece: str, *, is_last: bool) -> tuple[str, str] | None:
        """Why no request has this segment, and a hint."""
        settings = self._settings
        if _CONTROL.search(piece):
            return "control characters are refused", ""
        if piece == "" and not is_last and settings.repeated_slash is OnAmbiguity.REJECT:
            return "repeated slashes are refused", "write one slash, or set `paths: {repeated_slash: keep}`"
        if piece in {".", ".."} and settings.dot_segments is OnAmbiguity.REJECT:
            return "dot segments are refused", "write the path that they lead to"
        if ";" in piece and settings.parameters is OnAmbiguity.REJECT:
            return "path parameters are refused", "or set `paths: {parameters: keep}`"
        if "\\" in piece:
            return "backslashes are refused", ""
        return self._escape_unreachable(piece)

    def _escape_unreachable(self, piece: str) -> tuple[str, str] | None:
        settings = self._settings
        left = piece
        if settings.double_encoding is OnAmbiguity.KEEP:
            left = _DOUBLE_ENCODING.sub("", left)
        if settings.encoded_slash is OnAmbiguity.KEEP:
            left = _ENCODED_SLASH.sub("", left)
        escape = _ESCAPE.search(left)
        if escape is None:
            return None
        return f"paths are matched decoded, so {quoted(escape[0])} never stands in one", "write the character itself"


def _upper_case(match: re.Match[str]) -> str:
    """A kept escape is compared in upper case (RFC 3986 section 6.2.2.1)."""
    return match[0].upper()
