"""The engine that is a real Envoy: one process for all sites, a listener for each, configured as we generate it.

Nothing is added to a request to tell the sites apart. The listeners' ports are the system's choice. What the decision
was is read from Envoy's access log, where the client's address and port find the line.
"""

from __future__ import annotations

import json
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from ssl import SSLContext
from typing import Any

from cryptography import x509

from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.lowering.address import Address, TcpAddress
from extauthz.lowering.bootstrap import (
    UPSTREAM_CLUSTER,
    UPSTREAM_GRPC_CLUSTER,
    authorizer_cluster,
    cluster,
    listener,
    upstream_routes,
)
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.document import JsonObject
from extauthz.lowering.ext_authz import EXT_AUTHZ, check_filters
from extauthz.lowering.native import CALL_POLICY
from extauthz.model.access import JsonValue
from tests.harness.answer import Answer, Told, Upstream
from tests.harness.case import CaseRequest, Proxy
from tests.harness.certificates import CertificateAuthority
from tests.harness.http1 import Response, exchange, request_bytes
from tests.harness.site import Site

GRPC_PREFIX_LENGTH = 5

_ANY_PORT = TcpAddress("127.0.0.1", 0)
_LOG_SECONDS = 5.0
_POLL_SECONDS = 0.005


class EnvoyEngine:
    """A real Envoy between the client and the sites' services."""

    def __init__(
        self,
        sites: Sequence[Site],
        authorizer_of: Callable[[Site], Address],
        upstream: Address,
        directory: Path,
        authority: CertificateAuthority,
    ) -> None:
        self._authority = authority
        self._clients: dict[str, SSLContext] = {}
        self._log = AccessLog(directory / "access.log")
        fields = self.fields(str(self._log.path))
        listeners: list[JsonValue] = []
        clusters: list[JsonValue] = [
            cluster(UPSTREAM_CLUSTER, upstream),
            cluster(UPSTREAM_GRPC_CLUSTER, upstream, http2={}),
        ]
        for site in sites:
            clusters.append(authorizer_cluster(authorizer_of(site), name=site.name))
            listeners += self._listeners(site, fields)
        self.envoy = EmbeddedEnvoy({"static_resources": {"clusters": clusters, "listeners": listeners}}, directory)
        self.envoy.start()

    def ask(self, site: Site, request: CaseRequest) -> Answer:
        (answer,) = self.ask_all(site, [request])
        return answer

    def ask_all(self, site: Site, requests: Iterable[CaseRequest]) -> list[Answer]:
        """Ask one after the other, and wait for the access log once: Envoy writes it in intervals."""
        responses = []
        for request in requests:
            now = time.time()  # noqa: TID251 - tests have no app.py
            message = request_bytes(
                request.method, request.path, request.host, request.raw_headers(now), request.body_bytes
            )
            responses.append(self._exchange(site, message, request.method, request.client, request.peer))
        return [self._answer(response) for response in responses]

    def send(
        self, site: Site, message: bytes, *, method: str = "GET", client: str = "127.0.0.1", peer: str = ""
    ) -> Answer:
        """Send raw bytes to a site and see what comes of them."""
        return self._answer(self._exchange(site, message, method, client, peer))

    def _exchange(self, site: Site, message: bytes, method: str, client: str, peer: str) -> Response:
        address = self.envoy.addresses[_tls_name(site) if peer else site.name]
        assert isinstance(address, TcpAddress)
        return exchange(address, message, method=method, client=client, tls=self._client(peer) if peer else None)

    def _answer(self, response: Response) -> Answer:
        line = self._log.line_of(response.peer)
        upstream = _upstream(response.headers, response.body)
        native, wasm = _native(line), _wasm(line)
        return Answer(response.status, response.headers, response.body, upstream, _told(line), *native, wasm)

    def close(self) -> None:
        self.envoy.stop()

    def fields(self, access_log: str) -> JsonObject:
        """The connection manager's, as generated."""
        return connection_manager_fields(access_log=access_log, behind_local_proxy=True)

    def fields_of(self, site: Site, fields: JsonObject) -> JsonObject:
        """The connection manager's for one site."""
        del site
        return fields

    def filters(self, site: Site) -> list[JsonObject]:
        """What stands before the router, as generated."""
        return check_filters(site.policy_set, cluster=site.name)

    def _client(self, peer: str) -> SSLContext:
        if peer not in self._clients:
            self._clients[peer] = self._authority.client_context(peer)
        return self._clients[peer]

    def _listeners(self, site: Site, fields: JsonObject) -> list[JsonObject]:
        filters = self.filters(site)
        if site.case_set.proxy.failure_mode_allow:
            ext_authz = next(f for f in filters if f["name"] == EXT_AUTHZ)
            # Where it is asked for some requests only, it is within the filter that says for which.
            inner = ext_authz["typed_config"].get("extension_config", ext_authz)
            inner["typed_config"]["failure_mode_allow"] = True
        routes = [_with_extensions(route, site.case_set.proxy) for route in upstream_routes(site.policy_set)]
        fields = _behind(site.case_set.proxy, self.fields_of(site, fields))
        plain = listener(site.name, _ANY_PORT, filters, fields, routes=routes)
        if not site.case_set.peers:
            return [plain]
        tls = listener(_tls_name(site), _ANY_PORT, filters, fields, routes=routes)
        chain: Any = tls["filter_chains"]
        chain[0]["transport_socket"] = self._transport_socket()
        return [plain, tls]

    def _transport_socket(self) -> JsonObject:
        own = str(self._authority.issue(x509.DNSName("localhost")))
        return {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                "require_client_certificate": True,
                "common_tls_context": {
                    "tls_certificates": [{"certificate_chain": {"filename": own}, "private_key": {"filename": own}}],
                    "validation_context": {"trusted_ca": {"filename": str(self._authority.certificate)}},
                },
            },
        }


