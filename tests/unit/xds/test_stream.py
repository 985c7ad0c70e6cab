from __future__ import annotations

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DiscoveryRequest

from extauthz.xds.resource import CLUSTER, ENDPOINTS, ROUTES, Resource
from extauthz.xds.stream import Stream

NODE = {"id": "sidecar~1"}


def snapshot(**types):
    """Resources by short names of types: `clusters={"a": "1"}`."""
    urls = {"clusters": CLUSTER, "endpoints": ENDPOINTS, "routes": ROUTES}
    return {
        urls[kind]: {name: Resource(urls[kind], name, b"", version) for name, version in versions.items()}
        for kind, versions in types.items()
    }


def delta(type_url, **fields):
    return DeltaDiscoveryRequest(type_url=type_url, **fields)


def told(responses):
    """What the responses say: type, names, what is gone."""
    return [
        (each.type_url.rpartition(".")[2], [r.name for r in each.resources], list(each.removed_resources))
        for each in responses
    ]


def take(stream, responses):
    """Acknowledge all of them."""
    for each in responses:
        stream.receive(delta(each.type_url, response_nonce=each.nonce))


@pytest.fixture
def stream():
    """A node that has a cluster with its instances, and a route to it."""
    made = Stream(is_delta=True)
    made.receive(delta(ROUTES, resource_names_subscribe=["r"], node=NODE))
    made.receive(delta(CLUSTER))
    made.receive(delta(ENDPOINTS, resource_names_subscribe=["a"]))
    responses = list(made.respond(snapshot(clusters={"a": "1"}, endpoints={"a": "1"}, routes={"r": "1"})))
    assert [each.type_url for each in responses] == [CLUSTER, ENDPOINTS, ROUTES]  # not in the order of the questions
    take(made, responses)
    return made


def test_the_node_is_known(stream):
    """From the first request on, which alone says it."""
    assert stream.node == "sidecar~1"


def test_a_cluster_goes_when_no_route_leads_there(stream):
    """Make before break: the routes are sent, and the cluster is removed when they have been taken."""
    after = snapshot(clusters={}, endpoints={}, routes={"r": "2"})
    responses = list(stream.respond(after))
    assert told(responses) == [("ClusterLoadAssignment", [], ["a"]), ("RouteConfiguration", ["r"], [])]
    assert not list(stream.respond(after))
    take(stream, responses)
    assert told(stream.respond(after)) == [("Cluster", [], ["a"])]


def test_a_cluster_stays_while_anything_is_refused(stream):
    """The routes that lead there are still in force."""
    after = snapshot(clusters={}, endpoints={"a": "1"}, routes={"r": "2"})
    (routes,) = stream.respond(after)
    refused = stream.receive(delta(ROUTES, response_nonce=routes.nonce, error_detail={"message": "no"}))
    assert [(type_url, name) for type_url, name, _ in refused] == [(ROUTES, "r")]
    assert stream.rejected.keys() == {(ROUTES, "r")}
    assert not list(stream.respond(after))
    repaired = snapshot(clusters={}, endpoints={"a": "1"}, routes={"r": "3"})
    take(stream, list(stream.respond(repaired)))
    assert told(stream.respond(repaired)) == [("Cluster", [], ["a"])]


def test_a_changed_cluster_gets_its_instances_again(stream):
    """It waits for them, and does not ask."""
    after = snapshot(clusters={"a": "2"}, endpoints={"a": "1"}, routes={"r": "1"})
    assert told(stream.respond(after)) == [("Cluster", ["a"], []), ("ClusterLoadAssignment", ["a"], [])]


def test_an_unknown_type_is_left_unanswered(stream):
    """Whatever it is."""
    assert stream.receive(delta("type.googleapis.com/other", response_nonce="1")) == []
    assert not list(stream.respond(snapshot(clusters={"a": "1"}, endpoints={"a": "1"}, routes={"r": "1"})))


def test_the_state_of_the_world_keeps_a_cluster_until_routes_are_taken():
    """Its response repeats the one that is to go."""
    made = Stream(is_delta=False)
    made.receive(DiscoveryRequest(type_url=CLUSTER, node=NODE))
    made.receive(DiscoveryRequest(type_url=ROUTES, resource_names=["r"]))
    for each in list(made.respond(snapshot(clusters={"a": "1"}, routes={"r": "1"}))):
        names = ["r"] if each.type_url == ROUTES else []
        made.receive(DiscoveryRequest(type_url=each.type_url, response_nonce=each.nonce, resource_names=names))
    after = snapshot(clusters={"b": "1"}, routes={"r": "2"})
    first = list(made.respond(after))
    assert [(each.type_url, len(each.resources)) for each in first] == [(CLUSTER, 2), (ROUTES, 1)]
    for each in first:
        names = ["r"] if each.type_url == ROUTES else []
        made.receive(DiscoveryRequest(type_url=each.type_url, response_nonce=each.nonce, resource_names=names))
    (last,) = made.respond(after)
    assert (last.type_url, len(last.resources)) == (CLUSTER, 1)
