"""CheckRequest -> AccessRequest (envoy/service/auth/v3/attribute_context.proto), read lazily.

`header_map` (the filter's `encode_raw_headers`) wins over `headers`: it keeps repeated headers apart, where `headers`
has them joined by commas. The body is whole only if Envoy says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf.message import DecodeError

from extauthz.errors import RequestMalformedError

PARTIAL_BODY_HEADER = "x-envoy-auth-partial-body"
"""Envoy adds it when `allow_partial_message` truncated the body (ext_authz.v3.BufferSettings)."""


class HeaderValue(Protocol):
    """`envoy.config.core.v3.HeaderValue`, which has no type stubs."""

    key: str
    value: str
    raw_value: bytes


class CheckedRequest:
    """An `AccessRequest` over a CheckRequest message."""

    __slots__ = ("_attributes", "_entries", "_http", "_names", "host", "method", "target")

    def __init__(self, check_request: external_auth_pb2.CheckRequest) -> None:
        attributes = check_request.attributes
        request = attributes.request
        if not request.HasField("http"):
            raise RequestMalformedError("a CheckRequest without HTTP attributes")
        http = request.http
        self._attributes = attributes
        self._http = http
        self.method: str = http.method
        self.target: str = http.path
        self.host: str = http.host
        self._entries: Sequence[HeaderValue] = ()
        self._names: list[str] | None = None

    @property
    def scheme(self) -> str:
        return str(self._http.scheme)

    @property
    def protocol(self) -> str:
        return str(self._http.protocol)

    def header_values(self, name: str) -> Sequence[str]:
        names = self._header_map_names()
        if not names:
            value = self._http.headers.get(name)
            return () if value is None else (value,)
        count = names.count(name)
        if count == 0:
            return ()
        if count == 1:
            return (_text(self._entries[names.index(name)]),)
        return tuple(_text(entry) for entry, its_name in zip(self._entries, names, strict=True) if its_name == name)

    def header_names(self) -> Sequence[str]:
        names = self._header_map_names() or self._http.headers
        return [name for name in dict.fromkeys(names) if not name.startswith(":")]

    def _header_map_names(self) -> list[str]:
        """The names of `header_map`'s entries, read at the first look at a header."""
        names = self._names
        if names is None:
            self._entries = self._http.header_map.headers
            names = self._names = [entry.key for entry in self._entries]
        return names

    @property
    def source_address(self) -> str:
        return str(self._attributes.source.address.socket_address.address)

    @property
    def source_port(self) -> int:
        return int(self._attributes.source.address.socket_address.port_value)

    @property
    def destination_address(self) -> str:
        return str(self._attributes.destination.address.socket_address.address)

    @property
    def destination_port(self) -> int:
        return int(self._attributes.destination.address.socket_address.port_value)

    @property
    def peer_identity(self) -> str:
        return str(self._attributes.source.principal)

    @property
    def context_extensions(self) -> Mapping[str, str]:
        return dict(self._attributes.context_extensions)

    @property
    def body(self) -> bytes | None:
        http = self._http
        body: bytes = http.raw_body or http.body.encode()
        is_partial = "true" in self.header_values(PARTIAL_BODY_HEADER) or (http.size > 0 and http.size != len(body))
        return body if body and not is_partial else None

    @property
    def received_at(self) -> float | None:
        request = self._attributes.request
        return request.time.seconds + request.time.nanos / 1e9 if request.HasField("time") else None


def read_check_request(message: bytes) -> CheckedRequest:
    """Parse a serialised CheckRequest.

    Raises:
        RequestMalformedError: not a CheckRequest (its text must be UTF-8, as proto3 wants), or one without HTTP.
    """
    try:
        check_request = external_auth_pb2.CheckRequest.FromString(message)
    except DecodeError:
        raise RequestMalformedError("not a serialised CheckRequest") from None
    return CheckedRequest(check_request)


def _text(entry: HeaderValue) -> str:
    raw = entry.raw_value
    return raw.decode("utf-8", "surrogateescape") if raw else str(entry.value)
