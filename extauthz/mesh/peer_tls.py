"""Mutual TLS between sidecars, as Envoy takes it: who one is, and whom one believes.

Certificates come by secret discovery, so that a new one needs no restart: from files, or from the control plane. There
is no session resumption: a resumed session would not look at the peer's certificate again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

from extauthz.lowering.document import JsonObject
from extauthz.lowering.secret_file import SecretFile, own_certificate

OWN_SECRET: Final = "own"  # noqa: S105 - a name
"""The node's certificate and key."""
AUTHORITY_SECRET: Final = "authority"  # noqa: S105 - a name
"""Whose certificates the node believes."""

ADS: Final[JsonObject] = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
"""The aggregated discovery stream; without it for so long as it takes, rather than with nothing."""

_TYPE: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3"


class CertificateSource(Protocol):
    """Where secrets come from."""

    def config_source(self, secret: str) -> JsonObject:
        """The `ConfigSource` of one of the two secrets."""


@dataclass(frozen=True, slots=True)
class FileCertificates:
    """Files in a folder, read again when the folder's entries are swapped."""

    folder: Path
    secrets: Path
    """The folder of the two files that tell Envoy so."""

    CHAIN: ClassVar = "cert-chain.pem"
    KEY: ClassVar = "key.pem"
    AUTHORITIES: ClassVar = "root-cert.pem"

    @property
    def needed(self) -> Sequence[Path]:
        """The files that must be there."""
        return [self.folder / name for name in (self.CHAIN, self.KEY, self.AUTHORITIES)]

    def config_source(self, secret: str) -> JsonObject:
        return self._secret_files[secret].config_source

    def documents(self) -> dict[Path, JsonObject]:
        """What stands in those files: a DiscoveryResponse each."""
        return {Path(each.path): each.document for each in self._secret_files.values()}

    @property
    def _secret_files(self) -> dict[str, SecretFile]:
        watched = {"watched_directory": {"path": str(self.folder)}}
        own = own_certificate(str(self.folder / self.CHAIN), str(self.folder / self.KEY))
        authority = {"trusted_ca": {"filename": str(self.folder / self.AUTHORITIES)}}
        secrets: dict[str, JsonObject] = {
            OWN_SECRET: {"tls_certificate": {**own, **watched}},
            AUTHORITY_SECRET: {"validation_context": {**authority, **watched}},
        }
        return {
            name: SecretFile(name, str(self.secrets / f"secret-{name}.json"), secret)
            for name, secret in secrets.items()
        }


@dataclass(frozen=True, slots=True)
class ControlledCertificates:
    """From the control plane, by the aggregated discovery stream."""

    def config_source(self, secret: str) -> JsonObject:  # noqa: ARG002 - as the protocol has it
        return ADS


def accepting(source: CertificateSource, trust_domain: str) -> JsonObject:
    """The `transport_socket` of a filter chain: only peers with an identity of the trust domain get in."""
    names = [{"san_type": "URI", "matcher": {"prefix": f"spiffe://{trust_domain}/"}}]
    context: JsonObject = {
        "@type": f"{_TYPE}.DownstreamTlsContext",
        "common_tls_context": {**_common(source, names), "alpn_protocols": ["h2", "http/1.1"]},
        "disable_stateful_session_resumption": True,
        "disable_stateless_session_resumption": True,
        "require_client_certificate": True,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def calling(source: CertificateSource, identities: Sequence[str]) -> JsonObject:
    """The `transport_socket` of a cluster whose instances show one of these identities.

    No protocol is offered by name here: Envoy then offers that of the request at hand.
    """
    names = [{"san_type": "URI", "matcher": {"exact": each}} for each in identities]
    context: JsonObject = {
        "@type": f"{_TYPE}.UpstreamTlsContext",
        "common_tls_context": _common(source, names),
        "max_session_keys": 0,
    }
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def _common(source: CertificateSource, names: Sequence[JsonObject]) -> JsonObject:
    return {
        "tls_certificate_sds_secret_configs": [_secret(source, OWN_SECRET)],
        "combined_validation_context": {
            # Without names any certificate of the authority would do.
            "default_validation_context": {"match_typed_subject_alt_names": list(names)},
            "validation_context_sds_secret_config": _secret(source, AUTHORITY_SECRET),
        },
    }


def _secret(source: CertificateSource, name: str) -> JsonObject:
    return {"name": name, "sds_config": source.config_source(name)}
