"""What is discovered: a message of Envoy's API under a name, and the version of its content."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2

# Messages that stand in others as `Any` must be known to whoever reads their JSON.
from envoy.extensions.filters.http.local_ratelimit.v3 import local_rate_limit_pb2  # noqa: F401
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from google.protobuf import any_pb2, json_format

_PREFIX: Final = "type.googleapis.com/envoy."
CLUSTER: Final = f"{_PREFIX}config.cluster.v3.Cluster"
ENDPOINTS: Final = f"{_PREFIX}config.endpoint.v3.ClusterLoadAssignment"
SECRET: Final = f"{_PREFIX}extensions.transport_sockets.tls.v3.Secret"
EXTENSION: Final = f"{_PREFIX}config.core.v3.TypedExtensionConfig"
LISTENER: Final = f"{_PREFIX}config.listener.v3.Listener"
ROUTES: Final = f"{_PREFIX}config.route.v3.RouteConfiguration"

ORDER: Final = (CLUSTER, ENDPOINTS, SECRET, EXTENSION, LISTENER, ROUTES)
"""In which types are sent, so that nothing refers to what is not there yet (Envoy, "Eventual consistency")."""

_MESSAGES: Final[Mapping[str, Any]] = {
    CLUSTER: cluster_pb2.Cluster,
    ENDPOINTS: endpoint_pb2.ClusterLoadAssignment,
    SECRET: secret_pb2.Secret,
    EXTENSION: extension_pb2.TypedExtensionConfig,
    LISTENER: listener_pb2.Listener,
    ROUTES: route_pb2.RouteConfiguration,
}


@dataclass(frozen=True, slots=True)
class Resource:
    """One message."""

    type_url: str
    name: str
    content: bytes = field(repr=False)  # a secret may be in it
    version: str
    """Of the content: the same bytes have the same version, over restarts too."""

    def packed(self) -> any_pb2.Any:
        """As responses carry it."""
        return any_pb2.Any(type_url=self.type_url, value=self.content)


Snapshot: TypeAlias = Mapping[str, Mapping[str, Resource]]
"""All that one node may have: by type, then by name."""


def make_resource(type_url: str, name: str, document: Mapping[str, Any]) -> Resource:
    """A resource from its JSON.

    Raises:
        ValueError: it is no such message; a mistake of whoever made it.
    """
    message = json_format.ParseDict(dict(document), _MESSAGES[type_url]())
    content = message.SerializeToString(deterministic=True)
    return Resource(type_url, name, content, hashlib.sha256(content).hexdigest()[:16])
