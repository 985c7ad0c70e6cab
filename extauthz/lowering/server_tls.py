"""How the proxy speaks TLS to its clients: the certificate of a listener."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.lowering.document import JsonObject
from extauthz.lowering.secret_file import SecretFile, documents, own_certificate, own_secret

_TYPE = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
_OWN: Final = "proxy"


@dataclass(frozen=True, slots=True)
class ServerTls:
    """Paths of PEM files on the proxy's machine, which Envoy reads when it starts."""

    certificate: str
    """The chain, the proxy's own first."""
    key: str
    secrets: str | None = None
    """The folder of secret files, there; with them, Envoy reads the PEM files again when they are replaced."""

    def transport_socket(self) -> JsonObject:
        """The `transport_socket` of a filter chain: TLS 1.2 and newer, HTTP/2 or HTTP/1.1 as the client likes."""
        if self._secret is None:
            shown: JsonObject = {"tls_certificates": [own_certificate(self.certificate, self.key)]}
        else:
            shown = {"tls_certificate_sds_secret_configs": [self._secret.reference]}
        context: JsonObject = {"alpn_protocols": ["h2", "http/1.1"], **shown}
        return {
            "name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": _TYPE, "common_tls_context": context},
        }

    def secret_files(self) -> Mapping[str, JsonObject]:
        """What has to stand in which files for `transport_socket` to work; nothing without `secrets`."""
        return documents(self._secret)

    @property
    def _secret(self) -> SecretFile | None:
        return None if self.secrets is None else own_secret(self.secrets, _OWN, self.certificate, self.key)
