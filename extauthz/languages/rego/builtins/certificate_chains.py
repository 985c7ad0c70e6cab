"""Whether certificates vouch for each other (RFC 5280 section 6), and private keys.

The first certificate is trusted, the last is asked about, those between may link them. Whatever is not understood makes
a chain invalid: critical extensions, constraints on names.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from extauthz.languages.rego.builtins.certificates import (
    EXTENDED_KEY_USAGES,
    certificate_object,
    extension,
    read_certificates,
)
from extauthz.languages.rego.builtins.encoding import decode_base64, encode_base64url
from extauthz.languages.rego.builtins.registry import Registry, integer, members, object_, text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import Value, object_items, text_bytes

CHAINS = Registry()

_MAX_CERTIFICATES: Final = 32
_SERVER: Final = 1
_ANY: Final = 0
_USAGES: Final = {
    "KeyUsageAny": 0,
    "KeyUsageServerAuth": 1,
    "KeyUsageClientAuth": 2,
    "KeyUsageCodeSigning": 3,
    "KeyUsageEmailProtection": 4,
    "KeyUsageIPSECEndSystem": 5,
    "KeyUsageIPSECTunnel": 6,
    "KeyUsageIPSECUser": 7,
    "KeyUsageTimeStamping": 8,
    "KeyUsageOCSPSigning": 9,
}
_UNDERSTOOD: Final = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectAlternativeName)
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What a chain must be good for."""

    moment: datetime
    usages: tuple[int, ...] = (_SERVER,)
    host: str = ""


def _moment(nanoseconds: int) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=nanoseconds // 1000)
    except OverflowError:
        raise BuiltinError("time outside of valid range") from None


@CHAINS.add("crypto.x509.parse_and_verify_certificates", 1, stateful=True)
def parse_and_verify_certificates(evaluation: Evaluation, source: Value) -> list[Value]:
    """Whether the last is valid, for a server; and the chain, the last certificate first."""
    return _verified(text(source, 1), _Wanted(_moment(evaluation.now_ns)))


@CHAINS.add("crypto.x509.parse_and_verify_certificates_with_options", 2, stateful=True)
def parse_and_verify_certificates_with_options(evaluation: Evaluation, source: Value, options: Value) -> list[Value]:
    """As above at `CurrentTime`, for `DNSName` and one of `KeyUsages`."""
    moment, host = evaluation.now_ns, ""
    usages: tuple[int, ...] = (_SERVER,)
    for key, value in object_items(object_(options, 2)):
        if key == "CurrentTime":
            moment = integer(value, 2)
        elif key == "DNSName":
            host = text(value, 2).strip('"')
        elif key == "KeyUsages":
            names = [text(usage, 2).strip('"') for usage in members(value, 2)]
            if any(name not in _USAGES for name in names):
                raise BuiltinError("invalid entries for 'KeyUsages' found")
            usages = tuple(_USAGES[name] for name in names) or usages
        elif key != "MaxConstraintComparisons":  # constraints on names are never compared here
            raise BuiltinError("invalid key option")
    return _verified(text(source, 1), _Wanted(_moment(moment), usages, host))


def _verified(source: str, wanted: _Wanted) -> list[Value]:
    refused: list[Value] = [False, []]
    try:
        certificates = read_certificates(source)
        if not 2 <= len(certificates) <= _MAX_CERTIFICATES:
            return refused
        chain = _chain(certificates, wanted)
        return refused if chain is None else [True, list(map(certificate_object, chain))]
    except (BuiltinError, ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension):
        return refused


def _chain(certificates: Sequence[x509.Certificate], wanted: _Wanted) -> list[x509.Certificate] | None:
    """From the last certificate to the first, through some of the others; None when there is no valid way."""
    root, leaf = certificates[0], certificates[-1]
    if wanted.host and not _names_host(leaf, wanted.host):
        return None
    waiting = [[leaf]]
    while waiting:
        path = waiting.pop()
        if not _may_stand_in_chain(path[-1], wanted):
            continue
        if path[-1] == root:
            return path
        others = (issuer for issuer in (*certificates[1:-1], root) if issuer not in path)
        waiting += [[*path, issuer] for issuer in others if _issued(path[-1], issuer, below=len(path) - 1)]
    return None


def _may_stand_in_chain(certificate: x509.Certificate, wanted: _Wanted) -> bool:
    if not certificate.not_valid_before_utc <= wanted.moment <= certificate.not_valid_after_utc:
        return False
    extensions = certificate.extensions
    if extension(extensions, x509.NameConstraints) is not None:
        return False
    if any(e.critical and not isinstance(e.value, _UNDERSTOOD) for e in extensions):
        return False
    extended = extension(extensions, x509.ExtendedKeyUsage)
    if extended is None or _ANY in wanted.usages:
        return True
    allowed = {EXTENDED_KEY_USAGES.get(oid) for oid in extended}
    return _ANY in allowed or not allowed.isdisjoint(wanted.usages)


