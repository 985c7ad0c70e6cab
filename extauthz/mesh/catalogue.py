"""What the control plane serves: every service to every node, and to each node its own certificate alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from extauthz.mesh.authority import Authority
from extauthz.mesh.nodes import Nodes
from extauthz.mesh.outbound import Unknown, cluster_name, load_assignment, route_configuration, service_cluster
from extauthz.mesh.peer_tls import AUTHORITY_SECRET, OWN_SECRET, ControlledCertificates
from extauthz.mesh.services import Registry
from extauthz.telemetry.logging import Logger
from extauthz.xds.catalogue import Caller
from extauthz.xds.resource import CLUSTER, ENDPOINTS, ROUTES, SECRET, Resource, Snapshot, make_resource
from extauthz.xds.subscription import Rejection


class MeshCatalogue:
    """A `Catalogue` for one event loop."""

    def __init__(
        self, registry: Registry, nodes: Nodes, authority: Authority, logger: Logger, clock: Callable[[], float]
    ) -> None:
        self._nodes = nodes
        self._authority = authority
        self._logger = logger
        self._clock = clock
        self._secrets: dict[str, tuple[str, Mapping[str, Resource]]] = {}
        """By identity: the certificate they were made of, and the resources."""
        self.registry = registry
        self._shared = shared_resources(registry)

    def replace_registry(self, registry: Registry) -> None:
        """From now on these are the services."""
        self.registry, self._shared = registry, shared_resources(registry)

    def identify(self, caller: Caller) -> str | None:
        """By the node's secret."""
        identity = self._nodes.identity_of(caller.authorization)
        if identity is None:
            self._logger.warning("node_unknown", note="its token is none that the nodes' file knows")
        return identity

    def snapshot(self, identity: str) -> Snapshot:
        """The services, and this identity's certificate."""
        return {**self._shared, SECRET: self._secrets_of(identity)}

    def on_connected(self, identity: str, node: str) -> None:
        self._logger.info("node_connected", identity=identity, node=node)

    def on_disconnected(self, identity: str, node: str) -> None:
        self._logger.info("node_disconnected", identity=identity, node=node)

    def on_rejected(self, identity: str, node: str, refused: Mapping[tuple[str, str], Rejection]) -> None:
        for (type_url, name), rejection in refused.items():
            self._logger.error(
                "update_rejected",
                identity=identity,
                node=node,
                type=type_url.rpartition(".")[2],
                name=name,
                problem=rejection.message,
                note="the node goes on with what it had",
            )

    def _secrets_of(self, identity: str) -> Mapping[str, Resource]:
        certificate = self._authority.certificate_of(identity, self._clock())
        made_of, resources = self._secrets.get(identity, ("", {}))
        if made_of != certificate.chain:
            own = {
                "certificate_chain": {"inline_string": certificate.chain},
                "private_key": {"inline_string": certificate.key},
            }
            authority = {"trusted_ca": {"inline_string": self._authority.certificate}}
            resources = {
                OWN_SECRET: make_resource(SECRET, OWN_SECRET, {"name": OWN_SECRET, "tls_certificate": own}),
                AUTHORITY_SECRET: make_resource(
                    SECRET, AUTHORITY_SECRET, {"name": AUTHORITY_SECRET, "validation_context": authority}
                ),
            }
            self._secrets[identity] = certificate.chain, resources
        return resources


def shared_resources(registry: Registry) -> Snapshot:
    """The services, as every node gets them."""
    source = ControlledCertificates()
    services = sorted(registry.services.items())
    return {
        CLUSTER: {
            cluster_name(name): make_resource(
                CLUSTER, cluster_name(name), service_cluster(name, service, source, is_discovered=True)
            )
            for name, service in services
        },
        ENDPOINTS: {
            cluster_name(name): make_resource(ENDPOINTS, cluster_name(name), load_assignment(name, service))
            for name, service in services
        },
        ROUTES: {
            made["name"]: make_resource(ROUTES, made["name"], made)
            for made in (route_configuration(registry, unknown) for unknown in Unknown)
        },
    }
