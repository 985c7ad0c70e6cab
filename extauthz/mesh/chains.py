"""Parts that both sides of a sidecar have: chains of network filters, and clusters that go where a connection went."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import router_filter

BLACK_HOLE: Final = "black_hole"
"""The cluster that has no instance."""

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters"
_HTTP_OPTIONS: Final = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def http_filter(stat_prefix: str, filters: Sequence[JsonObject], fields: JsonObject) -> JsonObject:
    """The HTTP connection manager as a network filter; the router is added to `filters`."""
    config: JsonObject = {
        **fields,
        "@type": f"{_TYPE}.network.http_connection_manager.v3.HttpConnectionManager",
        "codec_type": "AUTO",
        "http_filters": [*filters, router_filter()],
        "stat_prefix": stat_prefix,
    }
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def tcp_filter(cluster: str) -> JsonObject:
    """Whatever is said, to a cluster."""
    config = {"@type": f"{_TYPE}.network.tcp_proxy.v3.TcpProxy", "cluster": cluster, "stat_prefix": cluster}
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def black_hole_chain(port: int) -> JsonObject:
    """For who connects to the proxy's own port: its destination is the proxy, which would call itself for ever."""
    return {
        "name": BLACK_HOLE,
        "filter_chain_match": {"destination_port": port},
        "filters": [tcp_filter(BLACK_HOLE)],
    }


def listener_filter(kind: str, message: str, **fields: object) -> JsonObject:
    """A filter that looks at a connection before its chain is chosen."""
    config: JsonObject = {"@type": f"{_TYPE}.listener.{kind}.v3.{message}", **fields}
    return {"name": f"envoy.filters.listener.{kind}", "typed_config": config}


def original_destination() -> JsonObject:
    """Restores where a redirected connection was going."""
    return listener_filter("original_dst", "OriginalDst")


def destination_cluster(name: str, *, source: str | None = None) -> JsonObject:
    """A cluster whose one instance is where the connection was going; HTTP in the version that the caller speaks."""
    bound: JsonObject = {"upstream_bind_config": {"source_address": {"address": source, "port_value": 0}}}
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "5s",
        "typed_extension_protocol_options": as_called(),
        **(bound if source is not None else {}),
    }


def as_called(**common: object) -> JsonObject:
    """`typed_extension_protocol_options`: HTTP/2 for a request that came by it, else HTTP/1.1."""
    protocol: JsonObject = {
        "use_downstream_protocol_config": {"http_protocol_options": {}, "http2_protocol_options": {}}
    }
    return {_HTTP_OPTIONS: {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", **protocol, **common}}


def black_hole_cluster() -> JsonObject:
    """Connections to it are closed."""
    return {"name": BLACK_HOLE, "type": "STATIC", "connect_timeout": "1s"}
