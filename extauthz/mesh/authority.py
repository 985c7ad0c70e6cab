"""A certificate authority for development: it signs for workloads, by their SPIFFE IDs, and renews in good time.

Specification: RFC 5280; the X.509-SVID standard for what is in a workload's certificate. The authority's own key lies
in a file: whoever reads it can be anybody. Keys of workloads are made here, and sent to them alone.
"""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from extauthz.errors import ConfigurationError, EnvironmentUnfitError

_AUTHORITY_VALID: Final = dt.timedelta(days=365)
_CLOCKS_DIFFER: Final = dt.timedelta(minutes=5)
_CERTIFICATE: Final = "ca.pem"
_KEY: Final = "ca.key"


@dataclass(frozen=True, slots=True)
class WorkloadCertificate:
    """What a workload proves itself with. PEM."""

    chain: str
    key: str = field(repr=False)
    renew_at: float
    """Seconds since the epoch: when half of its life is over."""


class Authority:
    """One authority, for one trust domain."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey, lifetime_seconds: float) -> None:
        self._certificate = certificate
        self._key = key
        self._lifetime_seconds = lifetime_seconds
        self._issued: dict[str, WorkloadCertificate] = {}
        self.certificate = certificate.public_bytes(serialization.Encoding.PEM).decode()
        """By which its signatures are verified, PEM."""

    def certificate_of(self, identity: str, now: float) -> WorkloadCertificate:
        """The workload's certificate, renewed when half of its life is over.

        Args:
            identity: its SPIFFE ID, checked.
            now: seconds since the epoch.
        """
        found = self._issued.get(identity)
        if found is None or found.renew_at <= now:
            found = self._issued[identity] = self._issue(identity, now)
        return found

    def renew(self, now: float) -> bool:
        """Renew every certificate that has reached half of its life; whether there was one."""
        due = [identity for identity, each in self._issued.items() if each.renew_at <= now]
        for identity in due:
            self.certificate_of(identity, now)
        return bool(due)

    def _issue(self, identity: str, now: float) -> WorkloadCertificate:
        key = ec.generate_private_key(ec.SECP256R1())
        start = dt.datetime.fromtimestamp(now, dt.UTC)
        end = min(start + dt.timedelta(seconds=self._lifetime_seconds), self._certificate.not_valid_after_utc)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        # X.509-SVID, sections 2 and 4: exactly one URI; critical, since there is no subject beside it.
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        made = (
            _builder(x509.Name([]), self._certificate.subject, key.public_key())
            .not_valid_before(start - _CLOCKS_DIFFER)
            .not_valid_after(end)
            .add_extension(names, critical=True)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return WorkloadCertificate(
            chain=made.public_bytes(serialization.Encoding.PEM).decode(),
            key=_pem(key).decode(),
            renew_at=now + (end.timestamp() - now) / 2,
        )


def open_authority(folder: Path, trust_domain: str, *, lifetime_seconds: float, now: float) -> Authority:
    """Load the authority from a folder, or make one there.

    Raises:
        ConfigurationError: what is there is no authority of this trust domain, or it has expired.
        EnvironmentUnfitError: the folder cannot be read or written.
    """
    certificate_file, key_file = folder / _CERTIFICATE, folder / _KEY
    try:
        if not certificate_file.exists() and not key_file.exists():
            _make(folder, trust_domain, now)
        certificate_text, key_text = certificate_file.read_bytes(), key_file.read_bytes()
    except OSError as error:
        raise EnvironmentUnfitError(f"{error.filename}: {error.strerror}: name a folder of your own") from None
    try:
        certificate = x509.load_pem_x509_certificate(certificate_text)
        key = serialization.load_pem_private_key(key_text, None)
    except (ValueError, TypeError):
        raise ConfigurationError(f"{folder} holds no authority: {_CERTIFICATE} and {_KEY}, PEM") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise ConfigurationError(f"{key_file} is not the key of {certificate_file}")
    if not certificate.not_valid_before_utc.timestamp() <= now < certificate.not_valid_after_utc.timestamp():
        raise ConfigurationError(f"{certificate_file} is not valid now: remove both files, and give the new one out")
    if _trust_domain(certificate) != f"spiffe://{trust_domain}":
        raise ConfigurationError(f"{certificate_file} is the authority of {_trust_domain(certificate)}: another domain")
    return Authority(certificate, key, lifetime_seconds)


def _make(folder: Path, trust_domain: str, now: float) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "extauthz mesh development authority")])
    start = dt.datetime.fromtimestamp(now, dt.UTC)
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"spiffe://{trust_domain}")])
    certificate = (
        _builder(name, name, key.public_key())
        .not_valid_before(start - _CLOCKS_DIFFER)
        .not_valid_after(start + _AUTHORITY_VALID)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(folder / _KEY, _pem(key), 0o600)
    _write(folder / _CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM), 0o644)


def _trust_domain(certificate: x509.Certificate) -> str:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return "nobody"
    return ", ".join(names.get_values_for_type(x509.UniformResourceIdentifier))


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _write(path: Path, content: bytes, mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as stream:
        stream.write(content)
