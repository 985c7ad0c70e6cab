import json
import os

import pytest

from extauthz.authn.keyset import STALE_LIMIT_SECONDS
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.model.provider import RemoteKeys
from extauthz.sources.kept_keys import KeptKeys, KeptKeysRefusedError
from tests.harness.authn import CORP, NOW, REMOTE, jwks, make_provider

PROVIDER = make_provider(keys=REMOTE)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "state"


@pytest.fixture
def saved(folder):
    """A folder with one set in it, fetched now, and its file."""
    kept = KeptKeys(folder)
    kept.save(PROVIDER, jwks(CORP), NOW, 300.0)
    (path,) = folder.iterdir()
    return kept, path


def test_a_set_is_read_back(saved, folder):
    """By another process too, in a folder and file that only we can read."""
    found = KeptKeys(folder).load(PROVIDER, NOW + 60)
    assert found is not None
    assert [key.kid for key in found.key_set.keys] == [CORP.kid]
    assert (found.fetched_at, found.fresh_seconds) == (NOW, 300.0)
    _, path = saved
    assert folder.stat().st_mode & 0o777 == 0o700
    assert path.stat().st_mode & 0o777 == 0o600


def test_saving_again_replaces(saved, folder):
    """One file per provider, and no other is left behind."""
    kept, path = saved
    kept.save(PROVIDER, jwks(CORP), NOW + 300, 600.0)
    assert list(folder.iterdir()) == [path]
    assert kept.load(PROVIDER, NOW + 400).fetched_at == NOW + 300


def test_only_the_same_provider_and_uri_find_it(saved):
    """A provider that moved does not get the keys of where it was."""
    kept, _ = saved
    for changes in (
        {"name": "b"},
        {"issuer": "https://b"},
        {"keys": RemoteKeys("https://b")},
        {"keys": RemoteKeys(None)},
    ):
        assert kept.load(make_provider(**{"keys": REMOTE, **changes}), NOW) is None


def test_old_sets_are_not_used(saved):
    """Past the limit for stale keys, as if the process had never stopped."""
    kept, _ = saved
    end = NOW + 300 + STALE_LIMIT_SECONDS
    assert kept.load(PROVIDER, end - 1) is not None
    assert kept.load(PROVIDER, end) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 2},
        {"provider": "other"},
        {"issuer": "https://evil.example"},
        {"uri": "https://evil.example/jwks.json"},
        {"fetched_at": NOW + 3600},
        {"fetched_at": "now"},
        {"fresh_seconds": None},
        {"jwks": None},
        {"jwks": {"keys": []}},
        {"jwks": [CORP.public_jwk]},
    ],
)
def test_a_file_that_says_something_else_is_refused(saved, changes):
    """Copied from elsewhere, from the future, or broken."""
    kept, path = saved
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with pytest.raises(KeptKeysRefusedError):
        kept.load(PROVIDER, NOW + 60)


def test_a_freshness_beyond_reason_is_cut(saved):
    """A file cannot make keys live longer than a fetch could."""
    kept, path = saved
    path.write_text(json.dumps({**json.loads(path.read_text()), "fresh_seconds": 1e12}))
    assert kept.load(PROVIDER, NOW + 60).fresh_seconds == 86_400.0


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff", b"{" + b" " * 3_000_000 + b"}"])
def test_a_broken_file_is_refused(saved, content):
    """Cut off, not JSON, or far too large."""
    kept, path = saved
    path.write_bytes(content)
    with pytest.raises(KeptKeysRefusedError, match=path.name):
        kept.load(PROVIDER, NOW)


def test_a_file_that_others_could_have_written_is_refused(saved):
    """Open to the group, a symbolic link, or no file at all."""
    kept, path = saved
    path.chmod(0o620)
    with pytest.raises(KeptKeysRefusedError, match="not a file of ours alone"):
        kept.load(PROVIDER, NOW)
    path.chmod(0o600)
    target = path.rename(path.with_name("moved"))
    path.symlink_to(target)
    with pytest.raises(KeptKeysRefusedError):
        kept.load(PROVIDER, NOW)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(KeptKeysRefusedError):
        kept.load(PROVIDER, NOW)
    path.unlink()
    path.mkdir()
    with pytest.raises(KeptKeysRefusedError):
        kept.load(PROVIDER, NOW)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_what_belongs_to_another_user_is_refused(saved, folder):
    """The file, and the folder."""
    kept, path = saved
    os.chown(path, 12345, -1)
    with pytest.raises(KeptKeysRefusedError, match="not a file of ours alone"):
        kept.load(PROVIDER, NOW)
    os.chown(folder, 12345, -1)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        KeptKeys(folder)


def test_a_folder_that_is_open_is_refused(folder):
    """With what to do about it."""
    folder.mkdir()
    folder.chmod(0o750)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        KeptKeys(folder)


def test_a_folder_that_is_none_is_refused(folder, tmp_path):
    """A file, a symbolic link, or a place where none can be."""
    folder.write_text("")
    with pytest.raises(ConfigurationError, match="is no folder"):
        KeptKeys(folder)
    with pytest.raises(EnvironmentUnfitError, match="cannot be used"):
        KeptKeys(folder / "below")
    link = tmp_path / "link"
    (tmp_path / "real").mkdir(mode=0o700)
    link.symlink_to(tmp_path / "real")
    with pytest.raises(ConfigurationError, match="is a symbolic link: name the folder itself"):
        KeptKeys(link)


def test_a_save_that_fails_leaves_the_old_set(saved, folder):
    """Whole or not at all, and nothing half-written stays."""
    kept, path = saved
    before = path.read_bytes()
    path.rename(folder / "aside")
    path.mkdir()
    (path / "in the way").touch()
    with pytest.raises(OSError, match="directory"):
        kept.save(PROVIDER, jwks(CORP), NOW, 300.0)
    assert sorted(p.name for p in folder.iterdir()) == sorted([path.name, "aside"])
    assert (folder / "aside").read_bytes() == before
