import base64
import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from extauthz.languages.rego.failure import BuiltinError

KEY = ec.generate_private_key(ec.SECP256R1())
NAME = x509.Name(
    [x509.NameAttribute(NameOID.COMMON_NAME, "shop"), x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Org")]
)
NAMES = x509.SubjectAlternativeName(
    [
        x509.DNSName("shop.example"),
        x509.UniformResourceIdentifier("spiffe://cluster.local/ns/shop"),
        x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
    ]
)


@pytest.fixture(scope="module")
def certificate() -> x509.Certificate:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=1))
        .add_extension(NAMES, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(KEY, hashes.SHA256())
    )


def test_members_are_gos(call, certificate):
    """A certificate is the object that Go's structure becomes, from PEM, base64 of PEM, and base64 of DER."""
    pem = certificate.public_bytes(Encoding.PEM)
    der = base64.b64encode(certificate.public_bytes(Encoding.DER) * 2).decode()
    [found] = call("crypto.x509.parse_certificates", pem.decode())
    assert call("crypto.x509.parse_certificates", base64.b64encode(pem).decode()) == [found]
    assert call("crypto.x509.parse_certificates", der) == [found, found]
    assert found["Subject"]["CommonName"] == "shop"
    assert found["Subject"]["Organization"] == ["Org"]
    assert found["DNSNames"] == ["shop.example"]
    assert found["URIStrings"] == ["spiffe://cluster.local/ns/shop"]
    assert found["IPAddresses"] == ["10.0.0.1"]
    assert found["NotBefore"] == "2024-01-01T00:00:00Z"
    assert found["SerialNumber"] == 7
    assert found["IsCA"] is True
    assert found["MaxPathLen"] == 0
    assert found["SignatureAlgorithm"] == 10


def test_requests(call):
    """A request is read in the same way."""
    request = x509.CertificateSigningRequestBuilder().subject_name(NAME).sign(KEY, hashes.SHA256())
    found = call("crypto.x509.parse_certificate_request", request.public_bytes(Encoding.PEM).decode())
    assert found["Subject"]["CommonName"] == "shop"
    assert found["PublicKeyAlgorithm"] == 3


@pytest.mark.parametrize(
    "source", ["", "%", "AAAA", "MIIB", "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----"]
)
def test_what_is_no_certificate(call, source):
    """An error, unless it is nothing at all."""
    if source:
        with pytest.raises(BuiltinError):
            call("crypto.x509.parse_certificates", source)
    else:
        assert call("crypto.x509.parse_certificates", source) == []
