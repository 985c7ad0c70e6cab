"""A request as Envoy would ask about it, and a reply as Envoy would apply it.

For the engines without an Envoy. What is measured of the real one: `headers_to_remove` wins over what was just set,
status OK allows whatever else is set, a gRPC client gets the status in headers and the body as its message.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from google.protobuf import json_format

from extauthz.lowering.ext_authz import MAX_BODY_BYTES
from extauthz.model.decision import METADATA_KEYS
from tests.harness.answer import GRPC_STATUS_OF_HTTP, Answer, Told, Upstream, is_grpc
from tests.harness.case import CaseRequest, Proxy


def check_request(request: CaseRequest, proxy: Proxy, now: float, *, with_body: bool) -> CheckRequest:
    """What Envoy sends under the generated configuration; `with_body`: the policy set reads bodies."""
    message = CheckRequest()
    attributes = message.attributes
    attributes.source.address.socket_address.address = request.client
    attributes.source.address.socket_address.port_value = 40_000
    attributes.source.principal = request.peer
    attributes.destination.address.socket_address.address = "127.0.0.1"
    attributes.destination.address.socket_address.port_value = 8443 if request.peer else 8080
    attributes.context_extensions.update(proxy.context_extensions)
    received_at = now if request.at is None else request.at
    attributes.request.time.FromNanoseconds(int(received_at * 1e9))
    http = attributes.request.http
    http.method, http.path, http.host, http.protocol = request.method, request.path, request.host, "HTTP/1.1"
    http.scheme = "https" if request.peer else "http"
    body, headers = request.body_bytes, list(request.raw_headers(now))
    if body:
        headers.append(("content-length", str(len(body))))
        http.size = len(body)
    if body and with_body:
        http.raw_body = body[:MAX_BODY_BYTES]
        headers.append(("x-envoy-auth-partial-body", str(len(body) > MAX_BODY_BYTES).lower()))
    pseudo = [(":method", http.method), (":path", http.path), (":authority", http.host), (":scheme", http.scheme)]
    for name, value in (*pseudo, *headers):
        http.header_map.headers.add(key=name, raw_value=value.encode("utf-8", "surrogateescape"))
    return message


def apply_reply(request: CaseRequest, reply: bytes, now: float) -> Answer:
    """What client and upstream get of a serialised CheckResponse."""
    response = CheckResponse.FromString(reply)
    metadata = json_format.MessageToDict(response.dynamic_metadata)
    told = Told(**{name: metadata[name] for name in METADATA_KEYS})  # a policy may say more
    if response.status.code == 0:
        return Answer(200, {}, b"", Upstream(request.path, _forwarded(request, response, now)), told)
    kind = response.WhichOneof("http_response")
    assert kind in {"denied_response", "error_response"}, kind
    denial = getattr(response, kind)
    status, body = int(denial.status.code), denial.body.encode()
    headers: dict[str, Sequence[str]] = {option.header.key: [option.header.value] for option in denial.headers}
    if is_grpc(request):
        grpc_status = GRPC_STATUS_OF_HTTP.get(status, 2)
        headers |= {"grpc-status": [str(grpc_status)], "grpc-message": [denial.body]}
        return Answer(200, headers, b"", None, told)
    return Answer(status, headers, b"" if request.method == "HEAD" else body, None, told)


def _forwarded(request: CaseRequest, response: CheckResponse, now: float) -> Mapping[str, str]:
    forwarded: dict[str, str] = {}
    for name, value in request.raw_headers(now):
        forwarded[name] = f"{forwarded[name]}, {value}" if name in forwarded else value
    forwarded |= {option.header.key: option.header.value for option in response.ok_response.headers}
    for name in response.ok_response.headers_to_remove:
        forwarded.pop(name, None)
    return forwarded
