"""A sidecar's whole Envoy configuration: both sides, health, metrics, administration, and where discovery comes from.

Listeners stand in a file of their own, which is replaced when the policy changes; everything else is for good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from extauthz.lowering.address import Address, TcpAddress, UnixAddress
from extauthz.lowering.bootstrap import Enforcement, authorizer_cluster, cluster
from extauthz.lowering.document import JsonObject
from extauthz.mesh.chains import black_hole_cluster, destination_cluster, http_filter
from extauthz.mesh.inbound import MutualTls, inbound_cluster, inbound_listener
from extauthz.mesh.outbound import (
    PASSTHROUGH,
    Unknown,
    discovered_routes,
    outbound_listener,
    route_configuration,
    service_cluster,
)
from extauthz.mesh.peer_tls import ADS, CertificateSource, accepting
from extauthz.mesh.pod_environment import PodEnvironment
from extauthz.mesh.services import Registry, Tls
from extauthz.mesh.template import HEALTH_PORT, PROMETHEUS_PORT

ADMIN_PORT: Final = 15000
INBOUND_AUTHORIZER: Final = "extauthz"
OUTBOUND_AUTHORIZER: Final = "extauthz_outbound"
HEALTH: Final = "health"
PROMETHEUS: Final = "prometheus"

_MAX_CONNECTIONS: Final = 50_000
"""From callers and the application together; what kubelets and scrapers ask is served beyond it."""
_ADMIN: Final = "administration"
_AGENT: Final = "agent"
_CONTROL: Final = "control"
_TLS_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """Where services and certificates come from, and how the node proves who it is there."""

    address: Address
    identity: str
    """The control plane's own, which its certificate must show; nobody speaks TLS over a Unix socket."""
    authorities: str
    """The file of who signed that certificate, PEM."""
    token: str
    """The node's secret."""

    def cluster(self) -> JsonObject:
        """`Cluster`: gRPC, kept alive, since nothing is said while nothing changes."""
        made = cluster(_CONTROL, self.address, http2={"connection_keepalive": {"interval": "30s", "timeout": "5s"}})
        if isinstance(self.address, UnixAddress):
            return made
        validation: JsonObject = {
            "trusted_ca": {"filename": self.authorities},
            "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": self.identity}}],
        }
        context = {"alpn_protocols": ["h2"], "validation_context": validation}
        config: JsonObject = {"@type": _TLS_TYPE, "common_tls_context": context}
        return {**made, "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": config}}

    def ads_config(self) -> JsonObject:
        """`ApiConfigSource` of the aggregated discovery stream."""
        service: JsonObject = {
            "envoy_grpc": {
                "cluster_name": _CONTROL,
                "authority": _CONTROL,
                # Soon again: until the control plane is back, no instance that comes or goes is seen.
                "retry_policy": {"retry_back_off": {"base_interval": "0.1s", "max_interval": "2s"}},
            },
            "initial_metadata": [{"key": "authorization", "value": f"Bearer {self.token}"}],
        }
        return {"api_type": "DELTA_GRPC", "transport_api_version": "V3", "grpc_services": [service]}


