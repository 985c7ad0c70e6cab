from __future__ import annotations

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401 - known to the parser
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2  # noqa: F401 - likewise
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401 - likewise
from google.protobuf import json_format

from extauthz.mesh.outbound import Unknown, load_assignment, outbound_listener, route_configuration, service_cluster
from extauthz.mesh.peer_tls import ControlledCertificates
from extauthz.mesh.services import parse_registry

ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"


def registry(**orders):
    """One service, called with mutual TLS unless told otherwise."""
    service = orders if "tls" in orders else {"identities": [ORDERS], **orders}
    return parse_registry({"services": {"orders": service}}, "test")


def cluster(*, is_discovered=False, **orders):
    """Its cluster, as Envoy's own schema has it."""
    service = registry(**orders).services["orders"]
    made = service_cluster("orders", service, ControlledCertificates(), is_discovered=is_discovered)
    return json_format.ParseDict(made, cluster_pb2.Cluster())


def routes(unknown=Unknown.REFUSE, **orders):
    """The route configuration, as Envoy's own schema has it."""
    made = route_configuration(registry(**orders), unknown)
    return json_format.ParseDict(made, route_pb2.RouteConfiguration())


@pytest.mark.parametrize(
    ("balancing", "policy"),
    [
        ("round_robin", cluster_pb2.Cluster.ROUND_ROBIN),
        ("least_request", cluster_pb2.Cluster.LEAST_REQUEST),
        ({"ring_hash": {"header": "x-user"}}, cluster_pb2.Cluster.RING_HASH),
    ],
)
def test_balancing(balancing, policy):
    """As the registry says; a ring is keyed by the header."""
    assert cluster(balancing=balancing).lb_policy == policy
    route = routes(balancing=balancing).virtual_hosts[0].routes[-1].route
    keys = [each.header.header_name for each in route.hash_policy]
    assert keys == (["x-user"] if policy == cluster_pb2.Cluster.RING_HASH else [])


def test_limits_and_ejection():
    """Circuit breakers and outlier detection; no panic, which would call the ejected instances after all."""
    made = cluster(limits={"requests": 7, "pending": 8}, ejection={"after": 3, "for": "2s", "at_most": 100})
    (threshold,) = made.circuit_breakers.thresholds
    assert (threshold.max_requests.value, threshold.max_pending_requests.value) == (7, 8)
    detection = made.outlier_detection
    assert (detection.consecutive_5xx.value, detection.max_ejection_percent.value) == (3, 100)
    assert detection.base_ejection_time.seconds == 2
    assert made.common_lb_config.HasField("healthy_panic_threshold")
    assert not cluster(ejection=None).HasField("outlier_detection")


def test_mutual_tls_is_what_the_registry_says():
    """With it there is a transport socket; without it there is none."""
    assert cluster().transport_socket.name == "envoy.transport_sockets.tls"
    assert not cluster(tls="none").HasField("transport_socket")


def test_instances_stand_in_the_cluster_or_are_discovered():
    """The same assignment either way."""
    endpoints = ["10.0.0.1:80", "10.0.0.2:80"]
    static = cluster(endpoints=endpoints).load_assignment
    discovered = cluster(endpoints=endpoints, is_discovered=True)
    assert discovered.type == cluster_pb2.Cluster.EDS
    assert not discovered.HasField("load_assignment")
    service = registry(endpoints=endpoints).services["orders"]
    parsed = json_format.ParseDict(load_assignment("orders", service), endpoint_pb2.ClusterLoadAssignment())
    assert parsed == static
    assert len(parsed.endpoints[0].lb_endpoints) == 2


def test_calls_are_routed_by_host_with_time_and_retries():
    """GRPC calls bring their own time; what the application may have seen is not sent again unless asked for."""
    (orders, other) = routes(hosts=["orders", "orders.shop"], timeout="2s").virtual_hosts
    assert list(orders.domains) == ["orders", "orders.shop"]
    grpc, plain = orders.routes
    assert (grpc.route.timeout.ToSeconds(), plain.route.timeout.ToSeconds()) == (0, 2)
    assert plain.route.retry_policy.retry_on == "connect-failure,refused-stream,reset-before-request"
    assert list(other.domains) == ["*"]
    (unretried, _) = routes(retries={"attempts": 0}).virtual_hosts
    assert not unretried.routes[1].route.HasField("retry_policy")


def test_what_is_unknown_is_refused_or_passed():
    """By one of two configurations, whose names tell them apart."""
    refused, passed = routes(Unknown.REFUSE), routes(Unknown.PASS)
    assert refused.virtual_hosts[-1].routes[0].direct_response.status == 502
    assert passed.virtual_hosts[-1].routes[0].route.cluster == "passthrough"
    assert refused.name != passed.name


def test_a_rate_limit_is_of_one_service():
    """The bucket is filled as it is emptied: so many in so long."""
    (orders, other) = routes(rate_limit={"requests": 5, "per": "2s"}).virtual_hosts
    limit = local_rate_limit_pb2.LocalRateLimit()
    assert orders.typed_per_filter_config["envoy.filters.http.local_ratelimit"].Unpack(limit)
    bucket = limit.token_bucket
    assert (bucket.max_tokens, bucket.tokens_per_fill.value, bucket.fill_interval.seconds) == (5, 5, 2)
    assert not other.typed_per_filter_config


def test_tls_is_not_taken_for_the_protocol_inside_of_it():
    """A client names HTTP in its handshake, too."""
    made = outbound_listener(None, address="0.0.0.0", unknown=Unknown.PASS, routes={}, access_log=None)
    (http,) = (each for each in made["filter_chains"] if each["name"] == "http")
    assert http["filter_chain_match"]["transport_protocol"] == "raw_buffer"


@pytest.mark.parametrize(("unknown", "cluster_name"), [(Unknown.REFUSE, "black_hole"), (Unknown.PASS, "passthrough")])
def test_what_is_no_http(unknown, cluster_name):
    """Goes where unknown hosts go."""
    made = outbound_listener(None, address="0.0.0.0", unknown=unknown, routes={}, access_log=None)
    assert made["default_filter_chain"]["filters"][0]["typed_config"]["cluster"] == cluster_name


@pytest.mark.parametrize(
    "name", ["inbound", "passthrough", "control", "agent", "extauthz", "unknown", "administration"]
)
def test_no_service_takes_the_name_of_another_cluster(name):
    """A call to it would go to the proxy's own."""
    services = parse_registry({"services": {name: {"tls": "none"}}}, "test")
    made = service_cluster(name, services.services[name], None, is_discovered=False)
    assert made["name"] == f"service_{name}" == made["load_assignment"]["cluster_name"]
    (own, other) = route_configuration(services, Unknown.PASS)["virtual_hosts"]
    assert own["routes"][1]["route"]["cluster"] == made["name"]
    assert own["name"] != other["name"]