class AccessLog:
    """Envoy's access log, JSON lines, found by the client's address and port."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: defaultdict[str, deque[Mapping[str, Any]]] = defaultdict(deque)
        self._offset = 0

    def line_of(self, peer: str) -> Mapping[str, Any]:
        """The line about the connection from `peer`, as soon as it is there; each is handed out once."""
        deadline = time.monotonic() + _LOG_SECONDS
        while not self._lines[peer]:
            assert time.monotonic() < deadline, f"Envoy logs nothing about {peer}"
            time.sleep(_POLL_SECONDS)
            self._read()
        return self._lines[peer].popleft()  # a port may have been used again

    def _read(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                entry = json.loads(line)
                self._lines[entry["peer"]].append(entry)


def _told(line: Mapping[str, Any]) -> Told | None:
    if line["decision_id"] is None:
        return None
    return Told(**{name: line[name] for name in ("decision_id", "effect", "reason", "route", "policies", "revision")})


def _native(line: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The native policy that let the request through, and the one that denied it: neither where we were asked."""
    allowing = line.get("native_policy")
    denying = line.get("native_denial") if line.get("native_result") == "denied" else None
    return None if allowing == CALL_POLICY else allowing, denying


def _wasm(line: Mapping[str, Any]) -> str | None:
    """What a module decided; None where it left the request to us."""
    told: str | None = line.get("wasm_decision")
    return None if told is None or told.startswith("left ") else told


def _upstream(headers: Mapping[str, Sequence[str]], body: bytes) -> Upstream | None:
    """What the echo saw; an answer without it is not the upstream's."""
    if "x-envoy-upstream-service-time" not in headers:
        return None
    text = body[GRPC_PREFIX_LENGTH:] if body.startswith(b"\0") else body
    seen: Mapping[str, Any] = json.loads(text) if text else {"path": "", "headers": {}}  # HEAD has no body
    return Upstream(seen["path"], seen["headers"])


def _behind(proxy: Proxy, fields: JsonObject) -> JsonObject:
    """The connection manager's fields, with what the case file turns off."""
    if not proxy.normalize:
        fields = {
            **fields,
            "merge_slashes": False,
            "normalize_path": False,
            "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        }
    if proxy.underscores:
        fields = {**fields, "common_http_protocol_options": {"headers_with_underscores_action": "ALLOW"}}
    return fields


def _with_extensions(route: JsonObject, proxy: Proxy) -> JsonObject:
    if not proxy.context_extensions:
        return route
    type_name = "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute"
    known = route.get("typed_per_filter_config", {}).get(EXT_AUTHZ, {}).get("check_settings", {})
    settings = {**known, "context_extensions": dict(proxy.context_extensions)}
    return {**route, "typed_per_filter_config": {EXT_AUTHZ: {"@type": type_name, "check_settings": settings}}}


def _tls_name(site: Site) -> str:
    return f"{site.name} tls"