@dataclass(frozen=True, slots=True)
class Side:
    """The policy of one side of the sidecar, and the authorizer that answers for it."""

    enforcement: Enforcement
    authorizer: UnixAddress
    reads_body: bool


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar is to be."""

    pod: PodEnvironment
    mutual_tls: MutualTls
    certificates: CertificateSource | None
    registry: Registry
    """The services, where they do not come from a control plane."""
    control: ControlPlane | None
    unknown: Unknown
    access_log: str | None = None
    """The file of the access log; standard output when None."""


def bootstrap(sidecar: Sidecar, sides: Sequence[Side | None], listeners: Path) -> JsonObject:
    """`Bootstrap`, for listeners that stand in a file.

    Args:
        sidecar: What it is to be.
        sides: The policies of the inbound and the outbound side.
        listeners: The file that `listener_file` writes.
    """
    pod = sidecar.pod
    discovery: JsonObject = {
        "lds_config": {"path_config_source": {"path": str(listeners)}, "resource_api_version": "V3"}
    }
    if sidecar.control is not None:
        discovery |= {"ads_config": sidecar.control.ads_config(), "cds_config": ADS}
    domain = f"{pod.namespace}.svc.{pod.trust_domain}"
    return {
        "admin": {"address": TcpAddress("127.0.0.1", ADMIN_PORT).to_envoy()},
        "node": {
            "id": f"sidecar~{pod.address}~{pod.name}.{pod.namespace}~{domain}",
            "cluster": f"{pod.workload}.{pod.namespace}",
        },
        "dynamic_resources": discovery,
        "overload_manager": {"resource_monitors": [_connection_limit()]},
        "static_resources": {"clusters": _clusters(sidecar, sides)},
    }


def listener_file(sidecar: Sidecar, sides: Sequence[Side | None]) -> JsonObject:
    """`DiscoveryResponse` with all listeners."""
    inbound, outbound = sides
    pod, mutual_tls = sidecar.pod, sidecar.mutual_tls
    if mutual_tls is MutualTls.DISABLE:
        socket = None
    else:
        assert sidecar.certificates is not None  # noqa: S101 - the command has looked
        socket = accepting(sidecar.certificates, pod.trust_domain)
    if sidecar.control is None:
        routes: JsonObject = {"route_config": route_configuration(sidecar.registry, sidecar.unknown)}
    else:
        routes = discovered_routes(sidecar.unknown)
    listeners = [
        inbound_listener(
            None if inbound is None else inbound.enforcement,
            address=pod.wildcard,
            accepting=socket,
            is_clear_text_taken=mutual_tls is not MutualTls.STRICT,
            is_transparent=pod.is_transparent,
            buffers_bodies=inbound is not None and inbound.reads_body,
            access_log=sidecar.access_log,
        ),
        outbound_listener(
            None if outbound is None else outbound.enforcement,
            address=pod.wildcard,
            unknown=sidecar.unknown,
            routes=routes,
            access_log=sidecar.access_log,
        ),
        _forwarding(HEALTH, pod, HEALTH_PORT, _AGENT, "/healthz/ready"),
        _forwarding(PROMETHEUS, pod, PROMETHEUS_PORT, _ADMIN, "/stats/prometheus"),
    ]
    typed = [{"@type": "type.googleapis.com/envoy.config.listener.v3.Listener", **each} for each in listeners]
    return {"resources": typed}


def policy_clusters(sides: Sequence[Side | None]) -> list[JsonObject]:
    """What the policies need: the authorizers, and the key sets that Envoy fetches itself."""
    names = (INBOUND_AUTHORIZER, OUTBOUND_AUTHORIZER)
    made: dict[str, JsonObject] = {}
    for name, side in zip(names, sides, strict=True):
        if side is not None:
            made[name] = authorizer_cluster(side.authorizer, name=name)
            made |= {each["name"]: each for each in side.enforcement.clusters}
    return list(made.values())


def _connection_limit() -> JsonObject:
    """`ResourceMonitor`: descriptors must not run out, which would take the proxy's own calls with them."""
    kind = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {
            "@type": f"type.googleapis.com/{kind}",
            "max_active_downstream_connections": _MAX_CONNECTIONS,
        },
    }


def _clusters(sidecar: Sidecar, sides: Sequence[Side | None]) -> list[JsonObject]:
    services: list[JsonObject] = []
    if sidecar.control is None:
        for name, service in sorted(sidecar.registry.services.items()):
            services.append(service_cluster(name, service, sidecar.certificates, is_discovered=False))
    return [
        inbound_cluster(is_transparent=sidecar.pod.is_transparent),
        destination_cluster(PASSTHROUGH),
        black_hole_cluster(),
        cluster(_ADMIN, TcpAddress("127.0.0.1", ADMIN_PORT)),
        cluster(_AGENT, TcpAddress(sidecar.pod.loopback, sidecar.pod.status_port)),
        *([] if sidecar.control is None else [sidecar.control.cluster()]),
        *policy_clusters(sides),
        *services,
    ]


def _forwarding(name: str, pod: PodEnvironment, port: int, target: str, path: str) -> JsonObject:
    """A listener that the capture leaves alone: one path, for kubelets and scrapers."""
    route = {"match": {"path": path}, "route": {"cluster": target}}
    config: JsonObject = {
        "route_config": {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]}
    }
    return {
        "name": name,
        "address": {"socket_address": {"address": pod.wildcard, "port_value": port}},
        "filter_chains": [{"filters": [http_filter(name, [], config)]}],
        "ignore_global_conn_limit": True,
    }


def needs_certificates(registry: Registry) -> list[str]:
    """The services that are called with mutual TLS."""
    return sorted(name for name, service in registry.services.items() if service.tls is Tls.MUTUAL)
