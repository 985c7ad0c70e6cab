"""Certificates for development: an authority that signs once and is forgotten, and what it signed, as PEM files.

Specification: RFC 5280. The authority's key is never written, so nobody can sign for it later.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from extauthz.errors import ConfigurationError, EnvironmentUnfitError

AUTHORITY_FILE: Final = "ca.pem"

_VALID: Final = dt.timedelta(days=90)
_RENEWED: Final = dt.timedelta(days=7)
"""How long before their end certificates are made anew."""
_CLOCKS_DIFFER: Final = dt.timedelta(minutes=5)
_CERTIFICATE_SIGNING: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_KEY_MODE: Final = 0o640
"""The group may read: a proxy and the service are different users."""


def make_certificates(directory: Path, names: Mapping[str, Sequence[str]], *, now: dt.datetime) -> bool:
    """Write `ca.pem`, and `NAME.pem` and `NAME.key` for each name, which serve and identify clients alike.

    Args:
        directory: Where; it exists.
        names: A name, and the host names and addresses that its certificate is for.
        now: The time, with its zone.

    Returns:
        Whether they were made; those that are there, are for the same hosts and last a week more are left alone.

    Raises:
        ConfigurationError: A name or host cannot be one.
        EnvironmentUnfitError: The files cannot be written.
    """
    alternatives = {name: _alternative_names(name, hosts) for name, hosts in names.items()}
    if all(_lasts(directory, name, alternatives[name], now) for name in names):
        return False
    key = ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "extauthz development authority")])
    signs = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    authority = (
        _builder(issuer, issuer, key.public_key(), now)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_CERTIFICATE_SIGNING, critical=True)
    )
    try:
        for name, hosts in alternatives.items():
            own = ec.generate_private_key(ec.SECP256R1())
            subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
            usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            certificate = (
                _builder(issuer, subject, own.public_key(), now)
                .add_extension(hosts, critical=False)
                .add_extension(signs, critical=False)
                .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
                .sign(key, hashes.SHA256())
            )
            _write(directory / f"{name}.key", _pem(own), _KEY_MODE)
            _write(directory / f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM), 0o644)
        signed = authority.sign(key, hashes.SHA256())
        _write(directory / AUTHORITY_FILE, signed.public_bytes(serialization.Encoding.PEM), 0o644)
    except OSError as error:
        raise EnvironmentUnfitError(f"{error.filename}: {error.strerror}: name a folder that can be written") from None
    return True


def _alternative_names(name: str, hosts: Sequence[str]) -> x509.SubjectAlternativeName:
    if not name or "/" in name or name in {".", "..", AUTHORITY_FILE.removesuffix(".pem")} or not all(hosts):
        raise ConfigurationError(f"'{name}={','.join(hosts)}' is no certificate: write name=host,address,...")
    return x509.SubjectAlternativeName([_general_name(host) for host in hosts])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        pass
    try:
        return x509.DNSName(host)
    except ValueError:
        raise ConfigurationError(f"'{host}' is no host: write it in ASCII, as in localhost or 127.0.0.1") from None


def _lasts(directory: Path, name: str, hosts: x509.SubjectAlternativeName, now: dt.datetime) -> bool:
    """Whether a certificate is there, for these hosts, signed by the authority that is there, and not at its end."""
    try:
        authority = x509.load_pem_x509_certificate((directory / AUTHORITY_FILE).read_bytes())
        own = x509.load_pem_x509_certificate((directory / f"{name}.pem").read_bytes())
        own.verify_directly_issued_by(authority)
        found = own.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except Exception:  # noqa: BLE001 - whatever is wrong with them, they are made anew
        return False
    return (directory / f"{name}.key").is_file() and found == hosts and now + _RENEWED < own.not_valid_after_utc


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(now + _VALID)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace the file: nobody reads half of one, nor a key that others could open while it was written."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as stream:
        stream.write(content)
    new.chmod(mode)
    new.replace(path)
