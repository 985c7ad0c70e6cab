from __future__ import annotations

import hashlib
import io
import json

import pytest
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from extauthz.mesh.authority import open_authority
from extauthz.mesh.catalogue import MeshCatalogue
from extauthz.mesh.nodes import load_nodes
from extauthz.mesh.services import EMPTY, parse_registry
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from extauthz.xds.catalogue import Caller
from extauthz.xds.resource import CLUSTER, ENDPOINTS, ROUTES, SECRET
from extauthz.xds.subscription import Rejection

TOKEN = "0123456789abcdef" * 2
ORDERS, FRONTEND = (f"spiffe://cluster.local/ns/shop/sa/{name}" for name in ("orders", "frontend"))
SERVICES = parse_registry({"services": {"orders": {"identities": [ORDERS], "endpoints": ["10.0.0.1:80"]}}}, "test")


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


@pytest.fixture
def made(tmp_path):
    """A catalogue, its clock and its log."""
    nodes = tmp_path / "nodes.yaml"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    nodes.write_text(json.dumps({"nodes": [{"token_sha256": digest, "identity": ORDERS}]}))
    clock, log = Clock(), io.StringIO()
    authority = open_authority(tmp_path / "ca", "cluster.local", lifetime_seconds=100, now=clock())
    logger = build_logger(log, log_format=LogFormat.JSON, level=LogLevel.INFO)
    return MeshCatalogue(SERVICES, load_nodes(nodes), authority, logger, clock), clock, log


def own(catalogue, identity):
    """The certificate that an identity gets."""
    resource = catalogue.snapshot(identity)[SECRET]["own"]
    return secret_pb2.Secret.FromString(resource.content).tls_certificate


def test_a_node_is_known_by_its_token(made):
    """A stranger is told to the log, without the token."""
    catalogue, _, log = made
    assert catalogue.identify(Caller(f"Bearer {TOKEN}", ())) == ORDERS
    assert catalogue.identify(Caller("Bearer stranger", (FRONTEND,))) is None
    assert "node_unknown" in log.getvalue()
    assert "stranger" not in log.getvalue()


def test_each_identity_gets_its_own_certificate(made):
    """And no other's; the services are everybody's."""
    catalogue, _, _ = made
    orders, frontend = catalogue.snapshot(ORDERS), catalogue.snapshot(FRONTEND)
    assert own(catalogue, ORDERS) != own(catalogue, FRONTEND)
    assert orders[SECRET].keys() == {"own", "authority"}
    assert orders[SECRET]["authority"] == frontend[SECRET]["authority"]
    assert orders[CLUSTER] == frontend[CLUSTER]
    assert orders[ROUTES].keys() == {"outbound_refuse", "outbound_pass"}


def test_a_snapshot_changes_only_with_what_is_in_it(made):
    """Certificates at their renewal, services when they are replaced; versions say which."""
    catalogue, clock, _ = made
    before = catalogue.snapshot(ORDERS)
    assert catalogue.snapshot(ORDERS) == before
    clock.now += 50
    renewed = catalogue.snapshot(ORDERS)
    assert renewed[SECRET]["own"].version != before[SECRET]["own"].version
    assert renewed[SECRET]["authority"] == before[SECRET]["authority"]
    catalogue.replace_registry(EMPTY)
    assert not catalogue.snapshot(ORDERS)[CLUSTER]
    assert not catalogue.snapshot(ORDERS)[ENDPOINTS]


def test_what_nodes_do_is_told(made):
    """Who came and went, and what was refused and why."""
    catalogue, _, log = made
    catalogue.on_connected(ORDERS, "n")
    catalogue.on_rejected(ORDERS, "n", {(CLUSTER, "orders"): Rejection("1", "bad")})
    catalogue.on_disconnected(ORDERS, "n")
    events = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [each["event"] for each in events] == ["node_connected", "update_rejected", "node_disconnected"]
    assert (events[1]["type"], events[1]["name"], events[1]["problem"]) == ("Cluster", "orders", "bad")
