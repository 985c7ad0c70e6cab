"""A certificate authority for the run: Envoy's certificate, and one for each workload, named by its SPIFFE ID."""

from __future__ import annotations

import datetime as dt
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_VALID = dt.timedelta(days=1)


class CertificateAuthority:
    """Issues certificates into a folder, as PEM files."""

    def __init__(self, directory: Path, now: dt.datetime) -> None:
        self._directory = directory
        self._now = now
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._issued = 0
        certificate = self._sign(
            self._builder(self._name, self._key)
            .not_valid_before(now - _VALID)
            .not_valid_after(now + _VALID)
            .add_extension(x509.BasicConstraints(True, 0), True)
        )
        self.certificate = directory / "authority.pem"
        self.certificate.write_bytes(certificate)

    def issue(self, name: x509.GeneralName, *, since: dt.timedelta = -_VALID, until: dt.timedelta = _VALID) -> Path:
        """A certificate for this name with its private key, in one file; valid from and until so long from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([])
        certificate = self._sign(
            self._builder(subject, key)
            .not_valid_before(self._now + since)
            .not_valid_after(self._now + until)
            .add_extension(x509.SubjectAlternativeName([name]), critical=True)
        )
        self._issued += 1
        path = self._directory / f"certificate-{self._issued}.pem"
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.write_bytes(certificate + private)
        return path

    def client_context(self, identity: str) -> ssl.SSLContext:
        """A client that proves this SPIFFE ID."""
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.load_cert_chain(self.issue(x509.UniformResourceIdentifier(identity)))
        return context

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
        )

    def _sign(self, builder: x509.CertificateBuilder) -> bytes:
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
