import asyncio
import datetime as dt
import os
import shutil
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from extauthz.errors import ConfigurationError
from extauthz.tls import CredentialFiles, CredentialsWatcher, exposed_key, load_credentials
from tests.harness.certificates import CertificateAuthority

NOW = dt.datetime(2026, 7, 1, 12, tzinfo=dt.UTC)
LOCALHOST = x509.DNSName("localhost")


@pytest.fixture
def authority(tmp_path):
    return CertificateAuthority(tmp_path, NOW)


@pytest.fixture
def files(authority, tmp_path):
    """A certificate and its key, each in a file of its own, and the authority for clients."""
    both = authority.issue(LOCALHOST)
    names = CredentialFiles(str(tmp_path / "tls.crt"), str(tmp_path / "tls.key"), str(authority.certificate))
    put(both, names)
    return names


def put(both, files):
    """Write the certificate and the key in `both` as the two files."""
    content = both.read_bytes()
    start = content.index(b"-----BEGIN PRIVATE KEY-----")
    for path, part in ((files.certificate, content[:start]), (files.key, content[start:])):
        Path(path).write_bytes(part)


def load(files, now=NOW):
    return load_credentials(files, now.timestamp())


def write_key(path, key, encryption=None):
    Path(path).write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption()))


def test_what_fits_together_is_loaded(files, authority):
    """As PEM, whatever else the files hold, and with the day it ends."""
    credentials = load(files)
    assert x509.load_pem_x509_certificate(credentials.certificate_chain).serial_number == int(credentials.serial, 16)
    load_pem_private_key(credentials.private_key, None)
    assert credentials.client_ca == authority.certificate.read_bytes()
    assert credentials.expires_at == (NOW + dt.timedelta(days=1)).timestamp()
    assert b"PRIVATE" not in repr(credentials).encode()


def test_one_file_may_hold_certificate_and_key(authority):
    """As some tools write them; the chain then holds no key."""
    both = str(authority.issue(LOCALHOST))
    credentials = load(CredentialFiles(both, both))
    assert b"PRIVATE" not in credentials.certificate_chain
    assert credentials.client_ca is None


def missing(files):
    Path(files.certificate).unlink()


def folder(files):
    missing(files)
    Path(files.certificate).mkdir()


def no_certificate(files):
    shutil.copy(files.key, files.certificate)


def no_key(files):
    shutil.copy(files.certificate, files.key)


def no_authority(files):
    shutil.copy(files.key, files.client_ca)


def half_a_certificate(files):
    os.truncate(files.certificate, 100)


def encrypted(files):
    key = load_pem_private_key(Path(files.key).read_bytes(), None)
    write_key(files.key, key, BestAvailableEncryption(b"secret"))


def another_key(files):
    write_key(files.key, rsa.generate_private_key(65537, 2048))


def short_key(files):
    write_key(files.key, rsa.generate_private_key(65537, 1024))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (missing, "tls.crt cannot be read: No such file or directory: name a PEM file"),
        (folder, "tls.crt cannot be read: Is a directory"),
        (no_certificate, "tls.crt holds no certificate in PEM"),
        (half_a_certificate, "tls.crt holds no certificate in PEM"),
        (no_key, "tls.key holds no private key in PEM"),
        (encrypted, "tls.key is encrypted: give a key without a passphrase"),
        (another_key, "tls.key is not the key of .*tls.crt: give the key that the certificate was made for"),
        (short_key, "tls.key: use an ECDSA or Ed25519 key, or RSA of at least 2048 bits"),
        (no_authority, "authority.pem holds no certificate in PEM"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_in_a_line(files, spoil, message):
    """And what to do."""
    spoil(files)
    with pytest.raises(ConfigurationError, match=message) as caught:
        load(files)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("days", "message"),
    [
        (2, r"tls\.crt expired at 2026-07-02 12:00:00 UTC: renew it"),
        (-2, r"tls\.crt is not valid before 2026-06-30 12:00:00 UTC: check this machine's clock"),
    ],
)
def test_a_certificate_that_is_not_valid_now_is_refused(files, days, message):
    """Clients would refuse it later, one by one."""
    with pytest.raises(ConfigurationError, match=message):
        load(files, NOW + dt.timedelta(days=days))


def test_authorities_that_have_expired_are_left_out(files, tmp_path):
    """As long as one is left; with none, nobody could come in."""
    folder = tmp_path / "old"
    folder.mkdir()
    old = CertificateAuthority(folder, NOW - dt.timedelta(days=30))
    authorities = Path(files.client_ca)
    authorities.write_bytes(authorities.read_bytes() + old.certificate.read_bytes())
    assert load(files).client_ca.count(b"BEGIN CERTIFICATE") == 1
    shutil.copy(old.certificate, files.client_ca)
    with pytest.raises(ConfigurationError, match=r"authority\.pem expired at"):
        load(files)


