"""The outbound side of a sidecar: an application's HTTP calls, by the host that they name, to a service's instances.

What the registry does not know is refused or passed on, as the node wants it: a route configuration for either. The
same resources stand in a static configuration or come by discovery.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from extauthz.lowering.bootstrap import Enforcement
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject
from extauthz.mesh.chains import (
    BLACK_HOLE,
    as_called,
    black_hole_chain,
    http_filter,
    listener_filter,
    original_destination,
    tcp_filter,
)
from extauthz.mesh.peer_tls import ADS, CertificateSource, calling
from extauthz.mesh.services import Hashed, RateLimit, Registry, Retries, Service, Tls

OUTBOUND_PORT: Final = 15001
OUTBOUND: Final = "outbound"
PASSTHROUGH: Final = "passthrough"
"""The cluster of where a connection was going."""

_RATE_LIMIT: Final = "envoy.filters.http.local_ratelimit"
_RATE_LIMIT_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_INSPECTION_SECONDS: Final = 1
"""How long a client may stay silent until its connection counts as one that is not HTTP."""


class Unknown(StrEnum):
    """What becomes of a call to what the registry does not know."""

    REFUSE = "refuse"
    PASS = "pass"  # noqa: S105 - a word, not a secret


def outbound_listener(
    enforcement: Enforcement | None, *, address: str, unknown: Unknown, routes: JsonObject, access_log: str | None
) -> JsonObject:
    """The listener.

    Args:
        enforcement: How the outbound policy is enforced; None: there is none.
        address: All addresses of a family: `0.0.0.0` or `::`.
        unknown: What becomes of calls to nobody's host, and of what is not HTTP.
        routes: `route_config` or `rds` of the connection manager.
        access_log: The file of the access log; standard output when None.
    """
    fields = connection_manager_fields(
        access_log=access_log,
        log_fields={"direction": OUTBOUND, **({} if enforcement is None else enforcement.log_fields)},
        local_replies=None if enforcement is None else enforcement.local_replies,
        behind_local_proxy=True,  # the application writes X-Forwarded-For itself, if it does
    )
    policy = [] if enforcement is None else enforcement.filters
    http = http_filter(OUTBOUND, [*policy, _rate_limit_filter()], {**fields, **routes})
    # TLS names protocols too, those inside of it.
    is_http = {"application_protocols": ["http/1.0", "http/1.1", "h2c"], "transport_protocol": "raw_buffer"}
    other = tcp_filter(PASSTHROUGH if unknown is Unknown.PASS else BLACK_HOLE)
    return {
        "name": OUTBOUND,
        "traffic_direction": "OUTBOUND",
        "address": {"socket_address": {"address": address, "port_value": OUTBOUND_PORT}},
        "listener_filters": [
            original_destination(),
            listener_filter("tls_inspector", "TlsInspector"),
            listener_filter("http_inspector", "HttpInspector"),
        ],
        "listener_filters_timeout": f"{_INSPECTION_SECONDS}s",
        "continue_on_listener_filters_timeout": True,
        "filter_chains": [
            black_hole_chain(OUTBOUND_PORT),
            {"name": "http", "filter_chain_match": is_http, "filters": [http]},
        ],
        "default_filter_chain": {"name": "other", "filters": [other]},
    }


def discovered_routes(unknown: Unknown) -> JsonObject:
    """The connection manager's field, for routes that come by discovery."""
    return {"rds": {"config_source": ADS, "route_config_name": route_name(unknown)}}


def route_name(unknown: Unknown) -> str:
    """The name of a route configuration."""
    return f"{OUTBOUND}_{unknown}"


def route_configuration(registry: Registry, unknown: Unknown) -> JsonObject:
    """`RouteConfiguration`: every service by its hosts, then all else."""
    hosts = [_virtual_host(name, registry) for name in sorted(registry.services)]
    return {"name": route_name(unknown), "virtual_hosts": [*hosts, _all_else(unknown)], "validate_clusters": False}


def cluster_name(service: str) -> str:
    """The name of a service's cluster: no name of a service makes that of another cluster of the proxy's."""
    return f"service_{service}"


