"""How Envoy speaks TLS to the authorizer: whom it believes, and what it proves itself with."""

from __future__ import annotations

from dataclasses import dataclass

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import Address, TcpAddress
from extauthz.lowering.document import JsonObject

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Paths of PEM files on the proxy's machine.

    Envoy reads them when it starts; to replace them without a restart takes its secret discovery service.
    """

    authority: str
    """Of the authorizer's certificate."""
    certificate: str | None = None
    """The proxy's own, with its `key`; for an authorizer that asks for one."""
    key: str | None = None

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.key is None):
            raise ConfigurationError("the proxy's certificate and its key go together: give both, or neither")

    def transport_socket(self, address: Address) -> JsonObject:
        """The `transport_socket` of a cluster whose endpoint is at `address`.

        Raises:
            ConfigurationError: nobody speaks TLS there.
        """
        if not isinstance(address, TcpAddress):
            raise ConfigurationError(
                f"{address}: the authorizer speaks TLS at host:port only: leave its certificate out"
            )
        # Without a name to compare, any certificate of the authority would do, another service's too.
        named = {"san_type": "IP_ADDRESS" if address.is_literal else "DNS", "matcher": {"exact": address.host}}
        context: JsonObject = {
            "alpn_protocols": ["h2"],
            "validation_context": {
                "trusted_ca": {"filename": self.authority},
                "match_typed_subject_alt_names": [named],
            },
        }
        if self.certificate is not None:
            own = {"certificate_chain": {"filename": self.certificate}, "private_key": {"filename": self.key}}
            context["tls_certificates"] = [own]
        config: JsonObject = {"@type": _TYPE, "common_tls_context": context}
        if not address.is_literal:
            config["sni"] = address.host
        return {"name": "envoy.transport_sockets.tls", "typed_config": config}
