"""CheckResponse -> what Envoy would do about it, for people who ask what a client would see. Never on the hot path."""

from __future__ import annotations

from dataclasses import dataclass

from envoy.service.auth.v3 import external_auth_pb2


@dataclass(frozen=True, slots=True)
class ClientResponse:
    """What Envoy answers in place of the upstream."""

    status: int
    """HTTP status."""
    headers: tuple[tuple[str, str], ...]
    body: str


def client_response(reply: bytes) -> ClientResponse | None:
    """What the client of a denied request gets; None when the request passes to the upstream."""
    response = external_auth_pb2.CheckResponse.FromString(reply)
    kind = response.WhichOneof("http_response")
    if kind == "ok_response":
        return None
    denial = response.error_response if kind == "error_response" else response.denied_response
    headers = tuple((str(option.header.key), str(option.header.value)) for option in denial.headers)
    return ClientResponse(int(denial.status.code), headers, str(denial.body))
