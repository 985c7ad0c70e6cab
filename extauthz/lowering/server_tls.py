"""How the proxy speaks TLS to its clients: the certificate of a listener."""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.lowering.document import JsonObject

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Paths of PEM files on the proxy's machine, which Envoy reads when it starts."""

    certificate: str
    """The chain, the proxy's own first."""
    key: str

    def transport_socket(self) -> JsonObject:
        """The `transport_socket` of a filter chain: TLS 1.2 and newer, HTTP/2 or HTTP/1.1 as the client likes."""
        own = {"certificate_chain": {"filename": self.certificate}, "private_key": {"filename": self.key}}
        context: JsonObject = {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [own]}
        return {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TYPE, "common_tls_context": context},
        }
