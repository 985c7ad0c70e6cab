"""Whole Envoy configurations: listeners, clusters, and the bootstrap of a front proxy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from extauthz.lowering.address import Address
from extauthz.lowering.client_tls import ClientTls
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import (
    AUTHORIZER_CLUSTER,
    body_not_sent,
    check_filters,
    reads_body,
    router_filter,
)
from extauthz.lowering.server_tls import ServerTls
from extauthz.model.policy import PolicySet

UPSTREAM_CLUSTER = "upstream"
UPSTREAM_GRPC_CLUSTER = "upstream_grpc"

_CONNECTION_MANAGER_TYPE = (
    "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
)
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True, slots=True)
class Enforcement:
    """What a way to enforce a policy set puts into a configuration, besides the authorizer's cluster."""

    filters: Sequence[JsonObject]
    """Before the router."""
    log_fields: Mapping[str, str] = field(default_factory=dict)
    local_replies: JsonObject | None = None
    clusters: Sequence[JsonObject] = ()


def checking(policy_set: PolicySet) -> Enforcement:
    """Each request is decided by the authorizer."""
    return Enforcement(check_filters(policy_set))


def front_proxy(  # noqa: PLR0913 - each a keyword of its own
    policy_set: PolicySet,
    *,
    enforcement: Enforcement | None = None,
    authorizer: Address,
    authorizer_tls: ClientTls | None = None,
    upstream: Address,
    listen: Address,
    tls: ServerTls | None = None,
    admin: Address | None = None,
    access_log: str | None = None,
    behind_local_proxy: bool = False,
) -> JsonObject:
    """A bootstrap that serves `upstream` at `listen`.

    Args:
        enforcement: How the set is enforced; each request is decided by `authorizer` when None.
        authorizer_tls: How `authorizer` is spoken to; in clear text when None.
        tls: What clients are served with; clear text when None.
        admin: Where Envoy's administration interface listens; anyone who reaches it controls Envoy. None: nowhere.
        access_log: The file of the access log; standard output when None.
        behind_local_proxy: As in `connection_manager_fields`.
    """
    enforcement = enforcement or checking(policy_set)
    fields = connection_manager_fields(
        access_log=access_log,
        behind_local_proxy=behind_local_proxy,
        log_fields=enforcement.log_fields,
        local_replies=enforcement.local_replies,
    )
    bootstrap: JsonObject = {
        "static_resources": {
            "clusters": [
                authorizer_cluster(authorizer, tls=authorizer_tls),
                cluster(UPSTREAM_CLUSTER, upstream),
                cluster(UPSTREAM_GRPC_CLUSTER, upstream, http2={}),
                *enforcement.clusters,
            ],
            "listeners": [
                listener("front", listen, enforcement.filters, fields, routes=upstream_routes(policy_set), tls=tls)
            ],
        }
    }
    if admin is not None:
        bootstrap["admin"] = {"address": admin.to_envoy()}
    if any(each is not None and each.secrets is not None for each in (authorizer_tls, tls)):
        bootstrap["node"] = {"cluster": "extauthz", "id": "front"}  # secret discovery wants a name, even from files
    return bootstrap


def snippet(
    policy_set: PolicySet,
    *,
    enforcement: Enforcement | None = None,
    authorizer: Address,
    authorizer_tls: ClientTls | None = None,
) -> JsonObject:
    """What goes into an Envoy configuration that exists: filters, the fields they rely on, clusters."""
    enforcement = enforcement or checking(policy_set)
    return {
        "clusters": [authorizer_cluster(authorizer, tls=authorizer_tls), *enforcement.clusters],
        "http_connection_manager": connection_manager_fields(
            log_fields=enforcement.log_fields, local_replies=enforcement.local_replies
        ),
        "http_filters": list(enforcement.filters),
    }


def listener(
    name: str,
    address: Address,
    filters: Sequence[JsonObject],
    connection_manager: JsonObject,
    *,
    routes: Sequence[JsonObject],
    tls: ServerTls | None = None,
) -> JsonObject:
    """A listener of HTTP/1.1 and HTTP/2, in clear text without `tls`; the router is added to `filters`."""
    config: JsonObject = {
        **connection_manager,
        "@type": _CONNECTION_MANAGER_TYPE,
        "codec_type": "AUTO",
        "http_filters": [*filters, router_filter()],
        "route_config": {"virtual_hosts": [{"domains": ["*"], "name": "all", "routes": list(routes)}]},
        "stat_prefix": name,
    }
    network_filter: JsonObject = {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}
    chain: JsonObject = {"filters": [network_filter]}
    if tls is not None:
        chain["transport_socket"] = tls.transport_socket()
    return {"name": name, "address": address.to_envoy(), "filter_chains": [chain]}


_LEAVES_OUT_THE_DEAD: JsonObject = {
    # A replica that nothing comes back from gets no requests for a while, where there are others. A name is resolved
    # again only every 5 s, and until then every request to a dead address would be a 503.
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    # What it answers, a request may have provoked: no answer takes a replica out.
    "enforcing_consecutive_5xx": 0,
    "enforcing_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "5s",
    "max_ejection_time": "30s",
    "max_ejection_percent": 50,
}


def authorizer_cluster(address: Address, *, name: str = AUTHORIZER_CLUSTER, tls: ClientTls | None = None) -> JsonObject:
    """The authorizer: gRPC, so HTTP/2.

    A new connection's first requests go out before the server's SETTINGS are read, so that the client's own limit on
    streams is what keeps a burst from being refused.
    """
    made = cluster(name, address, http2={"max_concurrent_streams": 128})
    made["outlier_detection"] = _LEAVES_OUT_THE_DEAD
    return made if tls is None else {**made, "transport_socket": tls.transport_socket(address)}


def cluster(name: str, address: Address, *, http2: JsonObject | None = None) -> JsonObject:
    """A cluster of one endpoint, HTTP/1.1 unless there are `http2` options."""
    protocol: JsonObject = {"http_protocol_options": {}} if http2 is None else {"http2_protocol_options": http2}
    endpoint: JsonObject = {"endpoint": {"address": address.to_envoy()}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "type": "STATIC" if address.is_literal else "STRICT_DNS",
        "typed_extension_protocol_options": {
            _HTTP_OPTIONS: {"@type": f"type.googleapis.com/{_HTTP_OPTIONS}", "explicit_http_config": protocol}
        },
    }


def upstream_routes(policy_set: PolicySet) -> list[JsonObject]:
    """Every request to the upstream, gRPC over HTTP/2."""
    grpc: JsonObject = {
        "match": {"prefix": "/", "grpc": {}},
        # The default of 15 s is for responses that end; a stream may last.
        "route": {"cluster": UPSTREAM_GRPC_CLUSTER, "timeout": "0s"},
    }
    if reads_body(policy_set):
        # A stream's body has no end to wait for, and no condition reads what is not JSON.
        grpc["typed_per_filter_config"] = body_not_sent()
    return [grpc, {"match": {"prefix": "/"}, "route": {"cluster": UPSTREAM_CLUSTER}}]
