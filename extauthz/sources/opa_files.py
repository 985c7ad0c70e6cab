"""The policy of the drop-in, from files: modules, folders and bundles that the operator names, and bundles that came.

All of it makes one policy. `OpaFiles` reads what is named and what has been fetched, so that a watcher asks one object
both "has anything changed?" and "what does it say now?".
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from extauthz.check.opa_policy import DECISION, Expression, OpaPolicy, Question, entry_points, query_module
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.rego import DataFile, Module, Planner, join_data
from extauthz.languages.rego.archive import Archive, read_archive
from extauthz.languages.rego.modules import with_lines
from extauthz.languages.rego.program import load_plan
from extauthz.model.policy import PolicySet
from extauthz.sources.policy_files import LoadedSet, PolicyFiles, read_regular_file
from extauthz.sources.policy_walk import cannot_read, find_files
from extauthz.sources.rego_planner import plan_with_default

ARCHIVE_ENDINGS: Final = (".tar.gz", ".tgz")
DATA_ENDINGS: Final = (".json", ".yaml", ".yml")
"""Of files that are data when they are named. In folders only `data.json` and `data.yaml` are, as in bundles."""


@dataclass(frozen=True, slots=True)
class LoadedOpa:
    """A policy that can be served, with what it was read from."""

    policy: OpaPolicy | None
    """None while bundles are on their way."""
    sources: tuple[str, ...]
    """The files of it, sorted."""
    directories: Mapping[str, str]
    """As in `LoadedSet`."""
    digest: str
    """Over names and contents as read."""


NOTHING_YET: Final = LoadedOpa(None, (), {}, "")
"""Before any bundle has come."""


class OpaReading(NamedTuple):
    """What the files are now."""

    digest: str
    directories: Mapping[str, str]


class OpaAttempt(NamedTuple):
    """What came of reading and compiling the files, and the digest of what was read."""

    outcome: LoadedOpa | PolicyError | ConfigurationError
    digest: str


@dataclass(frozen=True, slots=True)
class _Contents:
    files: Mapping[str, bytes]
    modules: Sequence[str]
    data: Mapping[str, tuple[str, ...]]
    archives: Mapping[str, str]
    """By file, the name under which its revision is told; empty where it has none."""
    directories: Mapping[str, str]


class OpaFiles:
    """The files of one policy. Not safe for two threads at once, but for `put`."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        questions: Mapping[str, Question],
        file_bundles: Mapping[str, str] | None = None,
        remote_bundles: Sequence[str] = (),
        policy_set: PolicyFiles | None = None,
        planner: Planner = plan_with_default,
    ) -> None:
        """Read from now on.

        Args:
            paths: modules, data files, folders and bundles.
            questions: what will be asked, `DECISION` among it.
            file_bundles: bundles whose revision is told under a name.
            remote_bundles: names of those that `put` will bring; until all are there, there is no policy.
            policy_set: the files of the set that says who vouches for callers.
            planner: what compiles modules.
        """
        self._named = tuple(paths)
        self._questions = questions
        self._file_bundles = {path: name for name, path in (file_bundles or {}).items()}
        self._remote: dict[str, bytes | None] = dict.fromkeys(remote_bundles)
        self._policy_set = policy_set
        self._planner = planner
        self.paths = (*self._named, *self._file_bundles, *(policy_set.paths if policy_set is not None else ()))
        """Every path in which something of the policy may change."""
        self.values_file = policy_set.values_file if policy_set is not None else None

    @property
    def references(self) -> frozenset[str]:
        """Files that the policy set names."""
        return self._policy_set.references if self._policy_set is not None else frozenset()

    @property
    def missing(self) -> list[str]:
        """The remote bundles that have not come yet."""
        return [name for name, content in self._remote.items() if content is None]

    def put(self, name: str, content: bytes) -> None:
        """A remote bundle has come."""
        self._remote[name] = content

    def read(self) -> OpaReading:
        """What `attempt` would read now. Never raises: being unreadable is a state like any other."""
        try:
            contents = self._read()
        except ConfigurationError as error:
            return OpaReading(_digest({"": str(error).encode("utf-8", "surrogatepass")}), {})
        directories = dict(contents.directories)
        files = dict(contents.files)
        if self._policy_set is not None:
            reading = self._policy_set.read()
            directories |= reading.directories
            files[_SET] = reading.digest.encode()
        return OpaReading(_digest(files), directories)

    def attempt(self) -> OpaAttempt:
        """Read and compile; failures are an outcome, since the watcher needs to know which contents failed."""
        try:
            contents = self._read()
        except ConfigurationError as error:
            return OpaAttempt(error, _digest({"": str(error).encode("utf-8", "surrogatepass")}))
        files = dict(contents.files)
        sources = [name for name in files if not name.startswith(_FETCHED)]
        directories = dict(contents.directories)
        policy_set: PolicySet | None = None
        if self._policy_set is not None:
            set_attempt = self._policy_set.attempt()
            files[_SET] = set_attempt.digest.encode()
            if not isinstance(set_attempt.outcome, LoadedSet):
                return OpaAttempt(set_attempt.outcome, _digest(files))
            policy_set = set_attempt.outcome.parsed.policy_set
            sources += set_attempt.outcome.sources
            directories |= set_attempt.outcome.directories
        digest = _digest(files)
        try:
            policy = self._compile(contents, policy_set, digest)
        except (PolicyError, ConfigurationError) as error:
            return OpaAttempt(error, digest)
        return OpaAttempt(LoadedOpa(policy, tuple(sorted(sources)), directories, digest), digest)

    # --- Reading ---------------------------------------------------------------------------------------------------

    def _read(self) -> _Contents:
        """
        Raises:
            ConfigurationError: a path cannot be used.
        """  # noqa: D205, D212 - its name says what it does
        if self.missing:
            raise ConfigurationError(f"the bundle {', '.join(self.missing)} has not come yet")
        named_archives = [path for path in self._named if path.endswith(ARCHIVE_ENDINGS)]
        named_data = [path for path in self._named if path.endswith(DATA_ENDINGS) and not Path(path).is_dir()]
        found = find_files([path for path in self._named if path not in {*named_archives, *named_data}])
        data = {**found.data, **dict.fromkeys(named_data, ())}
        archives = {**dict.fromkeys(named_archives, ""), **self._file_bundles}
        files = {name: _content(name) for name in (*found.modules, *data, *archives)}
        for name, content in self._remote.items():
            assert content is not None  # noqa: S101 - looked at above
            files[f"{_FETCHED}{name}"] = content
            archives[f"{_FETCHED}{name}"] = name
        return _Contents(files, found.modules, data, archives, found.directories)

    # --- Compiling -------------------------------------------------------------------------------------------------

    def _compile(self, contents: _Contents, policy_set: PolicySet | None, digest: str) -> OpaPolicy:
        """
        Raises:
            PolicyError: what is there makes no policy.
        """  # noqa: D205, D212 - its name says what it does
        modules = [Module(name, _text(name, contents.files[name])) for name in contents.modules]
        data = [DataFile(name, folders, contents.files[name]) for name, folders in contents.data.items()]
        revisions: dict[str, str] = {}
        plans: list[tuple[str, Archive]] = []
        for path, name in contents.archives.items():
            archive = read_archive(path, contents.files[path])
            data += archive.data
            if archive.plan is not None:
                plans.append((path, archive))
            else:
                modules += archive.modules
            if name:
                revisions[name] = archive.revision
        document = join_data(data)
        if plans:
            return self._planned(plans, modules, document, (digest, revisions, policy_set))
        questions = query_module(self._questions)
        try:
            plan = self._planner([*modules, questions], entry_points(self._questions))
            load_plan(plan, document)
        except PolicyError as error:
            raise PolicyError(with_lines(error.diagnostics, modules)) from error
        asked = dict(zip(self._questions, entry_points(self._questions), strict=True))
        return OpaPolicy(plan, document, asked, digest[:12], revisions, policy_set)

    def _planned(
        self,
        plans: Sequence[tuple[str, Archive]],
        modules: Sequence[Module],
        document: dict[str, object],
        rest: tuple[str, Mapping[str, str], PolicySet | None],
    ) -> OpaPolicy:
        """A policy that OPA has compiled."""
        path, archive = plans[0]
        if len(plans) > 1 or modules:
            raise ConfigurationError(f"{path}: the bundle holds a plan, which no other policy can be added to")
        program = load_plan(archive.plan, document)
        asked = {
            name: "/".join(map(str, path)) for name, path in self._questions.items() if not isinstance(path, Expression)
        }
        if DECISION not in asked:
            raise ConfigurationError(f"{path}: its plan can only be asked for a document: name it in `path`")
        if not program.defines(asked[DECISION]):
            raise ConfigurationError(
                f"{path}: its plan has no {asked[DECISION]}: build it with `opa build -t plan -e {asked[DECISION]}`"
            )
        asked = {name: entry for name, entry in asked.items() if program.defines(entry)}
        digest, revisions, policy_set = rest
        return OpaPolicy(archive.plan, document, asked, digest[:12], revisions, policy_set)


_SET: Final = "\0set"
"""Stands for the policy set among the files that a digest is over."""
_FETCHED: Final = "bundle:"
"""Before the names of remote bundles, where files are named."""


def _content(path: str) -> bytes:
    try:
        return read_regular_file(path)
    except OSError as error:
        raise cannot_read(path, error) from error


def _text(path: str, content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigurationError(f"{path} is not UTF-8 (line {line}): save it as UTF-8") from None


def _digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over sorted names and contents, each hashed first so that no two splits of the same bytes agree."""
    total = hashlib.sha256()
    for name in sorted(files):
        total.update(hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest())
        total.update(hashlib.sha256(files[name]).digest())
    return total.hexdigest()
