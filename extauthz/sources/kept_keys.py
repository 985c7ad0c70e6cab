"""The last good key sets, kept in a folder, so that a restart while an issuer is down does not shut everybody out.

Whoever can write here can forge tokens. The folder must therefore be ours alone (mode 0700, our uid, no symbolic link),
and a file is used only if it is ours, was written for this very provider, issuer and URI, and is not too old.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from extauthz.authn.keyset import STALE_LIMIT_SECONDS, KeySet, KeySetRefusedError, parse_key_set
from extauthz.authn.provider import key_source_digest
from extauthz.authn.strict_json import JsonRefusedError, parse_object
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.model.access import JsonValue
from extauthz.model.provider import Provider, RemoteKeys

_MAXIMUM_BYTES = 2 * 1024 * 1024
_VERSION = 1
_LONGEST_FRESH_SECONDS = 86_400.0


class KeptKeysRefusedError(Exception):
    """A kept file that must not be used; the message says why."""


@dataclass(frozen=True, slots=True)
class KeptKeySet:
    """A key set as it was fetched."""

    key_set: KeySet
    fetched_at: float
    """Epoch seconds."""
    fresh_seconds: float


class KeptKeys:
    """The folder."""

    def __init__(self, folder: Path) -> None:
        """Create the folder, or check that it is ours alone.

        Raises:
            ConfigurationError: it is a symbolic link, no folder, somebody else's, or open to others.
            EnvironmentUnfitError: it cannot be created.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = folder.lstat()
        except FileExistsError:
            raise ConfigurationError(f"{folder} is no folder: give one to keep key sets in") from None
        except OSError as error:
            raise EnvironmentUnfitError(
                f"{folder} cannot be used: {error.strerror}: give a folder that can be created"
            ) from error
        if not stat.S_ISDIR(found.st_mode):
            raise ConfigurationError(f"{folder} is a symbolic link: name the folder itself")
        if found.st_uid != os.geteuid():
            raise ConfigurationError(f"{folder} belongs to another user: give one that only extauthz can write to")
        if stat.S_IMODE(found.st_mode) & 0o077:
            raise ConfigurationError(f"{folder} is open to other users: chmod 700 {folder}")
        self._folder = folder

    def load(self, provider: Provider, now: float) -> KeptKeySet | None:
        """The set kept for this provider; None when there is none, or it is past the limit for stale keys.

        Raises:
            KeptKeysRefusedError: there is one that must not be used.
        """
        path = self._path(provider)
        try:
            record = parse_object(_read_own(path))
            kept = _kept(record, provider)
        except FileNotFoundError:
            return None
        except (JsonRefusedError, KeySetRefusedError) as error:
            raise KeptKeysRefusedError(f"{path}: {error}") from None
        except OSError as error:
            raise KeptKeysRefusedError(f"{path}: {error.strerror}") from error
        if kept is None or kept.fetched_at > now:
            raise KeptKeysRefusedError(f"{path}: not written for this provider, or in the future")
        return kept if now < kept.fetched_at + kept.fresh_seconds + STALE_LIMIT_SECONDS else None

    def save(
        self, provider: Provider, document: Mapping[str, JsonValue], fetched_at: float, fresh_seconds: float
    ) -> None:
        """Keep a set in place of an older one, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        record = {
            "version": _VERSION,
            **_identity(provider),
            "fetched_at": fetched_at,
            "fresh_seconds": fresh_seconds,
            "jwks": document,
        }
        descriptor, name = tempfile.mkstemp(prefix=".new-", dir=self._folder)  # mode 0600
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump(record, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(self._path(provider))
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise

    def _path(self, provider: Provider) -> Path:
        return self._folder / f"{key_source_digest(provider).hex()}.json"


def _identity(provider: Provider) -> dict[str, JsonValue]:
    uri = provider.keys.uri if isinstance(provider.keys, RemoteKeys) else None
    return {"provider": provider.name, "issuer": provider.issuer, "uri": uri}


def _read_own(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise KeptKeysRefusedError(f"{path}: not a file of ours alone")
        if found.st_size > _MAXIMUM_BYTES:
            raise KeptKeysRefusedError(f"{path}: too large")
        return file.read(_MAXIMUM_BYTES)


def _kept(record: Mapping[str, JsonValue], provider: Provider) -> KeptKeySet | None:
    """The set of a record for this provider, None when it is not one."""
    expected = {"version": _VERSION, **_identity(provider)}
    jwks, fetched_at, fresh = record.get("jwks"), record.get("fetched_at"), record.get("fresh_seconds")
    if any(record.get(name) != value for name, value in expected.items()) or not isinstance(jwks, Mapping):
        return None
    if not isinstance(fetched_at, int | float) or not isinstance(fresh, int | float):
        return None
    return KeptKeySet(parse_key_set(jwks), float(fetched_at), min(max(float(fresh), 0.0), _LONGEST_FRESH_SECONDS))
