"""Which files are part of a policy set.

A folder is read recursively: `*.yaml` and `*.yml` are policy, `*.rego` Rego modules, `data.json` and `data.yaml` their
data, below the names of the folders between the one that was given and the file. `*_test.yaml` and `*_test.rego` are
tests and no part of the set. Hidden names are skipped (editors' leftovers, and the `..data` trees of a mounted
ConfigMap, whose visible symlinks are read instead). Symlinks are followed, but nothing is read twice. A folder that
cannot be listed and a dangling link are errors.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from extauthz.errors import ConfigurationError
from extauthz.languages.rego.data_files import DATA_NAMES

MAX_ENTRIES = 10_000
"""Names looked at below the given folders: a folder with more is not a policy folder but a wrong path."""

POLICY_ENDINGS = (".yaml", ".yml")
TEST_ENDINGS = ("_test.yaml", "_test.yml")
REGO_ENDING = ".rego"
REGO_TEST_ENDING = "_test.rego"


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files of a set, by the names they were found under; sorted."""

    policies: tuple[str, ...]
    modules: tuple[str, ...]
    data: Mapping[str, tuple[str, ...]]
    """Data documents, with the keys below which each stands."""
    tests: tuple[str, ...]
    rego_tests: tuple[str, ...]
    directories: Mapping[str, str]
    """Each folder read, with where it really is and where its `..data` link points: these change in an atomic swap."""


def find_files(paths: Sequence[str], *, besides: str | None = None) -> FoundFiles:
    """The files of the set that the PATHs make; `besides` names a file that is none of it, wherever it lies.

    Raises:
        ConfigurationError: a path cannot be used; one line that says what to do.
    """
    walk = _Walk(None if besides is None else os.path.realpath(besides))
    for path in paths:
        walk.add(path)
    return FoundFiles(
        policies=tuple(walk.policies.values()),
        modules=tuple(sorted(walk.modules.values())),
        data=dict(sorted(walk.data.values())),
        tests=tuple(sorted(walk.tests.values())),
        rego_tests=tuple(sorted(walk.rego_tests.values())),
        directories=walk.directories,
    )


@dataclass(slots=True)
class _Walk:
    """Finds policy files. Files and folders are known by their real path, so that none counts twice."""

    values_file: str | None
    """Its real path; a values file beside the policy is no part of it."""
    policies: dict[str, str] = field(default_factory=dict)
    """Real path -> the name it was found under."""
    modules: dict[str, str] = field(default_factory=dict)
    data: dict[str, tuple[str, tuple[str, ...]]] = field(default_factory=dict)
    """Real path -> the name, and the folders below the one that was given."""
    directories: dict[str, str] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)
    """As `policies`, of the test files seen on the way."""
    rego_tests: dict[str, str] = field(default_factory=dict)
    entries: int = 0

    def add(self, path: str) -> None:
        """Add a PATH as the operator gave it, which must yield at least one policy file."""
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            raise cannot_read(path, error) from error
        if stat.S_ISDIR(mode):
            if not self._add_folder(path):
                raise ConfigurationError(
                    f"{path} holds no policy files: put *.yaml files there (*_test.yaml are tests, hidden files are "
                    "ignored), or name another path"
                )
            return
        name = Path(path).name
        if name.lower().endswith((*TEST_ENDINGS, REGO_TEST_ENDING)):
            raise ConfigurationError(f"{path} is a test file: name the policy that it tests")
        if not self._add_file(path, name, os.path.realpath(path), ()):
            raise ConfigurationError(f"{path} is not a policy file: name a *.yaml file or a folder of them")

    def _add_folder(self, root: str) -> bool:
        """Add all below, without recursion: depth is up to whoever writes the folder."""
        found = False
        visited: set[str] = set()
        waiting: list[tuple[str, str, tuple[str, ...]]] = [(root, os.path.realpath(root), ())]
        while waiting:
            folder, real, names = waiting.pop()
            if real in visited:
                continue
            visited.add(real)
            self.directories[folder] = f"{real} {_data_link(folder)}"
            below: list[tuple[str, str, tuple[str, ...]]] = []
            for entry in self._list(root, folder):
                path = str(Path(folder) / entry.name)
                try:
                    real_path = os.path.realpath(path, strict=True) if entry.is_symlink() else f"{real}/{entry.name}"
                    is_folder = entry.is_dir()
                except OSError as error:
                    raise cannot_read(path, error) from error
                if is_folder:
                    below.append((path, real_path, (*names, entry.name)))
                else:
                    found |= self._add_file(path, entry.name, real_path, names)
            waiting += reversed(below)
        return found

    def _list(self, root: str, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                listed = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            raise cannot_read(folder, error) from error
        self.entries += len(listed)
        if self.entries > MAX_ENTRIES:
            raise ConfigurationError(f"more than {MAX_ENTRIES} files under {root}: name the policy's own folder")
        return listed

    def _add_file(self, path: str, name: str, real: str, folders: tuple[str, ...]) -> bool:
        """Add the file if it is of any use; whether it is part of the set."""
        lowered = name.lower()
        if lowered.endswith((*TEST_ENDINGS, REGO_TEST_ENDING)):
            tests = self.rego_tests if lowered.endswith(REGO_TEST_ENDING) else self.tests
            tests.setdefault(real, path)
            return False
        if real == self.values_file:
            return False
        if lowered in DATA_NAMES:
            self.data.setdefault(real, (path, folders))
        elif lowered.endswith(REGO_ENDING):
            self.modules.setdefault(real, path)
        elif lowered.endswith(POLICY_ENDINGS):
            self.policies.setdefault(real, path)
        else:
            return False
        return True


def _data_link(folder: str) -> str:
    """Where the folder's `..data` points: kubelet retargets it to swap a whole ConfigMap at once."""
    try:
        return str((Path(folder) / "..data").readlink())
    except OSError:  # the ordinary folder: it has none
        return ""


_REMEDIES = {
    errno.ENOENT: "does not exist: check the path",
    errno.EACCES: "cannot be read: permission denied; make it readable for this user",
    errno.ENOTDIR: "does not exist: a part of the path is a file",
    errno.ELOOP: "cannot be read: its symlinks form a loop",
}


def cannot_read(path: str, error: OSError) -> ConfigurationError:
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy == _REMEDIES[errno.ENOENT] and Path(path).is_symlink():
        remedy = f"is a link to {Path(path).readlink()}, which does not exist: correct or remove it"
    return ConfigurationError(f"{path} {remedy or error.strerror}")
