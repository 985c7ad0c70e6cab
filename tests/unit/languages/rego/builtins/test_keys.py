import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from extauthz.languages.rego.builtins.encoding import encode_base64url
from extauthz.languages.rego.builtins.keys import sign, verification_keys, verifies
from extauthz.languages.rego.failure import BuiltinError

RSA = rsa.generate_private_key(65537, 2048)
P256, P521 = (ec.generate_private_key(curve) for curve in (ec.SECP256R1(), ec.SECP521R1()))
ED = ed25519.Ed25519PrivateKey.generate()
KEYS: dict[str, tuple[Any, Any]] = {
    "RS256": (RSA, RSA.public_key()),
    "PS384": (RSA, RSA.public_key()),
    "EdDSA": (ED, ED.public_key()),
    "HS512": (b"secret", b"secret"),
    "ES256": (P256, P256.public_key()),
    "ES512": (P521, P521.public_key()),
}


def public_of(private: Any) -> Any:
    return private if isinstance(private, bytes) else private.public_key()


@pytest.mark.parametrize("algorithm", sorted(KEYS))
def test_a_signature_is_its_keys_alone(algorithm):
    """It verifies what was signed, by its own key and algorithm."""
    private, public = KEYS[algorithm]
    signature = sign(algorithm, private, b"text")
    assert verifies(algorithm, public, b"text", signature)
    assert not verifies(algorithm, public, b"other", signature)
    assert not verifies(algorithm, public, b"text", b"")
    for other, _ in KEYS.values():
        assert other is private or not verifies(algorithm, public_of(other), b"text", signature)


def test_a_public_key_is_no_secret():
    """The classic confusion: a token signed with HMAC by the text of the public key."""
    pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    signature = sign("HS256", pem, b"text")
    [key] = verification_keys(pem.decode())
    assert not verifies("HS256", key.key, b"text", signature)
    assert not verifies("none", key.key, b"text", b"")


@pytest.mark.parametrize(
    "source",
    [
        "",
        "{}",
        "[]",
        '{"keys": 1}',
        '{"keys": [1]}',
        '{"kty": "RSA"}',
        '{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}',
        '{"kty": "OKP", "crv": "Ed25519", "x": "AA"}',
        '{"kty": "oct", "k": 1}',
        '{"kty": "oct", "k": "YQ", "kid": 1}',
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
    ],
)
def test_what_is_no_key(source):
    """Neither PEM nor JWK, or one that nothing can be verified with."""
    with pytest.raises(BuiltinError):
        verification_keys(source)


def test_keys_for_unknown_algorithms_do_not_count():
    """They are left out; the others stay."""
    one = {"kty": "oct", "k": encode_base64url(b"a"), "alg": "XX1", "kid": "x"}
    other = {"kty": "oct", "k": encode_base64url(b"b"), "alg": "HS256", "kid": "y"}
    assert [key.kid for key in verification_keys(json.dumps({"keys": [one, other]}))] == ["y"]
