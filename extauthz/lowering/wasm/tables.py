"""Which route serves a request, as tables: the tries of `runtime/trie.py`, the owners and routes of `request.py`.

The order in which the authorizer looks is in the tables, so nothing here compares patterns with one another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from extauthz.lowering.wasm.answers import encoded
from extauthz.lowering.wasm.data import Data
from extauthz.lowering.wasm.runtime.layout import Authenticate, Configured
from extauthz.model.policy import Authentication, Route
from extauthz.pdp.cross_origin import readable_headers
from extauthz.pdp.routes import Node, Owner, RouteTable

_AUTHENTICATE = {
    Authentication.REQUIRED: Authenticate.REQUIRED,
    Authentication.OPTIONAL: Authenticate.OPTIONAL,
    Authentication.NONE: Authenticate.NONE,
}


def _write_owner(owner: Owner[Route] | None, data: Data, records: Mapping[str, int]) -> int:
    if owner is None:
        return 0
    named = {method: records[route.name] for method, route in owner.by_method.items()}
    others = [] if owner.any_method is None else [owner.any_method]
    any_method = records[others[0].name] if others else 0
    answers_preflights = any(route.cors_origins for route in (*owner.by_method.values(), *others))
    return data.numbers((data.table(named), any_method, int(answers_preflights)))


def _write_node(node: Node[Route] | None, data: Data, records: Mapping[str, int]) -> int:
    """The address of the node, which is even: the runtime marks nodes of variables."""
    if node is None:
        return 0
    literal = {text: _write_node(below, data, records) for text, below in node.literal.items()}
    return data.numbers(
        (
            _write_owner(node.here, data, records),
            _write_owner(node.rest, data, records),
            _write_node(node.variable, data, records),
            data.table(literal) if literal else 0,
        )
    )


def _count(node: Node[Route]) -> int:
    """How many nodes there are from here on."""
    below = [*node.literal.values(), *([node.variable] if node.variable else [])]
    return 1 + sum(map(_count, below))


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
    table = RouteTable((route, route) for route in routes)
    roots = [*table.exact.values(), *table.suffix.values(), table.any_host]
    return {
        Configured.EXACT_HOSTS: _hosts(table.exact, data, records),
        Configured.SUFFIX_HOSTS: _hosts(table.suffix, data, records),
        Configured.ANY_HOST: _write_node(table.any_host, data, records),
        Configured.NODE_COUNT: sum(map(_count, roots)),
    }


def _hosts(roots: Mapping[str, Node[Route]], data: Data, records: Mapping[str, int]) -> int:
    return data.table({host: _write_node(node, data, records) for host, node in roots.items()}) if roots else 0
