"""X.509 certificates and requests (RFC 5280) as objects: the members that Go's structures have in JSON.

A member that is not given here is undefined, never another value.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, SignatureAlgorithmOID

from extauthz.languages.rego.builtins.encoding import decode_base64
from extauthz.languages.rego.builtins.registry import Registry, text
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import Value, text_bytes

CERTIFICATES = Registry()

_PEM: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


def read_certificates(source: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, of base64 of one, or of base64 of DER.

    Raises:
        BuiltinError: it is none of these.
    """
    data = text_bytes(source) if source.startswith("-----BEGIN") else decode_base64(source)
    try:
        if data.startswith(b"-----BEGIN"):
            blocks = list(_PEM.finditer(data))
            if any(block[1] != b"CERTIFICATE" for block in blocks):
                raise BuiltinError("a PEM block that is no certificate")
            return [x509.load_pem_x509_certificate(block[0]) for block in blocks]
        return [x509.load_der_x509_certificate(der) for der in _der_values(data)]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BuiltinError("a malformed certificate") from None


def _der_values(data: bytes) -> Iterable[bytes]:
    """DER values one after the other (X.690 section 8.1)."""
    while data:
        if len(data) < 2:
            raise BuiltinError("a malformed certificate")
        octets = data[1] & 0x7F if data[1] & 0x80 else 0
        length = int.from_bytes(data[2 : 2 + octets]) if octets else data[1]
        end = 2 + octets + length
        if not 2 < end <= len(data):
            raise BuiltinError("a malformed certificate")
        yield data[:end]
        data = data[end:]


# --- As objects ----------------------------------------------------------------------------------------------------

_NAME_MEMBERS: Final = {
    NameOID.COUNTRY_NAME: "Country",
    NameOID.ORGANIZATION_NAME: "Organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "OrganizationalUnit",
    NameOID.LOCALITY_NAME: "Locality",
    NameOID.STATE_OR_PROVINCE_NAME: "Province",
    NameOID.STREET_ADDRESS: "StreetAddress",
    NameOID.POSTAL_CODE: "PostalCode",
}
_KEY_USAGES: Final = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
)
EXTENDED_KEY_USAGES: Final = {
    ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE: 0,
    ExtendedKeyUsageOID.SERVER_AUTH: 1,
    ExtendedKeyUsageOID.CLIENT_AUTH: 2,
    ExtendedKeyUsageOID.CODE_SIGNING: 3,
    ExtendedKeyUsageOID.EMAIL_PROTECTION: 4,
    x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"): 5,
    x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"): 6,
    x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"): 7,
    ExtendedKeyUsageOID.TIME_STAMPING: 8,
    ExtendedKeyUsageOID.OCSP_SIGNING: 9,
}
"""Go's numbers for what a key is for."""
_SIGNATURE_ALGORITHMS: Final = {
    SignatureAlgorithmOID.RSA_WITH_SHA1: 3,
    SignatureAlgorithmOID.RSA_WITH_SHA256: 4,
    SignatureAlgorithmOID.RSA_WITH_SHA384: 5,
    SignatureAlgorithmOID.RSA_WITH_SHA512: 6,
    SignatureAlgorithmOID.ECDSA_WITH_SHA1: 9,
    SignatureAlgorithmOID.ECDSA_WITH_SHA256: 10,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384: 11,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512: 12,
    SignatureAlgorithmOID.ED25519: 16,
}


def certificate_object(certificate: x509.Certificate) -> dict[str, Value]:
    """A certificate as Go's `x509.Certificate` is in JSON, with `URIStrings`."""
    try:
        extensions = certificate.extensions
        return {
            "Raw": _base64(certificate.public_bytes(serialization.Encoding.DER)),
            "RawSubject": _base64(certificate.subject.public_bytes()),
            "RawIssuer": _base64(certificate.issuer.public_bytes()),
            "Signature": _base64(certificate.signature),
            "SignatureAlgorithm": _SIGNATURE_ALGORITHMS.get(certificate.signature_algorithm_oid, 0),
            "Version": certificate.version.value + 1,
            "SerialNumber": certificate.serial_number,
            "Issuer": name_object(certificate.issuer),
            "Subject": name_object(certificate.subject),
            "NotBefore": _time(certificate.not_valid_before_utc),
            "NotAfter": _time(certificate.not_valid_after_utc),
            **_public_key(certificate.public_key()),
            **_usages(extensions),
            **_names(extensions),
            **_identifiers(extensions),
        }
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise BuiltinError("a malformed certificate") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def name_object(name: x509.Name) -> dict[str, Value]:
    """A name as Go's `pkix.Name`."""
    found: dict[str, Value] = {"CommonName": "", "SerialNumber": "", "ExtraNames": None}
    found |= dict.fromkeys(_NAME_MEMBERS.values())
    for attribute in name:
        value = attribute.value if isinstance(attribute.value, str) else attribute.value.decode(errors="replace")
        if attribute.oid == NameOID.COMMON_NAME:
            found["CommonName"] = value
        elif attribute.oid == NameOID.SERIAL_NUMBER:
            found["SerialNumber"] = value
        elif attribute.oid in _NAME_MEMBERS:
            member = _NAME_MEMBERS[attribute.oid]
            found[member] = [*(found[member] or []), value]
    found["Names"] = [{"Type": _oid(a.oid), "Value": a.value} for a in name if isinstance(a.value, str)] or None
    return found