def _issued(certificate: x509.Certificate, issuer: x509.Certificate, *, below: int) -> bool:
    """Whether an authority signed a certificate; `below` others stand between it and the end of the chain."""
    constraints = extension(issuer.extensions, x509.BasicConstraints)
    usage = extension(issuer.extensions, x509.KeyUsage)
    if constraints is None or not constraints.ca or (usage is not None and not usage.key_cert_sign):
        # A trusted certificate may vouch for itself alone.
        return False
    if constraints.path_length is not None and below > constraints.path_length:
        return False
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True


def _names_host(certificate: x509.Certificate, host: str) -> bool:
    """RFC 6125: a wildcard stands for the whole first label."""
    names: Any = extension(certificate.extensions, x509.SubjectAlternativeName)
    wanted = host.lower().rstrip(".")
    parent = "*." + wanted.partition(".")[2]
    given = [name.lower().rstrip(".") for name in names.get_values_for_type(x509.DNSName)] if names else []
    return wanted in given or ("." in wanted and parent in given)


# --- Private keys --------------------------------------------------------------------------------------------------

_KEY_PEM: Final = re.compile(r"-----BEGIN ((?:RSA |EC )?PRIVATE KEY)-----.*?-----END \1-----", re.DOTALL)


def _private_keys(source: str) -> list[Any]:
    try:
        written = decode_base64(source).decode()
    except (BuiltinError, UnicodeDecodeError):
        written = source
    try:
        return [serialization.load_pem_private_key(text_bytes(m[0]), None) for m in _KEY_PEM.finditer(written)]
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BuiltinError("a malformed private key") from None


def _key_object(key: Any) -> Value:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        public = numbers.public_numbers
        return {"N": public.n, "E": public.e, "D": numbers.d, "Primes": [numbers.p, numbers.q]}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curve = key.private_numbers()
        return {"Curve": {}, "X": curve.public_numbers.x, "Y": curve.public_numbers.y, "D": curve.private_value}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return base64.b64encode(key.private_bytes_raw() + key.public_key().public_bytes_raw()).decode()
    raise BuiltinError("a private key of an unknown kind")


@CHAINS.add("crypto.parse_private_keys", 1)
def parse_private_keys(source: Value) -> Value:
    """The private keys of a PEM text; null for an empty one."""
    written = text(source, 1)
    return [_key_object(key) for key in _private_keys(written)] if written else None


def _octets(value: int, length: int = 0) -> str:
    return encode_base64url(value.to_bytes(length or (value.bit_length() + 7) // 8))


_CURVE_NAMES: Final = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


@CHAINS.add("crypto.x509.parse_rsa_private_key", 1)
def parse_rsa_private_key(source: Value) -> Value:
    """The first private key as a JWK (RFC 7518 section 6)."""
    written = text(source, 1)
    if not written:
        raise BuiltinError("input PEM data was empty")
    if not written.startswith("-----BEGIN"):
        written = decode_base64(written).decode(errors="replace")
    keys = _private_keys(written)
    return _private_jwk(keys[0]) if keys else None


def _private_jwk(key: Any) -> Value:
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = key.private_numbers()
        named = {"d": numbers.d, "p": numbers.p, "q": numbers.q, "qi": numbers.iqmp}
        named |= {"dp": numbers.dmp1, "dq": numbers.dmq1, "n": numbers.public_numbers.n, "e": numbers.public_numbers.e}
        return {"kty": "RSA", **{name: _octets(value) for name, value in named.items()}}
    if isinstance(key, ec.EllipticCurvePrivateKey):
        curve, length = key.private_numbers(), (key.curve.key_size + 7) // 8
        point = curve.public_numbers
        coordinates = {"x": point.x, "y": point.y, "d": curve.private_value}
        octets = {name: _octets(value, length) for name, value in coordinates.items()}
        return {"kty": "EC", "crv": _CURVE_NAMES.get(key.curve.name, key.curve.name), **octets}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        x, d = key.public_key().public_bytes_raw(), key.private_bytes_raw()
        return {"kty": "OKP", "crv": "Ed25519", "x": encode_base64url(x), "d": encode_base64url(d)}
    raise BuiltinError("a private key of an unknown kind")


@CHAINS.add("crypto.x509.parse_keypair", 2)
def parse_keypair(certificates: Value, key: Value) -> Value:
    """A certificate with its chain, when the key is its own."""
    written = text(key, 2)
    chain = read_certificates(text(certificates, 1))
    keys = _private_keys(written)
    if not chain or not keys:
        raise BuiltinError("no certificate, or no private key")
    if keys[0].public_key() != chain[0].public_key():
        raise BuiltinError("the private key is not the certificate's")
    encoded = [base64.b64encode(c.public_bytes(serialization.Encoding.DER)).decode() for c in chain]
    return {"Certificate": encoded, "OCSPStaple": None, "SignedCertificateTimestamps": None}
