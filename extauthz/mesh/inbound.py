"""The inbound side of a sidecar: what was going to the application is decided, then handed to it.

Everything captured is read as HTTP: a connection that the policy cannot be asked about is not let through. What a peer
proves with its certificate is the workload that the policy sees; without mutual TLS there is none.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from extauthz.lowering.bootstrap import Enforcement
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import body_not_sent
from extauthz.mesh.chains import (
    black_hole_chain,
    destination_cluster,
    http_filter,
    listener_filter,
    original_destination,
)

INBOUND_PORT: Final = 15006
INBOUND: Final = "inbound"
LAST_HOP_ADDRESS: Final = "127.0.0.6"
"""From where the proxy calls the application: the capture leaves alone what comes from there."""
TPROXY_MARK: Final = 1337


class MutualTls(StrEnum):
    """What the inbound side asks of its peers."""

    STRICT = "strict"
    """A certificate; clear text is refused."""
    PERMISSIVE = "permissive"
    """A certificate, or clear text without any identity."""
    DISABLE = "disable"
    """Clear text; there is no identity."""


def inbound_listener(
    enforcement: Enforcement | None,
    *,
    address: str,
    accepting: JsonObject | None,
    is_clear_text_taken: bool,
    is_transparent: bool,
    buffers_bodies: bool,
    access_log: str | None,
) -> JsonObject:
    """The listener.

    Args:
        enforcement: How the policy is enforced; None: there is no policy.
        address: All addresses of a family: `0.0.0.0` or `::`.
        accepting: The `transport_socket` of mutual TLS; None: it is not spoken.
        is_clear_text_taken: Whether a connection without TLS is served.
        is_transparent: Whether connections arrive as they are (TPROXY).
        buffers_bodies: Whether the policy reads bodies.
        access_log: The file of the access log; standard output when None.
    """
    filters = [_http(enforcement, access_log, buffers_bodies=buffers_bodies)]
    chains = [black_hole_chain(INBOUND_PORT)]
    if accepting is not None:
        match = {"transport_protocol": "tls"}
        chains.append({"name": "tls", "filter_chain_match": match, "filters": filters, "transport_socket": accepting})
    if is_clear_text_taken:
        match = {"transport_protocol": "raw_buffer"}
        chains.append({"name": "clear_text", "filter_chain_match": match, "filters": filters})
    seen = [original_destination(), listener_filter("tls_inspector", "TlsInspector")]
    if is_transparent:
        seen.append(listener_filter("original_src", "OriginalSrc", mark=TPROXY_MARK))
    return {
        "name": INBOUND,
        "traffic_direction": "INBOUND",
        "address": {"socket_address": {"address": address, "port_value": INBOUND_PORT}},
        "listener_filters": seen,
        "filter_chains": chains,
        **({"transparent": True} if is_transparent else {}),
    }


def inbound_cluster(*, is_transparent: bool) -> JsonObject:
    """The application."""
    return destination_cluster(INBOUND, source=None if is_transparent else LAST_HOP_ADDRESS)


def _http(enforcement: Enforcement | None, access_log: str | None, *, buffers_bodies: bool) -> JsonObject:
    log_fields = {"direction": INBOUND, "peer_identity": "%DOWNSTREAM_PEER_URI_SAN%"}
    found = {} if enforcement is None else enforcement.log_fields
    fields = connection_manager_fields(
        access_log=access_log,
        log_fields={**log_fields, **found},
        local_replies=None if enforcement is None else enforcement.local_replies,
    )
    # How long a request may take is the caller's to say.
    grpc: JsonObject = {"match": {"prefix": "/", "grpc": {}}, "route": {"cluster": INBOUND, "timeout": "0s"}}
    if buffers_bodies:
        grpc["typed_per_filter_config"] = body_not_sent()
    routes = [grpc, {"match": {"prefix": "/"}, "route": {"cluster": INBOUND, "timeout": "0s"}}]
    config: JsonObject = {
        **fields,
        # Who the peer is, for the application; what a peer says of itself is dropped.
        "forward_client_cert_details": "SANITIZE_SET",
        "route_config": {"name": INBOUND, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "set_current_client_cert_details": {"uri": True},
    }
    return http_filter(INBOUND, [] if enforcement is None else enforcement.filters, config)