def _oid(identifier: x509.ObjectIdentifier) -> list[int]:
    return [int(part) for part in identifier.dotted_string.split(".")]


def _public_key(key: Any) -> dict[str, Value]:
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"PublicKeyAlgorithm": 1, "PublicKey": {"N": numbers.n, "E": numbers.e}}
    if isinstance(key, dsa.DSAPublicKey):
        return {"PublicKeyAlgorithm": 2}
    if isinstance(key, ec.EllipticCurvePublicKey):
        point = key.public_numbers()
        return {"PublicKeyAlgorithm": 3, "PublicKey": {"Curve": {}, "X": point.x, "Y": point.y}}
    if isinstance(key, ed25519.Ed25519PublicKey):
        return {"PublicKeyAlgorithm": 4, "PublicKey": _base64(key.public_bytes_raw())}
    return {"PublicKeyAlgorithm": 0}


def extension(extensions: x509.Extensions, kind: Any) -> Any:
    """The value of an extension; None when there is none."""
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _usages(extensions: x509.Extensions) -> dict[str, Value]:
    constraints = extension(extensions, x509.BasicConstraints)
    usage = extension(extensions, x509.KeyUsage)
    extended = extension(extensions, x509.ExtendedKeyUsage)
    length = None if constraints is None else constraints.path_length
    flags = [bool(usage) and getattr(usage, name) for name in _KEY_USAGES]
    known = [EXTENDED_KEY_USAGES[oid] for oid in extended or () if oid in EXTENDED_KEY_USAGES]
    unknown = [_oid(oid) for oid in extended or () if oid not in EXTENDED_KEY_USAGES]
    no_length = -1 if constraints is not None else 0
    return {
        "BasicConstraintsValid": constraints is not None,
        "IsCA": constraints is not None and constraints.ca,
        "MaxPathLen": no_length if length is None else length,
        "MaxPathLenZero": length == 0,
        "KeyUsage": sum(1 << position for position, flag in enumerate(flags) if flag),
        "ExtKeyUsage": known or None,
        "UnknownExtKeyUsage": unknown or None,
    }


def _names(extensions: x509.Extensions) -> dict[str, Value]:
    names: Any = extension(extensions, x509.SubjectAlternativeName) or ()
    found: dict[str, list[str]] = {"DNSNames": [], "EmailAddresses": [], "URIStrings": [], "IPAddresses": []}
    for name in names:
        if isinstance(name, x509.DNSName):
            found["DNSNames"].append(name.value)
        elif isinstance(name, x509.RFC822Name):
            found["EmailAddresses"].append(name.value)
        elif isinstance(name, x509.UniformResourceIdentifier):
            found["URIStrings"].append(name.value)
        elif isinstance(name, x509.IPAddress) and isinstance(name.value, (IPv4Address, IPv6Address)):
            found["IPAddresses"].append(str(name.value))
    return {member: values or None for member, values in found.items()}


def _identifiers(extensions: x509.Extensions) -> dict[str, Value]:
    own = extension(extensions, x509.SubjectKeyIdentifier)
    issuer = extension(extensions, x509.AuthorityKeyIdentifier)
    return {
        "SubjectKeyId": None if own is None else _base64(own.digest),
        "AuthorityKeyId": None if issuer is None or issuer.key_identifier is None else _base64(issuer.key_identifier),
        "Extensions": [
            {"Id": _oid(e.oid), "Critical": e.critical, "Value": _base64(e.value.public_bytes())} for e in extensions
        ]
        or None,
    }


@CERTIFICATES.add("crypto.x509.parse_certificates", 1)
def parse_certificates(source: Value) -> list[Value]:
    return list(map(certificate_object, read_certificates(text(source, 1))))


@CERTIFICATES.add("crypto.x509.parse_certificate_request", 1)
def parse_certificate_request(source: Value) -> Value:
    """A request (RFC 2986) as Go's `x509.CertificateRequest`."""
    written = text(source, 1)
    begins = "-----BEGIN CERTIFICATE REQUEST-----"
    data = text_bytes(written) if written.startswith(begins) else decode_base64(written)
    try:
        load = x509.load_pem_x509_csr if data.startswith(b"-----BEGIN") else x509.load_der_x509_csr
        request = load(data)
        return {
            "Raw": _base64(request.public_bytes(serialization.Encoding.DER)),
            "Signature": _base64(request.signature),
            "SignatureAlgorithm": _SIGNATURE_ALGORITHMS.get(request.signature_algorithm_oid, 0),
            "Version": 0,
            "Subject": name_object(request.subject),
            **_public_key(request.public_key()),
            **_names(request.extensions),
        }
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        raise BuiltinError("a malformed certificate request") from None
