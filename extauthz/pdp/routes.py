"""Which route owns a request: a trie by path segment for every host pattern, so that cost does not grow with routes.

Specificity is (host, path), lexicographic. Host: exact, then `*.suffix` (longer first), then any. Path, segment by
segment: literal, then `{x}` (one non-empty segment), then `**` (zero or more, only last). The most specific path owns
the request whatever its methods: a method it has no route for is never passed on to a wider route.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Generic, TypeVar

from extauthz.model.policy import HostPattern, LiteralSegment, Route, VariableSegment
from extauthz.pdp.canonical import Segments

T = TypeVar("T")

# What a route that lists no methods still does not serve: neither carries a request for a resource.
NOT_IMPLIED_METHODS = frozenset({"CONNECT", "TRACE"})


class Owner(Generic[T]):
    """The routes of one host and path pattern, by method."""

    __slots__ = ("any_method", "by_method")

    def __init__(self) -> None:
        self.by_method: dict[str, T] = {}
        self.any_method: T | None = None

    def add(self, methods: frozenset[str] | None, value: T) -> None:
        if methods is None:
            self.any_method = value
            return
        for method in methods:
            self.by_method[method] = value
        if "GET" in methods:
            self.by_method["HEAD"] = value

    def for_method(self, method: str) -> T | None:
        """The route for a method (case-sensitive, RFC 9110 section 9.1); GET serves HEAD."""
        value = self.by_method.get(method)
        if value is None and method not in NOT_IMPLIED_METHODS:
            return self.any_method
        return value


class Node(Generic[T]):
    """What may follow a path up to here."""

    __slots__ = ("here", "literal", "rest", "variable")

    def __init__(self) -> None:
        self.literal: dict[str, Node[T]] = {}
        self.variable: Node[T] | None = None
        self.rest: Owner[T] | None = None
        self.here: Owner[T] | None = None


class RouteTable(Generic[T]):
    """Finds the owner of a canonical host and path. Values are whatever the caller compiled a route to."""

    __slots__ = ("any_host", "exact", "suffix")

    def __init__(self, routes: Iterable[tuple[Route, T]]) -> None:
        self.exact: dict[str, Node[T]] = {}
        """The tries of paths, by host."""
        self.suffix: dict[str, Node[T]] = {}
        """By what follows `*.`."""
        self.any_host: Node[T] = Node()
        for route, value in routes:
            self._owner(route).add(route.methods, value)

    def find(self, host: str, segments: Segments) -> tuple[Owner[T], Segments] | None:
        """The owner and what its pattern's variables captured, from left to right; None when nobody owns it."""
        exact = self.exact.get(host)
        if exact is not None:
            found = _walk(exact, segments, 0, ())
            if found is not None:
                return found
        if self.suffix:
            dot = host.find(".")
            while dot >= 0:
                node = self.suffix.get(host[dot + 1 :])
                found = _walk(node, segments, 0, ()) if node is not None else None
                if found is not None:
                    return found
                dot = host.find(".", dot + 1)
        return _walk(self.any_host, segments, 0, ())

    def _root(self, host: HostPattern | None) -> Node[T]:
        if host is None:
            return self.any_host
        return (self.suffix if host.suffix else self.exact).setdefault(host.host, Node())

    def _owner(self, route: Route) -> Owner[T]:
        node = self._root(route.host)
        for segment in route.path.segments:
            if isinstance(segment, LiteralSegment):
                node = node.literal.setdefault(segment.text, Node())
            elif isinstance(segment, VariableSegment):
                node.variable = node.variable or Node()
                node = node.variable
            else:
                node.rest = node.rest or Owner()
                return node.rest
        node.here = node.here or Owner()
        return node.here


def _walk(node: Node[T], segments: Segments, depth: int, captured: Segments) -> tuple[Owner[T], Segments] | None:
    """Depth first, most specific first; at most every node of the trie is visited, and never more than its depth."""
    if depth == len(segments):
        if node.here is not None:
            return node.here, captured
    else:
        segment = segments[depth]
        literal = node.literal.get(segment)
        if literal is not None:
            found = _walk(literal, segments, depth + 1, captured)
            if found is not None:
                return found
        if node.variable is not None and segment:
            found = _walk(node.variable, segments, depth + 1, (*captured, segment))
            if found is not None:
                return found
    if node.rest is not None:
        return node.rest, (*captured, "/".join(segments[depth:]))
    return None
