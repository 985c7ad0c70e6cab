"""Certificates that Envoy reads again when they are replaced: its secret discovery service, from files.

What a configuration names itself is read once, at the start. So each secret gets a file of its own, which says where
its PEM files are. Envoy watches their folders for names that are moved into place, by rename(2) or as the `..data` link
of a mounted Secret; what is overwritten in place goes unnoticed, and may be read by halves at the next move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from extauthz.lowering.document import JsonObject

_SECRET: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class SecretFile:
    """A secret by its name, and the file that Envoy reads it from."""

    name: str
    path: str
    secret: JsonObject
    """A TlsCertificate or a CertificateValidationContext, under its name in the message Secret."""

    @property
    def reference(self) -> JsonObject:
        """The SdsSecretConfig."""
        return {"name": self.name, "sds_config": self.config_source}

    @property
    def config_source(self) -> JsonObject:
        """The ConfigSource."""
        return {"path_config_source": {"path": self.path}, "resource_api_version": "V3"}

    @property
    def document(self) -> JsonObject:
        """What stands in the file: a DiscoveryResponse."""
        return {"resources": [{"@type": _SECRET, "name": self.name, **self.secret}], "version_info": "1"}


def own_secret(folder: str, name: str, certificate: str, key: str) -> SecretFile:
    """A certificate with its key, told in a file of that folder."""
    return SecretFile(name, f"{folder}/{name}.json", {"tls_certificate": own_certificate(certificate, key)})


def authority_secret(folder: str, name: str, authority: str) -> SecretFile:
    """Authorities, told in a file of that folder."""
    return SecretFile(name, f"{folder}/{name}.json", {"validation_context": {"trusted_ca": {"filename": authority}}})


def own_certificate(certificate: str, key: str) -> JsonObject:
    """A TlsCertificate."""
    return {"certificate_chain": {"filename": certificate}, "private_key": {"filename": key}}


def documents(*secrets: SecretFile | None) -> Mapping[str, JsonObject]:
    """What has to stand in which files."""
    return {each.path: each.document for each in secrets if each is not None}
