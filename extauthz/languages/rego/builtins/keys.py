"""Keys for JSON Web Signatures: from PEM and JWK (RFC 7517, RFC 7518 section 6, RFC 8037), and the signatures."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from extauthz.languages.rego.builtins.encoding import decode_base64url
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import Value, parse_json, text_bytes

PublicKey: TypeAlias = "rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | bytes"
PrivateKey: TypeAlias = "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | bytes"

_HASHES: Final[Mapping[str, type[hashes.HashAlgorithm]]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}
_CURVES: Final[Mapping[str, type[ec.EllipticCurve]]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
ALGORITHMS: Final = frozenset(
    {*(f"{family}{size}" for family in ("HS", "RS", "PS", "ES") for size in _HASHES), "EdDSA"}
)


@dataclass(frozen=True, slots=True)
class VerificationKey:
    """A key with what its JWK says of it; empty where it says nothing."""

    key: PublicKey
    algorithm: str = ""
    kid: str = ""


# --- Signatures ----------------------------------------------------------------------------------------------------


def verifies(algorithm: str, key: PublicKey, signed: bytes, signature: bytes) -> bool:
    """Whether a signature (RFC 7518 section 3) is the key's; a key of another kind than the algorithm's has none."""
    family, size = algorithm[:2], algorithm[2:]
    try:
        match key:
            case bytes() if family == "HS" and size in _HASHES:
                return hmac.compare_digest(hmac.new(key, signed, f"sha{size}").digest(), signature)
            case rsa.RSAPublicKey() if family == "RS" and size in _HASHES:
                key.verify(signature, signed, padding.PKCS1v15(), _HASHES[size]())
            case rsa.RSAPublicKey() if family == "PS" and size in _HASHES:
                key.verify(signature, signed, _pss(size, padding.PSS.AUTO), _HASHES[size]())
            case ec.EllipticCurvePublicKey() if family == "ES" and size in _HASHES:
                half = len(signature) // 2
                numbers = int.from_bytes(signature[:half]), int.from_bytes(signature[half:])
                key.verify(encode_dss_signature(*numbers), signed, ec.ECDSA(_HASHES[size]()))
            case ed25519.Ed25519PublicKey() if algorithm == "EdDSA":
                key.verify(signature, signed)
            case _:
                return False
    except (InvalidSignature, ValueError, UnsupportedAlgorithm):
        return False
    return True


def sign(algorithm: str, key: PrivateKey, signed: bytes) -> bytes:
    """A signature.

    Raises:
        BuiltinError: the key is of another kind than the algorithm's.
    """
    family, size = algorithm[:2], algorithm[2:]
    match key:
        case bytes() if family == "HS":
            return hmac.new(key, signed, f"sha{size}").digest()
        case rsa.RSAPrivateKey() if family == "RS":
            return key.sign(signed, padding.PKCS1v15(), _HASHES[size]())
        case rsa.RSAPrivateKey() if family == "PS":
            return key.sign(signed, _pss(size, padding.PSS.DIGEST_LENGTH), _HASHES[size]())
        case ec.EllipticCurvePrivateKey() if family == "ES":
            r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(_HASHES[size]())))
            length = (key.curve.key_size + 7) // 8
            return r.to_bytes(length) + s.to_bytes(length)
        case ed25519.Ed25519PrivateKey() if algorithm == "EdDSA":
            return key.sign(signed)
        case _:
            raise BuiltinError("a key that does not fit the algorithm")


def _pss(size: str, salt: Any) -> padding.PSS:
    return padding.PSS(mgf=padding.MGF1(_HASHES[size]()), salt_length=salt)


# --- Reading keys --------------------------------------------------------------------------------------------------

_PEM = re.compile(r"\s*(-----BEGIN (?P<label>[A-Z ]+)-----.*?-----END (?P=label)-----)\s*", re.DOTALL)


@lru_cache(maxsize=100)
def verification_keys(source: str) -> tuple[VerificationKey, ...]:
    """The keys of a PEM certificate or public key, a JWK, or a JWK Set.

    Raises:
        BuiltinError: it is none of these.
    """
    if "-----BEGIN" in source:
        return (VerificationKey(_pem_key(source)),)
    document = parse_json(source)
    if type(document) is not dict:
        raise BuiltinError("neither PEM nor a JWK")
    members = document.get("keys") if "keys" in document else [document]
    if type(members) is not list:
        raise BuiltinError("a JWK Set without a list of keys")
    keys = [_verification_key(member) for member in members]
    # As in OPA, a key for an algorithm that nobody can verify does not count.
    return tuple(key for key in keys if not key.algorithm or key.algorithm in ALGORITHMS)


def _pem_key(source: str) -> PublicKey:
    match = _PEM.fullmatch(source)
    if match is None:
        raise BuiltinError("not one PEM block, or more than that")
    data = text_bytes(match[1])
    try:
        if match["label"] == "CERTIFICATE":
            key: Any = x509.load_pem_x509_certificate(data).public_key()
        elif match["label"] == "PUBLIC KEY":
            key = serialization.load_pem_public_key(data)
        else:
            raise BuiltinError("neither a certificate nor a public key")
    except (ValueError, UnsupportedAlgorithm):
        raise BuiltinError("a PEM block that cannot be read") from None
    if not isinstance(key, (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, ed25519.Ed25519PublicKey)):
        raise BuiltinError("a key that signs nothing we verify")
    return key


def _verification_key(jwk: Value) -> VerificationKey:
    if type(jwk) is not dict:
        raise BuiltinError("a JWK that is no object")
    named = {name: jwk.get(name, "") for name in ("alg", "kid")}
    if any(type(value) is not str for value in named.values()):
        raise BuiltinError("a JWK whose alg or kid is no string")
    return VerificationKey(public_key(jwk), named["alg"], named["kid"])


def public_key(jwk: Mapping[Any, Value]) -> PublicKey:
    """The key that a JWK's signatures are verified with.

    Raises:
        BuiltinError: it is no complete JWK of a kind we know.
    """
    try:
        match jwk.get("kty"):
            case "RSA":
                return rsa.RSAPublicNumbers(_integer(jwk, "e"), _integer(jwk, "n")).public_key()
            case "EC":
                return _curve_numbers(jwk).public_key()
            case "oct":
                return _octets(jwk, "k")
            case "OKP" if jwk.get("crv") == "Ed25519":
                return ed25519.Ed25519PublicKey.from_public_bytes(_octets(jwk, "x"))
    except (ValueError, UnsupportedAlgorithm):
        raise BuiltinError("a JWK that cannot be used") from None
    raise BuiltinError("a JWK of an unknown kind")


def private_key(jwk: Mapping[Any, Value]) -> PrivateKey:
    """The key that a JWK signs with.

    Raises:
        BuiltinError: as for `public_key`, or it has no private part.
    """
    try:
        match jwk.get("kty"):
            case "RSA":
                return _rsa_private_key(jwk)
            case "EC":
                numbers = _curve_numbers(jwk)
                return ec.EllipticCurvePrivateNumbers(_integer(jwk, "d"), numbers).private_key()
            case "oct":
                return _octets(jwk, "k")
            case "OKP" if jwk.get("crv") == "Ed25519":
                return ed25519.Ed25519PrivateKey.from_private_bytes(_octets(jwk, "d"))
    except (ValueError, UnsupportedAlgorithm):
        raise BuiltinError("a JWK that cannot be used") from None
    raise BuiltinError("a JWK of an unknown kind")


def _rsa_private_key(jwk: Mapping[Any, Value]) -> rsa.RSAPrivateKey:
    n, e, d = _integer(jwk, "n"), _integer(jwk, "e"), _integer(jwk, "d")
    p, q = (_integer(jwk, "p"), _integer(jwk, "q")) if "p" in jwk else rsa.rsa_recover_prime_factors(n, e, d)
    return rsa.RSAPrivateNumbers(
        p=p,
        q=q,
        d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p),
        dmq1=rsa.rsa_crt_dmq1(d, q),
        iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(e, n),
    ).private_key()


def _curve_numbers(jwk: Mapping[Any, Value]) -> ec.EllipticCurvePublicNumbers:
    curve = jwk.get("crv")
    if type(curve) is not str or curve not in _CURVES:
        raise BuiltinError("a JWK of an unknown curve")
    return ec.EllipticCurvePublicNumbers(_integer(jwk, "x"), _integer(jwk, "y"), _CURVES[curve]())


def _octets(jwk: Mapping[Any, Value], name: str) -> bytes:
    value = jwk.get(name)
    if type(value) is not str:
        raise BuiltinError(f"a JWK without {name}")
    return decode_base64url(value)


def _integer(jwk: Mapping[Any, Value], name: str) -> int:
    return int.from_bytes(_octets(jwk, name))
