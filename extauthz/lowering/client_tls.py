"""How Envoy speaks TLS to the authorizer: whom it believes, and what it proves itself with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.errors import ConfigurationError
from extauthz.lowering.address import Address, TcpAddress
from extauthz.lowering.document import JsonObject
from extauthz.lowering.secret_file import SecretFile, authority_secret, documents, own_certificate, own_secret

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"

_AUTHORITY: Final = "authorizer_authority"
_OWN: Final = "authorizer_client"


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Paths of PEM files on the proxy's machine, which Envoy reads when it starts."""

    authority: str
    """Of the authorizer's certificate."""
    certificate: str | None = None
    """The proxy's own, with its `key`; for an authorizer that asks for one."""
    key: str | None = None
    secrets: str | None = None
    """The folder of secret files, there; with them, Envoy reads the PEM files again when they are replaced."""

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
        names: JsonObject = {"match_typed_subject_alt_names": [named]}
        context: JsonObject = {"alpn_protocols": ["h2"], **self._believed(names), **self._shown()}
        config: JsonObject = {"@type": _TYPE, "common_tls_context": context}
        if not address.is_literal:
            config["sni"] = address.host
        return {"name": "envoy.transport_sockets.tls", "typed_config": config}

    def secret_files(self) -> Mapping[str, JsonObject]:
        """What has to stand in which files for `transport_socket` to work; nothing without `secrets`."""
        return documents(self._authority_secret, self._own_secret)

    def _believed(self, names: JsonObject) -> JsonObject:
        if self._authority_secret is None:
            return {"validation_context": {"trusted_ca": {"filename": self.authority}, **names}}
        reference = self._authority_secret.reference
        return {
            "combined_validation_context": {
                "default_validation_context": names,
                "validation_context_sds_secret_config": reference,
            }
        }

    def _shown(self) -> JsonObject:
        if self._own_secret is not None:
            return {"tls_certificate_sds_secret_configs": [self._own_secret.reference]}
        if self.certificate is None or self.key is None:
            return {}
        return {"tls_certificates": [own_certificate(self.certificate, self.key)]}

    @property
    def _authority_secret(self) -> SecretFile | None:
        return None if self.secrets is None else authority_secret(self.secrets, _AUTHORITY, self.authority)

    @property
    def _own_secret(self) -> SecretFile | None:
        if self.secrets is None or self.certificate is None or self.key is None:
            return None
        return own_secret(self.secrets, _OWN, self.certificate, self.key)
