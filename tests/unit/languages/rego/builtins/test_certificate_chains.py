from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from extauthz.languages.rego.failure import BuiltinError

NOW = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)


class Authority:
    """Issues certificates."""

    def __init__(self, name: str, issuer: "Authority | None" = None, **options: Any) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = (issuer or self).issue(self.name, self.key, ca=True, **options)

    def issue(
        self, name: x509.Name, key: Any, *, ca: bool = False, days: int = 10, usage: Any = None, extra: Any = None
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=30))
            .not_valid_after(NOW + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if extra is not None:
            builder = builder.add_extension(extra, critical=True)
        return builder.sign(self.key, hashes.SHA256())


def pem(*certificates: x509.Certificate) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


ROOT = Authority("root")
MIDDLE = Authority("middle", ROOT)
LEAF_KEY = ec.generate_private_key(ec.SECP256R1())
LEAF_NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "leaf")])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"x")
NAMES = x509.SubjectAlternativeName([x509.DNSName("a.example"), x509.DNSName("*.b.example")])


def leaf(issuer: Authority = MIDDLE, **options: Any) -> x509.Certificate:
    return issuer.issue(LEAF_NAME, LEAF_KEY, **options)


def test_a_chain_is_followed(call):
    """From the last certificate through the one between to the first."""
    valid, chain = call("crypto.x509.parse_and_verify_certificates", pem(ROOT.certificate, MIDDLE.certificate, leaf()))
    assert valid is True
    assert [one["Subject"]["CommonName"] for one in chain] == ["leaf", "middle", "root"]


@pytest.mark.parametrize(
    "source",
    [
        pem(ROOT.certificate),
        pem(ROOT.certificate, leaf()),
        pem(MIDDLE.certificate, ROOT.certificate, leaf(ROOT)),
        pem(ROOT.certificate, MIDDLE.certificate, leaf(days=-1)),
        pem(ROOT.certificate, MIDDLE.certificate, leaf(usage=ExtendedKeyUsageOID.CLIENT_AUTH)),
        pem(
            ROOT.certificate,
            MIDDLE.certificate,
            leaf(extra=x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3"), b"x")),
        ),
        pem(Authority("root").certificate, MIDDLE.certificate, leaf()),
        pem(ROOT.certificate, Authority("middle").certificate, leaf()),
        "nonsense",
    ],
)
def test_no_chain(call, source):
    """Missing links, expired and foreign certificates, other purposes, and what is not understood."""
    assert call("crypto.x509.parse_and_verify_certificates", source) == [False, []]


def test_who_is_no_authority_cannot_issue(call):
    """A leaf that signs another certificate does not make it valid."""
    rogue = Authority("leaf")
    rogue.name, rogue.key = LEAF_NAME, LEAF_KEY
    source = pem(ROOT.certificate, leaf(ROOT), rogue.issue(LEAF_NAME, LEAF_KEY))
    assert call("crypto.x509.parse_and_verify_certificates", source)[0] is False


@pytest.mark.parametrize(
    ("options", "want"),
    [
        ({"DNSName": "A.example"}, True),
        ({"DNSName": "x.b.example"}, True),
        ({"DNSName": "x.y.b.example"}, False),
        ({"DNSName": "b.example"}, False),
        ({"KeyUsages": ["KeyUsageClientAuth"]}, False),
        ({"KeyUsages": ["KeyUsageAny"]}, True),
        ({"CurrentTime": 0}, False),
    ],
)
def test_options(call, options, want):
    """Another time, purpose, or name."""
    source = pem(ROOT.certificate, leaf(ROOT, usage=ExtendedKeyUsageOID.SERVER_AUTH, extra=NAMES))
    assert call("crypto.x509.parse_and_verify_certificates_with_options", source, options)[0] is want


def test_unknown_options_are_errors(call):
    """They might have been meant to be strict."""
    for options in ({"Roots": 1}, {"KeyUsages": ["Nonsense"]}, {"DNSName": 1}):
        with pytest.raises(BuiltinError):
            call("crypto.x509.parse_and_verify_certificates_with_options", pem(ROOT.certificate), options)


def key_pem(key: Any) -> str:
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def test_private_keys(call):
    """As Go has them, and as JWK that signs."""
    rsa_key = rsa.generate_private_key(65537, 2048)
    both = key_pem(LEAF_KEY) + key_pem(rsa_key)
    found = call("crypto.parse_private_keys", both)
    assert [sorted(key) for key in found] == [["Curve", "D", "X", "Y"], ["D", "E", "N", "Primes"]]
    jwk = call("crypto.x509.parse_rsa_private_key", key_pem(rsa_key))
    token = call("io.jwt.encode_sign", {"alg": "RS256"}, {}, jwk)
    assert call("io.jwt.verify_rs256", token, pem(ROOT.certificate)) is False
    locked = LEAF_KEY.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x"))
    with pytest.raises(BuiltinError):
        call("crypto.parse_private_keys", locked.decode())


def test_key_pairs(call):
    """The key must be the certificate's."""
    assert (
        len(call("crypto.x509.parse_keypair", pem(leaf(), MIDDLE.certificate), key_pem(LEAF_KEY))["Certificate"]) == 2
    )
    with pytest.raises(BuiltinError):
        call("crypto.x509.parse_keypair", pem(leaf()), key_pem(ROOT.key))