def service_cluster(
    name: str, service: Service, source: CertificateSource | None, *, is_discovered: bool
) -> JsonObject:
    """`Cluster`: the instances of a service, and how they are called.

    Args:
        name: The service's.
        service: What the registry says of it.
        source: Where the node's own certificate comes from; a service of `tls: mutual` needs one.
        is_discovered: Whether its instances come by discovery.
    """
    limits = service.limits
    threshold = {
        "max_connections": limits.connections,
        "max_pending_requests": limits.pending,
        "max_requests": limits.requests,
        "max_retries": limits.retries,
        "track_remaining": True,
    }
    made: JsonObject = {
        "name": cluster_name(name),
        "connect_timeout": "2s",
        "circuit_breakers": {"thresholds": [threshold]},
        "typed_extension_protocol_options": as_called(),
        **_balancing(service),
        **_ejection(service),
    }
    if is_discovered:
        made |= {"type": "EDS", "eds_cluster_config": {"eds_config": ADS}}
    else:
        made |= {"type": "STATIC", "load_assignment": load_assignment(name, service)}
    if service.tls is Tls.MUTUAL:
        assert source is not None  # noqa: S101 - the caller has looked
        made["transport_socket"] = calling(source, service.identities)
    return made


def load_assignment(name: str, service: Service) -> JsonObject:
    """`ClusterLoadAssignment`: the instances."""
    endpoints = [{"endpoint": {"address": each.to_envoy()}} for each in service.endpoints]
    return {"cluster_name": cluster_name(name), "endpoints": [{"lb_endpoints": endpoints}] if endpoints else []}


def _balancing(service: Service) -> JsonObject:
    match service.balancing:
        case Hashed():
            return {"lb_policy": "RING_HASH"}
        case "least_request":
            return {"lb_policy": "LEAST_REQUEST"}
        case _:
            return {"lb_policy": "ROUND_ROBIN"}


def _ejection(service: Service) -> JsonObject:
    ejection = service.ejection
    if ejection is None:
        return {}
    # Envoy counts a connection that does not come about as a 503.
    detection: JsonObject = {
        "consecutive_5xx": ejection.after,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": _duration(ejection.for_),
        "max_ejection_percent": ejection.at_most,
    }
    # When most instances are gone, Envoy would call the ejected ones too; a failing call says more than a lucky one.
    return {"outlier_detection": detection, "common_lb_config": {"healthy_panic_threshold": {"value": 0}}}


def _virtual_host(name: str, registry: Registry) -> JsonObject:
    service = registry.services[name]
    action: JsonObject = {"cluster": cluster_name(name), "timeout": _duration(service.timeout)}
    if service.retries.attempts:
        action["retry_policy"] = _retry_policy(service.retries)
    if isinstance(service.balancing, Hashed):
        action["hash_policy"] = [{"header": {"header_name": service.balancing.ring_hash.header}}]
    # A stream may last; a call that must not brings grpc-timeout, which is obeyed.
    grpc = {**action, "timeout": "0s", "max_stream_duration": {"grpc_timeout_header_max": "0s"}}
    host: JsonObject = {
        "name": name,
        "domains": list(registry.hosts_of(name)),
        "routes": [
            {"match": {"prefix": "/", "grpc": {}}, "route": grpc},
            {"match": {"prefix": "/"}, "route": action},
        ],
    }
    if service.rate_limit is not None:
        host["typed_per_filter_config"] = {_RATE_LIMIT: _rate_limit(name, service.rate_limit)}
    return host


def _all_else(unknown: Unknown) -> JsonObject:
    route: JsonObject = {"match": {"prefix": "/"}}
    if unknown is Unknown.PASS:
        route["route"] = {"cluster": PASSTHROUGH, "timeout": "0s"}
    else:
        text = "no service of the mesh has this host\n"
        route["direct_response"] = {"status": 502, "body": {"inline_string": text}}
    return {"name": "*", "domains": ["*"], "routes": [route]}


def _retry_policy(retries: Retries) -> JsonObject:
    policy: JsonObject = {
        "retry_on": ",".join(retries.reasons),
        "num_retries": retries.attempts,
        # Elsewhere, where there is an elsewhere.
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 3,
    }
    if retries.per_try is not None:
        policy["per_try_timeout"] = _duration(retries.per_try)
    return policy


def _rate_limit_filter() -> JsonObject:
    """Limits nothing by itself: hosts bring their own."""
    return {"name": _RATE_LIMIT, "typed_config": {"@type": _RATE_LIMIT_TYPE, "stat_prefix": OUTBOUND}}


def _rate_limit(name: str, limit: RateLimit) -> JsonObject:
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "@type": _RATE_LIMIT_TYPE,
        "stat_prefix": f"{OUTBOUND}_{name}",
        "token_bucket": {
            "max_tokens": limit.requests,
            "tokens_per_fill": limit.requests,
            "fill_interval": _duration(limit.per),
        },
        "filter_enabled": always,
        "filter_enforced": always,
    }


def _duration(seconds: float) -> str:
    return f"{seconds:.3f}s"
