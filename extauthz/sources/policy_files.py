"""Policy files: from the paths an operator names to one parsed set, or to one line that says what is wrong.

All PATHs given to a command form one set. A folder is read recursively: `*.yaml` and `*.yml` are policy, `*_test.yaml`
are tests and left out, hidden names are skipped (editors' leftovers, and the `..data` trees of a mounted ConfigMap,
whose visible symlinks are read instead). Symlinks are followed, but nothing is read twice. Nothing is skipped silently
that could have been meant as policy: a folder that cannot be listed, a dangling link, a file that is not UTF-8 are
errors, because a set without one of its files may allow more than the whole set does.

`PolicyFiles` keeps the names together with what the set last referred to (`file:`, `--values`), so that a watcher asks
one object both "has anything changed?" and "what does it say now?".
"""

from __future__ import annotations

import errno
import gc
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from extauthz.authn.provider import check_provider_keys
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.policy_yaml import ParsedSet, SourceText, parse_policy_set
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Document
from extauthz.model.source import Diagnostic
from extauthz.sources.values import parse_values

MAX_FILE_BYTES = 32 * 1024 * 1024
MAX_ENTRIES = 10_000
"""Names looked at below the given folders: a folder with more is not a policy folder but a wrong path."""

_POLICY_ENDINGS = (".yaml", ".yml")
TEST_ENDINGS = ("_test.yaml", "_test.yml")
_DATA_NAMES = frozenset({"data.json", "data.yaml", "data.yml"})


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A set that parsed, with what it was read from."""

    parsed: ParsedSet
    sources: tuple[str, ...]
    """The policy files, sorted."""
    files: tuple[str, ...]
    """Every file it was read from: policy, values and those named by `file:`; sorted."""
    directories: Mapping[str, str]
    """Each folder read, with where it really is and where its `..data` link points: these change in an atomic swap."""
    digest: str
    """Over names and contents as read."""
    tests: tuple[str, ...] = ()
    """The test files found in the folders given; not read."""


class Reading(NamedTuple):
    """What the files are now, unparsed."""

    digest: str
    directories: Mapping[str, str]
    """As in `LoadedSet`; empty when a path could not be read."""


class Attempt(NamedTuple):
    """What came of reading and parsing the files, and the digest of what was read."""

    outcome: LoadedSet | PolicyError | ConfigurationError
    digest: str


def load(paths: Sequence[str], *, values_file: str | None = None, with_lint: bool = False) -> LoadedSet:
    """Read and parse the set; `with_lint` warns of what is legal but unwise, too.

    Raises:
        ConfigurationError: a path or file cannot be used; one line that says what to do.
        PolicyError: the policy is wrong; carries every diagnostic.
    """
    outcome = PolicyFiles(paths, values_file=values_file).attempt(with_lint=with_lint).outcome
    if isinstance(outcome, LoadedSet):
        return outcome
    raise outcome


class PolicyFiles:
    """The files of one set. Not safe for two threads at once."""

    def __init__(self, paths: Sequence[str], *, values_file: str | None = None, references: Iterable[str] = ()) -> None:
        self.paths = tuple(paths)
        self.values_file = values_file
        self.references = frozenset(references)
        """The files that the set named when it was last parsed, whether or not they could be read."""

    def read(self) -> Reading:
        """What `attempt` would read now. Never raises: being unreadable is a state like any other."""
        try:
            contents = _read(self.paths, self.values_file)
        except ConfigurationError as error:
            return Reading(_digest_of_failure(error), {})
        files = {**contents.files, **{name: _read_or_none(name) for name in self.references}}
        return Reading(_digest(files), contents.directories)

    def attempt(self, *, with_lint: bool = False) -> Attempt:
        """Read and parse; failures are an outcome, since the watcher needs to know which contents failed."""
        try:
            contents = _read(self.paths, self.values_file)
        except ConfigurationError as error:
            return Attempt(error, _digest_of_failure(error))
        referenced: dict[str, bytes | None] = {}

        def read_file(path: str) -> bytes:
            referenced[path] = None  # stays when the next line raises: a missing file may yet appear
            referenced[path] = content = read_regular_file(path)
            return content

        try:
            values = self._values(contents)
            sources = [SourceText(name, content) for name, content in sorted(contents.sources.items())]
            with _collector_paused():
                parsed = parse_policy_set(sources, read_file=read_file, values=values, with_lint=with_lint)
            _check_keys(parsed, contents.sources)
        except (PolicyError, ConfigurationError) as error:
            return Attempt(error, _digest({**contents.files, **referenced}))
        finally:
            self.references = frozenset(referenced)
        files = {**contents.files, **referenced}
        digest = _digest(files)
        loaded = LoadedSet(
            parsed=parsed,
            sources=tuple(sorted(contents.sources.keys() - referenced.keys())),
            files=tuple(sorted(files)),
            directories=contents.directories,
            digest=digest,
            tests=contents.tests,
        )
        return Attempt(loaded, digest)

    def _values(self, contents: _Contents) -> Mapping[str, str]:
        if self.values_file is None:
            return {}
        return parse_values(self.values_file, contents.files[self.values_file])


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Parsing makes many objects at once, and most of them stay.

    Looking for cyclic garbage among them, over and over, took half of a large set's load, and each time stopped every
    other thread, the one that answers requests included, for as long as it took: a third of a second for 10,000 routes.
    What garbage there is waits until the collector runs again.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _check_keys(parsed: ParsedSet, sources: Mapping[str, bytes]) -> None:
    """Refuse providers whose keys no token could, or should, be verified with.

    Raises:
        PolicyError: with a diagnostic for each problem, at its provider.
    """
    problems = [
        Diagnostic(
            span=provider.span,
            code=Code.KEY_SET,
            message=f"provider {provider.name!r}: {problem}",
            path=f"providers.{provider.name}",
            source_line=Document(provider.span.file, sources[provider.span.file].decode()).line(provider.span.line),
        )
        for provider in parsed.policy_set.providers
        for problem in check_provider_keys(provider)
    ]
    if problems:
        raise PolicyError(problems)


@dataclass(frozen=True, slots=True)
class _Contents:
    sources: Mapping[str, bytes]
    files: Mapping[str, bytes]
    """The sources and the values file."""
    directories: Mapping[str, str]
    tests: tuple[str, ...]


def read_regular_file(path: str) -> bytes:
    """The content of a file of at most `MAX_FILE_BYTES`.

    Raises:
        OSError: it cannot be read, or is no regular file (opening a pipe would wait for its writer), or is too large.
    """
    try:
        mode = Path(path).stat().st_mode
    except ValueError as error:  # a NUL or a lone surrogate: no file can have this name
        raise OSError(errno.EINVAL, "is not a file name") from error
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a folder where a file is expected")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "is no regular file (pipes and devices are not read)")
    with Path(path).open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise OSError(errno.EFBIG, f"is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB")
    return content


def _read(paths: Sequence[str], values_file: str | None) -> _Contents:
    if not paths:
        raise ConfigurationError("no policy given: name a policy file or a folder of them")
    walk = _Walk(None if values_file is None else os.path.realpath(values_file))
    for path in paths:
        walk.add(path)
    sources = {name: _read_text(name) for name in walk.files.values()}
    files = sources if values_file is None else {**sources, values_file: _read_text(values_file)}
    return _Contents(sources, files, walk.directories, tuple(sorted(walk.tests.values())))


@dataclass(slots=True)
class _Walk:
    """Finds policy files. Files and folders are known by their real path, so that none counts twice."""

    values_file: str | None
    """Its real path; a values file beside the policy is no part of it."""
    files: dict[str, str] = field(default_factory=dict)
    """Real path -> the name it was found under."""
    directories: dict[str, str] = field(default_factory=dict)
    tests: dict[str, str] = field(default_factory=dict)
    """As `files`, of the test files seen on the way."""
    entries: int = 0

    def add(self, path: str) -> None:
        """Add a PATH as the operator gave it, which must yield at least one policy file."""
        try:
            mode = Path(path).stat().st_mode
        except OSError as error:
            raise _cannot_read(path, error) from error
        if stat.S_ISDIR(mode):
            if not self._add_folder(path):
                raise ConfigurationError(
                    f"{path} holds no policy files: put *.yaml files there (*_test.yaml are tests, hidden files are "
                    "ignored), or name another path"
                )
            return
        name = Path(path).name
        if name.lower().endswith(TEST_ENDINGS):
            raise ConfigurationError(f"{path} is a test file: name the policy that it tests")
        if not self._add_file(path, name, os.path.realpath(path)):
            raise ConfigurationError(f"{path} is not a policy file: name a *.yaml file or a folder of them")

    def _add_folder(self, root: str) -> bool:
        """Add all below, without recursion: depth is up to whoever writes the folder."""
        found = False
        visited: set[str] = set()
        waiting = [(root, os.path.realpath(root))]
        while waiting:
            folder, real = waiting.pop()
            if real in visited:
                continue
            visited.add(real)
            self.directories[folder] = f"{real} {_data_link(folder)}"
            below: list[tuple[str, str]] = []
            for entry in self._list(root, folder):
                path = str(Path(folder) / entry.name)
                try:
                    real_path = os.path.realpath(path, strict=True) if entry.is_symlink() else f"{real}/{entry.name}"
                    is_folder = entry.is_dir()
                except OSError as error:
                    raise _cannot_read(path, error) from error
                if is_folder:
                    below.append((path, real_path))
                else:
                    found |= self._add_file(path, entry.name, real_path)
            waiting += reversed(below)
        return found

    def _list(self, root: str, folder: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(folder) as entries:
                listed = sorted((e for e in entries if not e.name.startswith(".")), key=lambda entry: entry.name)
        except OSError as error:
            raise _cannot_read(folder, error) from error
        self.entries += len(listed)
        if self.entries > MAX_ENTRIES:
            raise ConfigurationError(f"more than {MAX_ENTRIES} files under {root}: name the policy's own folder")
        return listed

    def _add_file(self, path: str, name: str, real: str) -> bool:
        """Add the file if it is policy; whether it is."""
        lowered = name.lower()
        if lowered.endswith(".rego") or lowered in _DATA_NAMES:
            raise ConfigurationError(f"{path}: Rego is not supported yet: move its files out of the policy's folders")
        if lowered.endswith(TEST_ENDINGS):
            self.tests.setdefault(real, path)
            return False
        if not lowered.endswith(_POLICY_ENDINGS):
            return False
        if real == self.values_file:
            return False
        self.files.setdefault(real, path)
        return True


def _data_link(folder: str) -> str:
    """Where the folder's `..data` points: kubelet retargets it to swap a whole ConfigMap at once."""
    try:
        return str((Path(folder) / "..data").readlink())
    except OSError:  # the ordinary folder: it has none
        return ""


