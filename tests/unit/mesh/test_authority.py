from __future__ import annotations

import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.mesh.authority import open_authority

NOW = 1_800_000_000.0
ORDERS = "spiffe://cluster.local/ns/shop/sa/orders"
DAY = 86_400.0


def authority(folder, now=NOW, lifetime_seconds=100.0, trust_domain="cluster.local"):
    return open_authority(folder / "ca", trust_domain, lifetime_seconds=lifetime_seconds, now=now)


def test_a_workloads_certificate(tmp_path):
    """Names the identity and nothing else, signs for nobody, and fits its key."""
    made = authority(tmp_path).certificate_of(ORDERS, NOW)
    certificate = x509.load_pem_x509_certificate(made.chain.encode())
    certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(authority(tmp_path).certificate.encode()))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert list(names.value) == [x509.UniformResourceIdentifier(ORDERS)]
    assert names.critical
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert certificate.public_key() == load_pem_private_key(made.key.encode(), None).public_key()
    assert certificate.not_valid_after_utc.timestamp() == NOW + 100
    assert "PRIVATE" not in repr(made)


def test_certificates_are_renewed_at_half_of_their_life(tmp_path):
    """Until then it is the same one; of each identity its own."""
    signing = authority(tmp_path)
    first = signing.certificate_of(ORDERS, NOW)
    assert not signing.renew(NOW + 49)
    assert signing.certificate_of(ORDERS, NOW + 49) is first
    assert signing.renew(NOW + 50)
    second = signing.certificate_of(ORDERS, NOW + 50)
    assert second.chain != first.chain
    assert signing.certificate_of(ORDERS + "2", NOW) is not first


def test_the_authority_outlives_the_process(tmp_path):
    """The same one is opened again; its key is for its owner."""
    assert authority(tmp_path).certificate == authority(tmp_path, NOW + DAY).certificate
    assert stat.S_IMODE((tmp_path / "ca" / "ca.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o700


def test_no_certificate_outlives_its_authority(tmp_path):
    """Whatever lifetime is asked for."""
    signing = authority(tmp_path, lifetime_seconds=1000 * DAY)
    certificate = x509.load_pem_x509_certificate(signing.certificate_of(ORDERS, NOW).chain.encode())
    own = x509.load_pem_x509_certificate(signing.certificate.encode())
    assert certificate.not_valid_after_utc == own.not_valid_after_utc


def test_an_authority_that_cannot_be_used(tmp_path):
    """Expired, of another domain, with another's key, or no authority: told, and not replaced."""
    authority(tmp_path)
    with pytest.raises(ConfigurationError, match="is not valid now"):
        authority(tmp_path, NOW + 366 * DAY)
    with pytest.raises(ConfigurationError, match="another domain"):
        authority(tmp_path, trust_domain="other")
    other = tmp_path / "other"
    other.mkdir()
    authority(other)
    (tmp_path / "ca" / "ca.key").write_bytes((other / "ca" / "ca.key").read_bytes())
    with pytest.raises(ConfigurationError, match="is not the key of"):
        authority(tmp_path)
    (tmp_path / "ca" / "ca.key").write_text("nothing")
    with pytest.raises(ConfigurationError, match="holds no authority"):
        authority(tmp_path)
    (tmp_path / "ca" / "ca.key").unlink()
    with pytest.raises(EnvironmentUnfitError, match="No such file"):
        authority(tmp_path)
