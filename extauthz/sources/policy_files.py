"""Policy files: from the paths an operator names to one parsed set, or to one line that says what is wrong.

All PATHs given to a command form one set; `policy_walk` says which files that are. Nothing is skipped silently that
could have been meant as policy, and a file that is not UTF-8 is an error, because a set without one of its files may
allow more than the whole set does.

`PolicyFiles` keeps the names together with what the set last referred to (`file:`, `--values`), so that a watcher asks
one object both "has anything changed?" and "what does it say now?".
"""

from __future__ import annotations

import errno
import hashlib
import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from extauthz.authn.provider import check_provider_keys
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.policy_yaml import ParsedSet, SourceText, parse_policy_set
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.nodes import Document
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import DataFile, Module, Planner
from extauthz.model.source import Diagnostic
from extauthz.sources.policy_walk import FoundFiles, cannot_read, find_files
from extauthz.sources.rego_planner import plan_with_default
from extauthz.sources.values import parse_values

MAX_FILE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LoadedSet:
    """A set that parsed, with what it was read from."""

    parsed: ParsedSet
    sources: tuple[str, ...]
    """The set's own files: policies, Rego modules and their data; sorted."""
    files: tuple[str, ...]
    """Every file it was read from: policy, values and those named by `file:`; sorted."""
    directories: Mapping[str, str]
    """Each folder read, with where it really is and where its `..data` link points: these change in an atomic swap."""
    digest: str
    """Over names and contents as read."""
    tests: tuple[str, ...] = ()
    """The YAML test files found in the folders given; not read."""
    rego: RegoSources | None = None
    """The Rego of the set; None where there is none."""
    rego_tests: tuple[str, ...] = ()
    """As `tests`, of Rego."""


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

    def __init__(
        self,
        paths: Sequence[str],
        *,
        values_file: str | None = None,
        references: Iterable[str] = (),
        planner: Planner = plan_with_default,
    ) -> None:
        self._planner = planner
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
        return Reading(_digest(files), contents.found.directories)

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
            rego = self._rego(contents)
            sources = [SourceText(name, content) for name, content in sorted(contents.sources.items())]
            parsed = parse_policy_set(sources, read_file=read_file, values=values, rego=rego, with_lint=with_lint)
            _check_keys(parsed, contents.sources)
        except (PolicyError, ConfigurationError) as error:
            return Attempt(error, _digest({**contents.files, **referenced}))
        finally:
            self.references = frozenset(referenced)
        files = {**contents.files, **referenced}
        digest = _digest(files)
        loaded = LoadedSet(
            parsed=parsed,
            sources=tuple(sorted({*contents.sources, *contents.found.modules, *contents.found.data} - set(referenced))),
            files=tuple(sorted(files)),
            directories=contents.found.directories,
            digest=digest,
            tests=contents.found.tests,
            rego=rego,
            rego_tests=contents.found.rego_tests,
        )
        return Attempt(loaded, digest)

    def _values(self, contents: _Contents) -> Mapping[str, str]:
        if self.values_file is None:
            return {}
        return parse_values(self.values_file, contents.files[self.values_file])

    def _rego(self, contents: _Contents) -> RegoSources | None:
        found, files = contents.found, contents.files
        if not found.modules and not found.data:
            return None
        return RegoSources(
            modules=[Module(name, files[name].decode()) for name in found.modules],
            data=[DataFile(name, folders, files[name]) for name, folders in sorted(found.data.items())],
            planner=self._planner,
        )


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
    found: FoundFiles
    sources: Mapping[str, bytes]
    files: Mapping[str, bytes]
    """The sources, Rego and its data, and the values file."""


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
    found = find_files(paths, besides=values_file)
    sources = {name: _read_text(name) for name in found.policies}
    if not sources:
        raise ConfigurationError(f"{paths[0]} holds no *.yaml policy, which says when its Rego is asked: write one")
    others = [*found.modules, *found.data, *([] if values_file is None else [values_file])]
    return _Contents(found, sources, {**sources, **{name: _read_text(name) for name in others}})


def _read_text(path: str) -> bytes:
    try:
        content = read_regular_file(path)
    except OSError as error:
        raise cannot_read(path, error) from error
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