def _read_text(path: str) -> bytes:
    try:
        content = read_regular_file(path)
    except OSError as error:
        raise _cannot_read(path, error) from error
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}): save it as UTF-8") from error
    return content


def _read_or_none(path: str) -> bytes | None:
    try:
        return read_regular_file(path)
    except OSError:  # absent is what the digest then says; the parser reports it at the place that names the file
        return None


_REMEDIES = {
    errno.ENOENT: "does not exist: check the path",
    errno.EACCES: "cannot be read: permission denied; make it readable for this user",
    errno.ENOTDIR: "does not exist: a part of the path is a file",
    errno.ELOOP: "cannot be read: its symlinks form a loop",
}


def _cannot_read(path: str, error: OSError) -> ConfigurationError:
    remedy = _REMEDIES.get(error.errno or 0)
    if remedy == _REMEDIES[errno.ENOENT] and Path(path).is_symlink():
        remedy = f"is a link to {Path(path).readlink()}, which does not exist: correct or remove it"
    return ConfigurationError(f"{path} {remedy or error.strerror}")


def _digest(files: Mapping[str, bytes | None]) -> str:
    """SHA-256 over sorted names and contents, each hashed first so that no two splits of the same bytes agree."""
    total = hashlib.sha256()
    for name in sorted(files):
        content = files[name]
        total.update(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
        total.update(b"absent" if content is None else hashlib.sha256(content).digest())
    return total.hexdigest()


def _digest_of_failure(error: ConfigurationError) -> str:
    """A digest for files that could not be read: it changes when the reason does, or when they can be."""
    return _digest({"": str(error).encode("utf-8", "surrogatepass")})
