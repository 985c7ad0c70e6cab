"""Which route serves a request, as tables. The tries are walked in the runtime's own tests."""

from __future__ import annotations

import json

from extauthz.lowering.wasm.data import Data
from extauthz.lowering.wasm.runtime.layout import Configured
from extauthz.lowering.wasm.tables import route_record, route_tables
from extauthz.model.policy import Route
from tests.policies import parse


def routes(*written: dict[str, object]) -> list[Route]:
    public = [{"name": f"r{n}", "public": True, **route} for n, route in enumerate(written)]
    return list(parse(json.dumps({"version": 1, "name": "s", "routes": public})).policy_set.routes)


def word(data: Data, address: int) -> int:
    return int.from_bytes(data.finished()[address : address + 4], "little")


def test_nodes_are_counted():
    """They bound how long a walk takes."""
    made = routes(
        {"path": "/a/b"}, {"path": "/a/{x}"}, {"path": "/**"}, {"path": "/", "host": "h"}, {"path": "/x", "host": "*.h"}
    )
    data = Data()
    tables = route_tables(data, made, {route.name: route_record(data, route, []) for route in made})
    assert tables[Configured.NODE_COUNT] == 4 + 1 + 2
    assert tables[Configured.EXACT_HOSTS]
    assert tables[Configured.SUFFIX_HOSTS]


def test_without_hosts_there_is_no_table_of_them():
    """A walk then begins at the trie of any host."""
    data = Data()
    tables = route_tables(data, routes({"path": "/"}), {"r0": 8})
    assert (tables[Configured.EXACT_HOSTS], tables[Configured.SUFFIX_HOSTS]) == (0, 0)


def test_an_owners_routes_are_by_method():
    """GET serves HEAD unless a route names that; a route without methods serves every other."""
    data = Data()
    made = routes({"path": "/", "methods": ["GET"]}, {"path": "/", "methods": ["POST"]}, {"path": "/a"})
    tables = route_tables(data, made, {"r0": 8, "r1": 16, "r2": 24})
    root = tables[Configured.ANY_HOST]
    owner = word(data, root)
    assert word(data, owner) == data.table({"GET": 8, "HEAD": 8, "POST": 16})
    assert word(data, owner + 4) == 0
    assert word(data, owner + 8) == 0
    other = word(data, word(data, word(data, root + 12) + 8))
    assert word(data, other) == data.table({})
    assert word(data, other + 4) == 24
