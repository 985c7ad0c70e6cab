"""What the filters rely on in the HTTP connection manager around them.

One reading of a request by every party: Envoy refuses or normalises what two readers may read in two ways, before the
authorizer is asked, and forwards what it normalised.
"""

from __future__ import annotations

from collections.abc import Mapping

from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import EXT_AUTHZ

_ACCESS_LOG_TYPE = "type.googleapis.com/envoy.extensions.access_loggers"

DECISION_FIELDS = ("decision_id", "effect", "policies", "reason", "revision", "route")
"""The dynamic metadata of a decision, in the access log under the same names."""

_LOG_FIELDS = {
    "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%",
    "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
    "duration_ms": "%DURATION%",
    "grpc_status": "%GRPC_STATUS_NUMBER%",
    "host": "%REQ(:AUTHORITY)%",
    "method": "%REQ(:METHOD)%",
    # Without the query: tokens and personal data end up there.
    "path": "%PATH(NQ)%",
    "peer": "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%",
    "protocol": "%PROTOCOL%",
    "request_id": "%REQ(X-REQUEST-ID)%",
    "response_code_details": "%RESPONSE_CODE_DETAILS%",
    "response_flags": "%RESPONSE_FLAGS%",
    "status": "%RESPONSE_CODE%",
    "time": "%START_TIME%",
    "upstream": "%UPSTREAM_HOST%",
    "user_agent": "%REQ(USER-AGENT)%",
}


def connection_manager_fields(
    *,
    access_log: str | None = None,
    behind_local_proxy: bool = False,
    log_fields: Mapping[str, str] | None = None,
    local_replies: JsonObject | None = None,
) -> JsonObject:
    """The fields of `HttpConnectionManager` to set next to the filters.

    Args:
        access_log: The file of the access log; standard output when None.
        behind_local_proxy: The peers are proxies on this host, which have written X-Forwarded-For themselves; for a
            loopback peer Envoy would append the host's own address.
        log_fields: More fields of the access log, as format strings by name.
        local_replies: `LocalReplyConfig`: how Envoy answers by itself.
    """
    forwarded: JsonObject = {"skip_xff_append": True} if behind_local_proxy else {}
    replies: JsonObject = {} if local_replies is None else {"local_reply_config": local_replies}
    return {
        **forwarded,
        **replies,
        "access_log": [_access_log(access_log, log_fields or {})],
        # `x_user` and `x-user` are one header to many upstreams (CGI, WSGI, PHP).
        "common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"},
        "merge_slashes": True,
        "normalize_path": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        # `shop.example:443` and `shop.example.` choose the virtual host that `shop.example` does.
        "strip_any_host_port": True,
        "strip_trailing_host_dot": True,
        # The edge: X-Forwarded-For gets the peer's address, and clients cannot send Envoy's own headers.
        "use_remote_address": True,
    }


def _access_log(path: str | None, log_fields: Mapping[str, str]) -> JsonObject:
    decision = {name: f"%DYNAMIC_METADATA({EXT_AUTHZ}:{name})%" for name in DECISION_FIELDS}
    log_format: JsonObject = {"json_format": {**_LOG_FIELDS, **decision, **log_fields}}
    if path is None:
        return {
            "name": "envoy.access_loggers.stdout",
            "typed_config": {"@type": f"{_ACCESS_LOG_TYPE}.stream.v3.StdoutAccessLog", "log_format": log_format},
        }
    return {
        "name": "envoy.access_loggers.file",
        "typed_config": {"@type": f"{_ACCESS_LOG_TYPE}.file.v3.FileAccessLog", "log_format": log_format, "path": path},
    }
