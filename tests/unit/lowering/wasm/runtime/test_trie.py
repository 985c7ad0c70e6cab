"""Which pattern owns a request: the authorizer's choice."""

from __future__ import annotations

import json
from random import Random

from extauthz.lowering.wasm.emitter import Emitter
from extauthz.lowering.wasm.runtime.layout import Cell
from extauthz.lowering.wasm.tables import route_record, route_tables
from extauthz.model.policy import PathPattern, PathSettings, Route
from extauthz.pdp.canonical import PathReader, canonical_host
from extauthz.pdp.routes import RouteTable
from tests.harness.machine import Machine
from tests.policies import parse

PATTERNS = [
    "/",
    "/a",
    "/b",
    "/a/b",
    "/a/{x}",
    "/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/a/**",
    "/**",
    "/{x}/**",
    "/a/{x}/c",
    "/a/{x}/**",
]
PATTERNS += ["/a/b/c", "/{x}/b/c", "/{x}/{y}/c/d", "/é/{r=**}", "/a.b", "/a/{x}/{r=**}"]
HOSTS = [None, "a.example", "*.example", "*.a.example", "b"]
SEGMENTS = ["a", "b", "c", "d", "%C3%A9", "a.b", "x", ""]
ASKED_HOSTS = ["a.example", "x.example", "x.a.example", "example", "b", "other", "x.y.a.example"]


def routes(random: Random) -> list[Route]:
    """Routes for some of the patterns under some of the hosts, one each."""
    chosen = {(random.choice(HOSTS), random.choice(PATTERNS)) for _ in range(random.randint(1, 14))}
    written = [
        {"name": f"r{n}", "path": path, "public": True, **({"host": host} if host else {})}
        for n, (host, path) in enumerate(sorted(chosen, key=str))
    ]
    return routes_of(written)


def routes_of(written: list[dict[str, object]]) -> list[Route]:
    return list(parse(json.dumps({"version": 1, "name": "s", "routes": written})).policy_set.routes)


def machine_for(table: list[Route]) -> tuple[Machine, dict[int, str]]:
    """A module of these routes, and the route of each owner's record."""
    emitter = Emitter()
    records = {route.name: route_record(emitter.data, route, [0]) for route in table}
    configured = route_tables(emitter.data, table, records)
    emitter.module.table_index(emitter.function(b"\0"))
    return Machine(emitter, configured), {record: name for name, record in records.items()}


def test_the_owner_is_the_authorizers():
    """Over random sets of overlapping patterns: the route, and what its variables bind."""
    random = Random(3)
    for _ in range(40):
        table = routes(random)
        expected_table: RouteTable[Route] = RouteTable((route, route) for route in table)
        machine, names = machine_for(table)
        for _ in range(60):
            path = "/" + "/".join(random.choices(SEGMENTS, k=random.randint(0, 4)))
            host = random.choice(ASKED_HOSTS)
            machine.call("reset")
            if "//" in path or not machine.call("read_path", machine.text(path)):
                continue
            machine.call("read_host", machine.text(host))
            owner = machine.call("find_owner")
            found = expected_table.find(canonical_host(host), PathReader(PathSettings()).read(path))
            if found is None:
                assert owner == 0, (path, host)
                continue
            route = found[0].for_method("GET")
            assert route is not None
            assert names[machine.word(owner + 4)] == route.name, (path, host)
            assert bound(machine, route.path) == list(found[1])[: len(route.path.variables)]


def bound(machine: Machine, pattern: PathPattern) -> list[object]:
    """What the variables of the owner's pattern bind."""
    last = len(pattern.variables) - 1
    is_rest = pattern.text.endswith("**}")
    return [
        machine.value(machine.call("captured_rest" if is_rest and number == last else "captured_segment", number))
        for number in range(len(pattern.variables))
    ]


def test_a_deep_path_is_walked_to_its_end():
    """Thousands of segments, none of which leads anywhere."""
    (route,) = routes_of([{"name": "r", "path": "/a/{x}/b", "public": True}])
    machine, _ = machine_for([route])
    machine.call("read_path", machine.text("/a" * 20_000))
    machine.call("read_host", machine.text("h"))
    assert machine.call("find_owner") == 0
    assert machine.word(Cell.SEGMENT_COUNT) == 20_000