def test_a_key_that_everybody_can_read_is_a_warning(files):
    """Secrets of Kubernetes look like that unless told otherwise."""
    Path(files.key).chmod(0o640)
    assert exposed_key(files) is None
    Path(files.key).chmod(0o644)
    assert "mode 0644): chmod o-rwx" in (exposed_key(files) or "")


class Watched:
    """A watcher, and what it reported."""

    def __init__(self, files):
        self.files = files
        self.loaded = []
        self.failed = []
        self.refusal = None
        self._new = asyncio.Event()
        self.watcher = CredentialsWatcher(
            files,
            loaded=load(files),
            on_loaded=self._on_loaded,
            on_failed=self._on_failed,
            clock=NOW.timestamp,
            poll_seconds=0.01,
        )

    async def _on_loaded(self, credentials):
        if self.refusal is not None:
            raise self.refusal
        self.loaded.append(credentials)
        self._new.set()

    def _on_failed(self, error):
        self.failed.append(str(error))
        self._new.set()

    async def report(self):
        async with asyncio.timeout(10):
            await self._new.wait()
        self._new.clear()


def watch(files, scenario):
    async def main():
        watched = Watched(files)
        running = asyncio.ensure_future(watched.watcher.run())
        await scenario(watched)
        running.cancel()
        await asyncio.wait([running])
        return watched

    return asyncio.run(main())


def test_another_certificate_is_loaded(files, authority):
    """Each time."""

    async def scenario(watched):
        for _ in range(3):
            put(authority.issue(LOCALHOST), files)
            await watched.report()

    watched = watch(files, scenario)
    assert len({each.serial for each in watched.loaded}) == 3
    assert watched.failed == []


def test_half_of_a_change_waits_for_the_other_half(files, authority):
    """The certificate without its key is reported once, and the last good pair stays in force until both are there."""
    both = authority.issue(LOCALHOST)

    async def scenario(watched):
        shutil.copy(both, files.certificate)
        await watched.report()
        await asyncio.sleep(0.1)  # many looks later
        assert (len(watched.failed), watched.loaded) == (1, [])
        put(both, files)
        await watched.report()

    watched = watch(files, scenario)
    assert "is not the key of" in watched.failed[0]
    assert len(watched.loaded) == 1


def test_a_swapped_link_is_seen(files, authority, tmp_path):
    """As secrets are mounted: the files are links through a link to a folder, which alone changes."""
    data = tmp_path / "..data"
    linked = CredentialFiles(str(data / "tls.crt"), str(data / "tls.key"))
    for name in ("second", "first"):
        (tmp_path / name).mkdir()
        data.unlink(missing_ok=True)
        data.symlink_to(name)
        put(authority.issue(LOCALHOST), linked)

    async def scenario(watched):
        (tmp_path / "..new").symlink_to("second")
        (tmp_path / "..new").rename(data)
        await watched.report()

    assert watch(linked, scenario).loaded == [load(linked)]


def test_files_that_were_written_again_as_they_were_are_no_change(files, authority):
    """Nothing is replaced by itself."""
    original = shutil.copy(files.certificate, files.certificate + ".copy")

    async def scenario(watched):
        shutil.copy(original, files.certificate)
        await asyncio.sleep(0.1)
        put(authority.issue(LOCALHOST), files)
        await watched.report()

    assert len(watch(files, scenario).loaded) == 1


def test_the_same_certificate_after_a_failure_is_reported(files):
    """Whoever was told of the failure is told that it is over."""
    original = shutil.copy(files.certificate, files.certificate + ".copy")

    async def scenario(watched):
        shutil.copy(files.key, files.certificate)
        await watched.report()
        shutil.copy(original, files.certificate)
        await watched.report()

    watched = watch(files, scenario)
    assert (len(watched.failed), watched.loaded) == (1, [load(files)])


def test_credentials_that_cannot_be_served_are_a_failure(files, authority):
    """Whoever serves them may find something that we did not; then those files are not tried again."""

    async def scenario(watched):
        watched.refusal = ConfigurationError("cannot be served")
        put(authority.issue(LOCALHOST), files)
        await watched.report()
        watched.refusal = None
        put(authority.issue(LOCALHOST), files)
        await watched.report()

    watched = watch(files, scenario)
    assert (watched.failed, len(watched.loaded)) == (["cannot be served"], 1)


def test_a_change_before_the_watch_began_is_not_missed(files, authority):
    """Between loading at the start and the first look."""

    async def main():
        watched = Watched(files)
        put(authority.issue(LOCALHOST), files)
        running = asyncio.ensure_future(watched.watcher.run())
        await watched.report()
        running.cancel()
        await asyncio.wait([running])
        return watched

    assert len(asyncio.run(main()).loaded) == 1
