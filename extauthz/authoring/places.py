"""Hosts and paths that stand for all: one of each kind that some pattern of some set tells from the others.

Patterns are walked together, as one trie: two paths that lead to the same nodes match the same patterns, and so does
every path that continues them in the same way.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Final
from urllib.parse import quote

from extauthz.authoring.truth import BoundHitError
from extauthz.model.policy import (
    HostPattern,
    LiteralSegment,
    OnAmbiguity,
    PathPattern,
    PathSettings,
    TrailingSlash,
    VariableSegment,
)

MAX_PATHS: Final = 20_000
"""Kinds of paths on one kind of host."""

_KEPT = re.compile(r"%25[0-9A-F]{2}|%2F|%5C")
_UNRESERVED = "!$&'()*+,;=:@-._~"  # what a segment may hold as it is (RFC 3986 section 3.3)
_AMBIGUOUS: Final = {
    "encoded_slash": "a%2Fb",
    "double_encoding": "a%2541b",
    "repeated_slash": "",
    "dot_segments": "..",
    "parameters": "a;b",
}
"""A segment that each setting is about."""


def hosts_of(patterns: Iterable[HostPattern | None]) -> list[str]:
    """A host for each set of patterns that some host matches: it follows from the exact or longest one."""
    known = {pattern for pattern in patterns if pattern is not None}
    exact = {pattern.host for pattern in known if not pattern.suffix}
    suffixes = sorted(pattern.host for pattern in known if pattern.suffix)

    def first(candidates: Iterable[str], more_specific: Sequence[str]) -> str:
        endings = tuple(f".{suffix}" for suffix in more_specific)
        return next(host for host in candidates if host not in exact and not host.endswith(endings))

    below = [
        first((f"any{n or ''}.{suffix}" for n in count()), [s for s in suffixes if len(s) > len(suffix)])
        for suffix in suffixes
    ]
    return [*sorted(exact), *below, first((f"any.example{n or ''}" for n in count()), suffixes)]


def hosts_match(pattern: HostPattern | None, host: str) -> bool:
    """Whether the pattern is one of this canonical host's."""
    if pattern is None:
        return True
    return host.endswith(f".{pattern.host}") if pattern.suffix else host == pattern.host


@dataclass(eq=False)
class _Node:
    literal: dict[str, _Node] = field(default_factory=dict)
    variable: _Node | None = None
    rest: bool = False
    name: str = ""
    """Of a variable that binds what leads here."""


@dataclass(frozen=True)
class _State:
    nodes: frozenset[_Node]
    rests: frozenset[_Node]
    """Nodes whose `**` was entered: they match whatever follows."""
    odd: frozenset[str] = frozenset()
    """Settings that differ between the sets and have had a say."""


def targets_of(patterns: Iterable[PathPattern], settings: Sequence[PathSettings]) -> Iterator[str]:
    """A request target for each kind of path, the shortest first.

    Args:
        patterns: all patterns of all sets on one kind of host.
        settings: how each set reads paths.

    Raises:
        BoundHitError: there are more than `MAX_PATHS` kinds.
    """
    root, literals = _trie(patterns)
    kept = [name for name in _AMBIGUOUS if any(getattr(s, name) is OnAmbiguity.KEEP for s in settings)]
    differing = frozenset(name for name in _AMBIGUOUS if len({getattr(s, name) for s in settings}) > 1)
    slash_matters = any(s.trailing_slash is TrailingSlash.DISTINCT for s in settings)
    start = _State(frozenset({root}), frozenset({root} if root.rest else ()))
    seen = {start}
    waiting: deque[tuple[_State, tuple[str, ...]]] = deque([(start, ())])
    while waiting:
        state, path = waiting.popleft()
        yield "/" + "/".join(path)
        if path and slash_matters and path[-1]:
            yield "/" + "/".join((*path, ""))
        for raw, matched, setting in _next_segments(state, path, literals, kept):
            following = _follow(state, matched, {setting} & differing)
            if following not in seen:
                seen.add(following)
                if len(seen) > MAX_PATHS:
                    raise BoundHitError
                waiting.append((following, (*path, raw)))


def _trie(patterns: Iterable[PathPattern]) -> tuple[_Node, frozenset[str]]:
    root = _Node()
    literals: set[str] = set()
    for pattern in patterns:
        node = root
        for segment in pattern.segments:
            if isinstance(segment, LiteralSegment):
                literals.add(segment.text)
                node = node.literal.setdefault(segment.text, _Node())
            elif isinstance(segment, VariableSegment):
                node.variable = node.variable or _Node(name=segment.name)
                node = node.variable
            else:
                node.rest = True
    return root, frozenset(literals)


def _next_segments(
    state: _State, path: Sequence[str], literals: frozenset[str], kept: Iterable[str]
) -> Iterator[tuple[str, str, str]]:
    """Segments as sent and as matched, with the setting that lets them through: literals, an unknown one, odd ones."""
    for text in sorted({text for node in state.nodes for text in node.literal}):
        yield _encoded(text), text, ""
    names = [node.variable.name for node in state.nodes if node.variable is not None]
    fresh = _fresh(min(names, default="any"), {*literals, *path})
    yield fresh, fresh, ""
    for setting in kept:
        text = _AMBIGUOUS[setting]
        yield text, text, setting


def _fresh(name: str, taken: set[str]) -> str:
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def _follow(state: _State, segment: str, odd: Iterable[str]) -> _State:
    following: set[_Node] = set()
    for node in state.nodes:
        if segment in node.literal:
            following.add(node.literal[segment])
        if node.variable is not None and segment:
            following.add(node.variable)
    rests = state.rests | {node for node in following if node.rest}
    return _State(frozenset(following), rests, state.odd | frozenset(odd))


def _encoded(text: str) -> str:
    """A decoded segment as it is sent; escapes that a setting keeps stay as they are."""
    pieces, end = [], 0
    for match in _KEPT.finditer(text):
        pieces += [quote(text[end : match.start()], safe=_UNRESERVED), match[0]]
        end = match.end()
    return "".join([*pieces, quote(text[end:], safe=_UNRESERVED)])
