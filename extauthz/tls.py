"""The service's certificate: read, checked, and read again when its files change.

What comes out of here is whole and fits together, so that a transport can serve it: the key belongs to the
certificate, both are valid now, and everything is PEM in one order, whatever the files held besides.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import stat
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from extauthz.errors import ConfigurationError

POLL_SECONDS: Final = 1.0
"""How often the files are looked at. Their content is compared: secrets are mounted as links that are swapped."""

MIN_RSA_BITS: Final = 2048

_Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where the PEM files are."""

    certificate: str
    """The server's certificate, then those that lead to its authority."""
    key: str
    client_ca: str | None = None
    """Authorities of clients; with it, a client without a certificate of theirs is turned away."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the service proves itself with, and whom it lets in. PEM."""

    certificate_chain: bytes
    private_key: bytes = field(repr=False)
    client_ca: bytes | None
    expires_at: float
    """Seconds since the epoch."""

    @property
    def serial(self) -> str:
        """Tells certificates apart in the log."""
        return f"{x509.load_pem_x509_certificate(self.certificate_chain).serial_number:x}"


def load_credentials(files: CredentialFiles, now: float) -> Credentials:
    """Read and check the files.

    Args:
        files: where they are.
        now: seconds since the epoch.

    Raises:
        ConfigurationError: a line that says what is wrong, and what to do.
    """
    moment = dt.datetime.fromtimestamp(now, dt.UTC)
    chain = _read_certificates(files.certificate)
    own = chain[0]
    _refuse_invalid_now(own, files.certificate, moment)
    key = _read_key(files.key)
    if _public_bytes(key.public_key()) != _certified_key(own, files.certificate):
        raise ConfigurationError(
            f"{files.key} is not the key of {files.certificate}: give the key that the certificate was made for, "
            "and the server's own certificate as the first of its file"
        )
    return Credentials(
        certificate_chain=b"".join(each.public_bytes(Encoding.PEM) for each in chain),
        private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        client_ca=None if files.client_ca is None else _read_client_ca(files.client_ca, moment),
        expires_at=own.not_valid_after_utc.timestamp(),
    )


def exposed_key(files: CredentialFiles) -> str | None:
    """What is wrong with the key's permissions, if anything: a warning, for mounted secrets often look like that."""
    try:
        mode = Path(files.key).stat().st_mode
    except OSError:  # it was swapped a moment ago: its successor will be looked at
        return None
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        return f"{files.key} can be read by every user of this machine (mode {mode & 0o777:04o}): chmod o-rwx"
    return None


class CredentialsWatcher:
    """Loads the files again when they have changed, and keeps the last good ones when that fails."""

    def __init__(
        self,
        files: CredentialFiles,
        *,
        loaded: Credentials,
        on_loaded: Callable[[Credentials], Awaitable[None]],
        on_failed: Callable[[ConfigurationError], None],
        clock: Callable[[], float],
        poll_seconds: float = POLL_SECONDS,
    ) -> None:
        """Watch.

        Args:
            files: where they are.
            loaded: what was loaded from them.
            on_loaded: puts credentials into force, others, or the same after a failure; a ConfigurationError that it
                raises is a failure too.
            on_failed: told why the last good ones stay, once for each state of the files.
            clock: seconds since the epoch.
            poll_seconds: how often the files are looked at.
        """
        self._files = files
        self._loaded = loaded
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._has_failed = False

    async def run(self) -> None:
        """Watch until cancelled."""
        tried = seen = _digest(self._files)
        # What changed between loading and this moment is not missed.
        await self._load()
        while True:
            await asyncio.sleep(self._poll_seconds)
            previous, seen = seen, await asyncio.to_thread(_digest, self._files)
            # Twice the same: nobody is in the middle of writing them, one after the other.
            if seen == previous and seen != tried:
                tried = seen
                await self._load()

    async def _load(self) -> None:
        try:
            loaded = await asyncio.to_thread(load_credentials, self._files, self._clock())
            if loaded != self._loaded or self._has_failed:
                await self._on_loaded(loaded)
            self._loaded, self._has_failed = loaded, False
        except ConfigurationError as error:
            self._has_failed = True
            self._on_failed(error)


def _digest(files: CredentialFiles) -> bytes:
    """Of what the files hold; a file that cannot be read counts as one with that reason in it."""
    digest = hashlib.sha256()
    for path in _paths(files):
        try:
            content = Path(path).read_bytes()
        except OSError as error:
            content = str(error.errno).encode()
        digest.update(hashlib.sha256(content).digest())
    return digest.digest()


def _paths(files: CredentialFiles) -> Iterator[str]:
    yield files.certificate
    yield files.key
    if files.client_ca is not None:
        yield files.client_ca


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be read: {error.strerror}: name a PEM file that this user may read"
        ) from None


def _read_certificates(path: str) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise ConfigurationError(f"{path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)") from None


def _read_key(path: str) -> _Key:
    try:
        key = load_pem_private_key(_read(path), password=None)
    except TypeError:
        raise ConfigurationError(f"{path} is encrypted: give a key without a passphrase") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(f"{path} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)") from None
    if not isinstance(key, _Key) or (isinstance(key, rsa.RSAPrivateKey) and key.key_size < MIN_RSA_BITS):
        raise ConfigurationError(f"{path}: use an ECDSA or Ed25519 key, or RSA of at least {MIN_RSA_BITS} bits")
    return key


def _read_client_ca(path: str, now: dt.datetime) -> bytes:
    authorities = _read_certificates(path)
    valid = [each for each in authorities if each.not_valid_before_utc <= now <= each.not_valid_after_utc]
    if not valid:
        _refuse_invalid_now(authorities[0], path, now)
    return b"".join(each.public_bytes(Encoding.PEM) for each in valid)


def _refuse_invalid_now(certificate: x509.Certificate, path: str, now: dt.datetime) -> None:
    if now > certificate.not_valid_after_utc:
        raise ConfigurationError(f"{path} expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC: renew it")
    if now < certificate.not_valid_before_utc:
        raise ConfigurationError(
            f"{path} is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M:%S} UTC: "
            "check this machine's clock, or wait until then"
        )


def _certified_key(certificate: x509.Certificate, path: str) -> bytes:
    try:
        return _public_bytes(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError(
            f"{path} certifies a kind of key that is not known: use ECDSA, Ed25519 or RSA"
        ) from None


def _public_bytes(key: object) -> bytes:
    public: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return public
