from __future__ import annotations

from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401 - known to the parser below
from google.protobuf import json_format

from extauthz.mesh.chains import (
    BLACK_HOLE,
    black_hole_chain,
    black_hole_cluster,
    destination_cluster,
    http_filter,
    listener_filter,
    tcp_filter,
)


def parse_cluster(document):
    """As Envoy's own schema has it."""
    return json_format.ParseDict(document, cluster_pb2.Cluster())


def test_a_cluster_that_goes_where_the_connection_went():
    """From an address of its own, if one is named."""
    bound = parse_cluster(destination_cluster("inbound", source="127.0.0.6"))
    assert bound.type == cluster_pb2.Cluster.ORIGINAL_DST
    assert bound.upstream_bind_config.source_address.address == "127.0.0.6"
    assert not parse_cluster(destination_cluster("passthrough")).HasField("upstream_bind_config")


def test_nobody_is_in_the_black_hole():
    """The proxy's own port leads there, or it would call itself."""
    assert not parse_cluster(black_hole_cluster()).load_assignment.endpoints
    chain = black_hole_chain(15006)
    assert chain["filter_chain_match"] == {"destination_port": 15006}
    assert chain["filters"] == [tcp_filter(BLACK_HOLE)]


def test_filters_carry_their_types():
    """The router is the last HTTP filter; options of a listener filter are its fields."""
    http = http_filter("inbound", [{"name": "first"}], {"merge_slashes": True})["typed_config"]
    assert [each["name"] for each in http["http_filters"]] == ["first", "envoy.filters.http.router"]
    assert http["merge_slashes"] is True
    assert listener_filter("original_src", "OriginalSrc", mark=1)["typed_config"]["mark"] == 1
