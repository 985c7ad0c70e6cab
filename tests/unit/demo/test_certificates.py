import datetime as dt
import ssl
import stat

import pytest
from cryptography import x509

from extauthz.demo.certificates import make_certificates
from extauthz.errors import ConfigurationError

NOW = dt.datetime(2030, 1, 1, tzinfo=dt.UTC)
NAMES = {"proxy": ["localhost", "127.0.0.1"], "client": ["client"]}


def read(directory):
    """Every file's content."""
    return {file.name: file.read_bytes() for file in directory.iterdir()}


def handshake(directory, *, server, client, hostname):
    """Two TLS peers in memory, each showing its certificate and believing the authority alone."""
    contexts = {
        server: ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=directory / "ca.pem"),
        client: ssl.create_default_context(cafile=directory / "ca.pem"),
    }
    for name, context in contexts.items():
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # Python's own default since 3.13
        context.load_cert_chain(directory / f"{name}.pem", directory / f"{name}.key")
    contexts[server].verify_mode = ssl.CERT_REQUIRED
    left, right = ssl.MemoryBIO(), ssl.MemoryBIO()
    peers = [
        contexts[client].wrap_bio(left, right, server_hostname=hostname),
        contexts[server].wrap_bio(right, left, server_side=True),
    ]
    for _ in range(3):
        for peer in peers:
            try:
                peer.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return peers[1].getpeercert()


@pytest.mark.parametrize("hostname", ["localhost", "127.0.0.1"])
def test_both_sides_believe_the_authority(tmp_path, hostname):
    """One certificate serves, the other identifies a client, by host name and by address."""
    make_certificates(tmp_path, NAMES, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - OpenSSL reads the real clock
    assert handshake(tmp_path, server="proxy", client="client", hostname=hostname)["subjectAltName"] == (
        ("DNS", "client"),
    )


def test_a_certificate_is_for_its_hosts_alone(tmp_path):
    """Another name is refused."""
    make_certificates(tmp_path, NAMES, now=dt.datetime.now(dt.UTC))  # noqa: TID251 - as above
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(tmp_path, server="proxy", client="client", hostname="other.example")


def test_keys_are_for_their_owner_and_group(tmp_path):
    """The authority's own is nowhere."""
    make_certificates(tmp_path, NAMES, now=NOW)
    keys = sorted(tmp_path.glob("*.key"))
    assert [key.name for key in keys] == ["client.key", "proxy.key"]
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o640}
    assert not any(b"PRIVATE KEY" in file.read_bytes() for file in tmp_path.glob("*.pem"))


def test_certificates_that_last_are_kept(tmp_path):
    """Running proxies hold them; a week before their end, all are made anew under a new authority."""
    assert make_certificates(tmp_path, NAMES, now=NOW)
    first = read(tmp_path)
    assert not make_certificates(tmp_path, NAMES, now=NOW + dt.timedelta(days=82))
    assert read(tmp_path) == first
    assert make_certificates(tmp_path, NAMES, now=NOW + dt.timedelta(days=84))
    second = read(tmp_path)
    assert all(second[name] != first[name] for name in first)
    authority = x509.load_pem_x509_certificate(second["ca.pem"])
    for name in NAMES:
        x509.load_pem_x509_certificate(second[f"{name}.pem"]).verify_directly_issued_by(authority)


@pytest.mark.parametrize("harm", ["ca.pem", "proxy.pem", "client.key"])
def test_what_is_not_whole_is_made_anew(tmp_path, harm):
    """A file that is missing or broken, and hosts that changed."""
    make_certificates(tmp_path, NAMES, now=NOW)
    (tmp_path / harm).unlink()
    assert make_certificates(tmp_path, NAMES, now=NOW)
    (tmp_path / "proxy.pem").write_text("no certificate")
    assert make_certificates(tmp_path, NAMES, now=NOW)
    assert make_certificates(tmp_path, {**NAMES, "proxy": ["localhost"]}, now=NOW)


@pytest.mark.parametrize("names", [{"": ["a"]}, {"a/b": ["a"]}, {"..": ["a"]}, {"ca": ["a"]}, {"a": [""]}])
def test_what_is_no_certificate_is_refused(tmp_path, names):
    """A name is a file's, outside of nothing and not the authority's."""
    with pytest.raises(ConfigurationError, match="is no certificate: write name=host"):
        make_certificates(tmp_path, names, now=NOW)
    with pytest.raises(ConfigurationError, match="'ä' is no host"):
        make_certificates(tmp_path, {"a": ["ä"]}, now=NOW)
    assert list(tmp_path.iterdir()) == []
