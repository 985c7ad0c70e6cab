"""The one place that builds a matcher or a regular expression for Envoy; literals are escaped here and nowhere else.

Regular expressions are RE2's and match the whole value. They are written over ASCII alone, so that it does not matter
whether Envoy reads bytes as Latin-1 or as UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from extauthz.lowering.document import JsonObject
from extauthz.lowering.formula import Formula, Match, all_hold, negation, one_holds
from extauthz.model.policy import (
    HostPattern,
    LiteralSegment,
    Network,
    PathPattern,
    RestSegment,
    Segment,
    TrailingSlash,
    VariableSegment,
)

JWT_AUTHN = "envoy.filters.http.jwt_authn"
"""The namespace of the metadata that verified tokens leave."""
RBAC = "envoy.filters.http.rbac"
"""The namespace of the metadata that every RBAC filter leaves, whatever its own name."""

# Visible ASCII but `#`, `%`, `/`, `;`, `?` and `\`; the second is without `.` besides.
_PATH_CHARACTER = r"[!\"$&-.0-:<->@-\[\]-~]"
_NO_DOT = r"[!\"$&-\-0-:<->@-\[\]-~]"
# A segment that is neither `.` nor `..`.
_SEGMENT = rf"(?:{_NO_DOT}{_PATH_CHARACTER}*|\.{_NO_DOT}{_PATH_CHARACTER}*|\.\.{_PATH_CHARACTER}+)"
PLAIN_PATH = rf"/(?:{_SEGMENT}(?:/{_SEGMENT})*/?)?"
"""A path that every reader reads alike and that needs no decoding: its text is its canonical form, but for one final
slash."""

_PORT = r"(?::[0-9]{1,5})?"
PLAIN_HOST = rf"(?:[A-Za-z0-9_-][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]){_PORT}"
"""One host name or address."""

HEADER_TEXT = r"[!-~](?:[ -~]*[!-~])?"
"""What a header's value may be: visible ASCII without outer spaces."""

SINGLE_HEADER = r"^[ -+\--~]*$"
"""A header value of printable ASCII without a comma, as repeated headers are joined by."""

COMPACT_JWS = r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"
"""RFC 7515 section 7.1."""

_IPV4_MAPPED = {"address_prefix": "::ffff:0.0.0.0", "prefix_len": 96}


def escaped(literal: str) -> str:
    """A regular expression of exactly this ASCII text."""
    return re.escape(literal)


# --- Values --------------------------------------------------------------------------------------------------------


def exactly(value: str) -> JsonObject:
    """`envoy.type.matcher.v3.StringMatcher` of one text."""
    return {"exact": value}


def full_match(regex: str) -> JsonObject:
    """`envoy.type.matcher.v3.StringMatcher` of a regular expression over the whole value."""
    return {"safe_regex": {"regex": regex}}


def _any_value(matchers: Sequence[JsonObject]) -> JsonObject:
    return matchers[0] if len(matchers) == 1 else {"or_match": {"value_matchers": list(matchers)}}


def text_or_member(values: Iterable[str]) -> JsonObject:
    """A value that is one of the texts, or a list that holds one."""
    one = _any_value([{"string_match": exactly(value)} for value in sorted(values)])
    return _any_value([one, {"list_match": {"one_of": one}}])


def scope_or_member(scopes: Iterable[str]) -> JsonObject:
    """A text that holds one of the scopes between spaces (RFC 8693 section 4.2), or a list that holds one.

    A scope that is empty or has a space in it never stands in such a text.
    """
    scopes = sorted(scopes)
    member = _any_value([{"string_match": exactly(scope)} for scope in scopes])
    in_list: JsonObject = {"list_match": {"one_of": member}}
    spaced = "|".join(escaped(scope) for scope in scopes if scope and " " not in scope)
    if not spaced:
        return in_list
    in_text: JsonObject = {"string_match": full_match(rf"(?:(?:.|\n)* )?(?:{spaced})(?: (?:.|\n)*)?")}
    return _any_value([in_text, in_list])


# --- Tests ---------------------------------------------------------------------------------------------------------


def metadata(namespace: str, keys: Iterable[str], value: JsonObject) -> Formula:
    """Whether dynamic metadata has such a value at the keys; false when there is none."""
    matcher = {"filter": namespace, "path": [{"key": key} for key in keys], "value": value}
    return Match({"sourced_metadata": {"metadata_matcher": matcher}})


def metadata_text(namespace: str, key: str, value: JsonObject) -> Formula:
    """Whether dynamic metadata has a text at the key that the string matcher takes."""
    return metadata(namespace, (key,), {"string_match": value})


def header(name: str, value: JsonObject) -> Formula:
    """Whether one of the header's values is taken by the string matcher; false when there is none."""
    return Match({"header": {"name": name, "string_match": value}})


def present(name: str) -> Formula:
    """Whether the request has the header."""
    return Match({"header": {"name": name, "present_match": True}})


def methods(names: Iterable[str]) -> Formula:
    """Whether the request's method is one of these (case-sensitive, RFC 9110 section 9.1)."""
    return one_holds(*(header(":method", exactly(name)) for name in sorted(names)))


def plain() -> Formula:
    """Whether path and host need no second look: everybody reads them in the same way."""
    return all_hold(_path(PLAIN_PATH), header(":authority", full_match(PLAIN_HOST)))


def host(pattern: HostPattern | None) -> Formula:
    """Whether a plain host is one of the pattern's: case, port and one final dot do not matter."""
    if pattern is None:
        return all_hold()
    labels = "(?:.*)\\." if pattern.suffix else ""
    return header(":authority", full_match(rf"(?i){labels}{escaped(pattern.host)}\.?{_PORT}"))


def path(pattern: PathPattern, trailing_slash: TrailingSlash) -> Formula:
    """Whether a plain path is one of the pattern's. The query does not matter.

    A literal that holds more than plain characters is never matched, since no plain path does.
    """
    return _path(path_regex(pattern.segments, trailing_slash))


def path_regex(segments: Sequence[Segment], trailing_slash: TrailingSlash) -> str:
    """Of the whole path."""
    regex = ""
    for segment in segments:
        match segment:
            case LiteralSegment(literal):
                regex += "/" + escaped(literal)
            case VariableSegment():
                regex += "/[^/]+"
            case RestSegment():
                return rf"{regex}(?:/.*)?" if regex else "/.*"
    if not segments:
        return "/"
    return regex + ("/?" if trailing_slash is TrailingSlash.SAME else "")


def _path(regex: str) -> Formula:
    return Match({"url_path": {"path": full_match(regex)}})


def peer_in(networks: Iterable[Network]) -> Formula:
    """Whether the connection's peer is in one of the networks."""
    return one_holds(*(_peer({"address_prefix": str(n.network_address), "prefix_len": n.prefixlen}) for n in networks))


def peer_is_plain_ip() -> Formula:
    """Whether the connection's peer has an address that is no IPv4 address written as IPv6."""
    is_mapped = _peer(_IPV4_MAPPED)
    is_ipv6 = _peer({"address_prefix": "::", "prefix_len": 0})
    is_ipv4 = _peer({"address_prefix": "0.0.0.0", "prefix_len": 0})  # noqa: S104 - any address, not a listener's
    return one_holds(is_ipv4, all_hold(is_ipv6, negation(is_mapped)))


def _peer(cidr_range: JsonObject) -> Formula:
    return Match({"direct_remote_ip": cidr_range})
