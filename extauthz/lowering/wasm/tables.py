"""Which route serves a request, as tables: the tries of `runtime/trie.py`, the owners and routes of `request.py`.

The order in which the authorizer looks is in the tables, so nothing here compares patterns with one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from extauthz.lowering.wasm.answers import encoded
from extauthz.lowering.wasm.data import Data
from extauthz.lowering.wasm.runtime.layout import Authenticate, Configured
from extauthz.model.policy import Authentication, LiteralSegment, Route, VariableSegment
from extauthz.pdp.cross_origin import readable_headers
from extauthz.pdp.routes import Owner

_AUTHENTICATE = {
    Authentication.REQUIRED: Authenticate.REQUIRED,
    Authentication.OPTIONAL: Authenticate.OPTIONAL,
    Authentication.NONE: Authenticate.NONE,
}


@dataclass(slots=True)
class _Owner:
    """The routes of one host and path pattern."""

    routes: list[Route] = field(default_factory=list)

    def write(self, data: Data, records: Mapping[str, int]) -> int:
        by_method: Owner[Route] = Owner()
        methods: set[str] = set()
        for route in self.routes:
            by_method.add(route.methods, route)
            methods |= route.methods or frozenset()
        methods |= {"HEAD"} if "GET" in methods else set()
        serving = {method: by_method.for_method(method) for method in methods}
        named = {method: records[route.name] for method, route in serving.items() if route is not None}
        others = [route for route in self.routes if route.methods is None]
        answers_preflights = any(route.cors_origins for route in self.routes)
        any_method = records[others[-1].name] if others else 0
        return data.numbers((data.table(named), any_method, int(answers_preflights)))


@dataclass(slots=True)
class _Node:
    here: _Owner | None = None
    rest: _Owner | None = None
    variable: _Node | None = None
    literal: dict[str, _Node] = field(default_factory=dict)

    def nodes(self) -> int:
        """How many there are from here on."""
        below = [*self.literal.values(), *([self.variable] if self.variable else [])]
        return 1 + sum(node.nodes() for node in below)

    def write(self, data: Data, records: Mapping[str, int]) -> int:
        """The address of the node, which is even: the runtime marks nodes of variables."""
        literal = {text: node.write(data, records) for text, node in self.literal.items()}
        return data.numbers(
            (
                self.here.write(data, records) if self.here else 0,
                self.rest.write(data, records) if self.rest else 0,
                self.variable.write(data, records) if self.variable else 0,
                data.table(literal) if literal else 0,
            )
        )


def route_record(data: Data, route: Route, functions: Sequence[int]) -> int:
    """A route's record; `functions` are the indices of the table for each kind of caller, from 1 on, or 0."""
    origins = data.texts(sorted(route.cors_origins)) if route.cors_origins else 0
    return data.numbers(
        (
            data.text(route.name),
            _AUTHENTICATE[route.authentication],
            origins,
            int("*" in route.cors_origins),
            len(functions),
            *functions,
        )
    )


def readers_table(data: Data, routes: Iterable[Route]) -> int:
    """The origins that routes list, with what lets their scripts read a denial."""
    origins = {origin for route in routes for origin in route.cors_origins}
    return data.table({origin: data.text(encoded(readable_headers(origin))) for origin in origins})


def route_tables(data: Data, routes: Iterable[Route], records: Mapping[str, int]) -> Mapping[Configured, int]:
    """The tries of all hosts; `records` are the routes', by name."""
    exact: dict[str, _Node] = {}
    suffixes: dict[str, _Node] = {}
    any_host = _Node()
    for route in routes:
        if route.host is None:
            root = any_host
        else:
            root = (suffixes if route.host.suffix else exact).setdefault(route.host.host, _Node())
        _owner_below(root, route).routes.append(route)
    roots = [*exact.values(), *suffixes.values(), any_host]
    return {
        Configured.EXACT_HOSTS: _hosts(data, exact, records),
        Configured.SUFFIX_HOSTS: _hosts(data, suffixes, records),
        Configured.ANY_HOST: any_host.write(data, records),
        Configured.NODE_COUNT: sum(root.nodes() for root in roots),
    }


def _hosts(data: Data, roots: Mapping[str, _Node], records: Mapping[str, int]) -> int:
    return data.table({host: node.write(data, records) for host, node in roots.items()}) if roots else 0


def _owner_below(node: _Node, route: Route) -> _Owner:
    for segment in route.path.segments:
        if isinstance(segment, LiteralSegment):
            node = node.literal.setdefault(segment.text, _Node())
        elif isinstance(segment, VariableSegment):
            node.variable = node.variable or _Node()
            node = node.variable
        else:
            node.rest = node.rest or _Owner()
            return node.rest
    node.here = node.here or _Owner()
    return node.here
