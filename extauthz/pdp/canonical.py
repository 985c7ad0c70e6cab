"""One reading of paths and hosts, or none: what two readers may read differently is refused.

A path is cut at `?` and split at `/`; each segment is percent-decoded once, as UTF-8 (RFC 3986 section 2.1). Refused
is what decoders, proxies and frameworks are known to disagree on: encoded slashes and backslashes, double encoding,
repeated slashes, dot segments, path parameters. `PathSettings` may keep each of these: a kept escape then stays
escaped (`%2F`, in upper case), so that two different paths never become one. Normalising is the proxy's job, since it
forwards what it normalised; nothing here rewrites a path.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

from extauthz.errors import HostInvalidError, PathAmbiguousError
from extauthz.model.policy import OnAmbiguity, PathSettings, TrailingSlash

Segments: TypeAlias = tuple[str, ...]

# Any of these needs a closer look; a path without them is its own canonical form.
_UNCOMMON = re.compile(r"[^!-~]|[#\\;%]|//|/\.")
# Not in any URI path (RFC 3986 section 3.3): spaces, controls, bytes beyond ASCII, a fragment, a backslash.
_NEVER = re.compile(r"[^!-~]|[#\\]")
_MALFORMED_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ESCAPED_SLASH = re.compile(r"%(?:2[Ff]|5[Cc])")
_DOUBLE_ENCODING = re.compile(r"%25[0-9A-Fa-f]{2}")
_PARAMETER = re.compile(r";|%3[Bb]")
_KEPT_OR_ESCAPE = re.compile(r"(%25[0-9A-Fa-f]{2}|%2[Ff]|%5[Cc])|((?:%(?!25[0-9A-Fa-f]{2}|2[Ff]|5[Cc])..)+)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class PathReader:
    """Reads request targets under one set of path settings."""

    __slots__ = ("_settings", "_strip_trailing")

    def __init__(self, settings: PathSettings) -> None:
        self._settings = settings
        self._strip_trailing = settings.trailing_slash is TrailingSlash.SAME

    def read(self, target: str) -> Segments:
        """The decoded segments of a request target; `/` has none.

        Raises:
            PathAmbiguousError: the path has no single reading.
        """
        path = target.partition("?")[0]
        if not path.startswith("/"):
            raise PathAmbiguousError("the path does not begin with a slash")
        if path == "/":
            return ()
        segments = path[1:].split("/")
        if _UNCOMMON.search(path):
            self._refuse_ambiguous(path)
            segments = [_decode(segment) for segment in segments]
            self._refuse_dot_segments(segments)
        if self._strip_trailing and segments[-1] == "":
            segments.pop()
        return tuple(segments)

    def _refuse_ambiguous(self, path: str) -> None:
        if _NEVER.search(path):
            raise PathAmbiguousError("the path holds a character that no URI path may hold")
        if _MALFORMED_ESCAPE.search(path):
            raise PathAmbiguousError("the path holds a malformed percent-escape")
        settings = self._settings
        for verdict, pattern, what in (
            (settings.encoded_slash, _ESCAPED_SLASH, "an encoded slash or backslash"),
            (settings.double_encoding, _DOUBLE_ENCODING, "a double percent-encoding"),
            (settings.parameters, _PARAMETER, "a path parameter"),
        ):
            if verdict is OnAmbiguity.REJECT and pattern.search(path):
                raise PathAmbiguousError(f"the path holds {what}")
        if settings.repeated_slash is OnAmbiguity.REJECT and "//" in path:
            raise PathAmbiguousError("the path holds a repeated slash")

    def _refuse_dot_segments(self, segments: list[str]) -> None:
        if self._settings.dot_segments is OnAmbiguity.REJECT and ("." in segments or ".." in segments):
            raise PathAmbiguousError("the path holds a dot segment")


def _decode(segment: str) -> str:
    """Decode the escapes of one segment, but for those that only a setting lets through."""
    if "%" not in segment:
        return segment
    decoded = _KEPT_OR_ESCAPE.sub(_decode_run, segment)
    if _CONTROL.search(decoded):
        raise PathAmbiguousError("the path holds an encoded control character")
    return decoded


def _decode_run(match: re.Match[str]) -> str:
    kept: str | None = match[1]
    if kept is not None:
        return kept.upper()
    try:
        return bytes.fromhex(match[2].replace("%", "")).decode("utf-8")
    except UnicodeDecodeError:
        raise PathAmbiguousError("the path's escapes are not UTF-8") from None


_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\x00-\x20\x7f-\U0010ffff%,@/?#\\:\[\]]+)(?::[0-9]{1,5})?")


@lru_cache(maxsize=1024)
def canonical_host(host: str) -> str:
    """Lower case, without port and without one trailing dot (RFC 9110 section 7.2, RFC 3986 section 3.2.2).

    Raises:
        HostInvalidError: empty, several hosts, user information, or not ASCII.
    """
    match = _HOST.fullmatch(host)
    name = match[1].lower().removesuffix(".") if match else ""
    if not name:
        raise HostInvalidError("the host is not a single host name")
    return name
