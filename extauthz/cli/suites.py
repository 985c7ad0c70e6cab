"""A policy set with its tests, as `policy test` and `policy coverage` load them."""

from __future__ import annotations

import fnmatch
import os.path
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authoring.parse import Surroundings, parse_suite
from extauthz.authoring.record_file import RecordFile
from extauthz.authoring.recorded_test import RecordedTests
from extauthz.authoring.rego_tests import RegoSuite, RegoTest
from extauthz.authoring.run import Runner
from extauthz.authoring.suite import Case, Suite
from extauthz.authorizer import build_snapshot
from extauthz.check.capture import message_from_json
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.check.response import ANSWERS
from extauthz.cli.throwaway import ThrowAwayIssuer
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import Module
from extauthz.model.policy import PolicySet
from extauthz.model.source import Diagnostic
from extauthz.sources.policy_files import LoadedSet, load, read_regular_file
from extauthz.sources.policy_walk import REGO_TEST_ENDING, TEST_ENDINGS
from extauthz.sources.rego_planner import plan_with_default

STATUSES = {reason: answering.status for reason, answering in ANSWERS.items()}


@dataclass(frozen=True, slots=True)
class Bench:
    """A set under test."""

    loaded: LoadedSet
    suites: tuple[Suite, ...]
    runner: Runner
    rego: RegoSuite | None
    """The tests in Rego; None where there are none."""
    rego_tests: tuple[RegoTest, ...]
    """Those that were asked for."""
    notes: tuple[str, ...] = ()
    """What people should know of what was read."""

    @property
    def policy_set(self) -> PolicySet:
        return self.runner.snapshot.policy_set


def load_bench(
    paths: Sequence[Path], values: Path | None, *, run: str | None = None, record: Path | None = None
) -> Bench:
    """Load the set and its tests.

    Test files are those in the folders, and beside a file `x.yaml` its `x_test.yaml`, beside `x.rego` its
    `x_test.rego`; those that are named themselves are then the only ones.

    Args:
        paths: policy files and folders, and test files.
        values: what `${NAME}` stands for.
        run: only the tests whose names match this pattern.
        record: what `serve --record` wrote; a test for each kind of decision in it is run with the others.

    Raises:
        ConfigurationError: a path cannot be used, or there is nothing to run.
        PolicyError: the set, or a test file, is broken.
    """
    named = [str(path) for path in paths if path.name.lower().endswith((*TEST_ENDINGS, REGO_TEST_ENDING))]
    policies = [str(path) for path in paths if str(path) not in named]
    if not policies:
        raise ConfigurationError(f"{named[0]} is a test file: name the policy that it tests, too")
    loaded = load(policies, values_file=None if values is None else str(values))
    files = named or sorted({*loaded.tests, *loaded.rego_tests, *_beside(policies)})
    yaml_files = [file for file in files if not file.lower().endswith(REGO_TEST_ENDING)]
    rego = _read_rego([file for file in files if file not in yaml_files], loaded)
    if not files and record is None:
        raise ConfigurationError(f"no tests: write {_suggested(policies[0])} (`policy new` shows one)")
    issuer = ThrowAwayIssuer(loaded.parsed.policy_set)
    surroundings = Surroundings(
        policy_set=issuer.trusted,
        statuses=STATUSES,
        read_file=read_regular_file,
        read_capture=_read_capture,
        now=time.time(),  # noqa: TID251 - a command reads the clock and hands it on
    )
    written = _read(yaml_files, surroundings)
    notes: list[str] = []
    if record is not None:
        written.append(_recorded(record, loaded.parsed.policy_set, surroundings, notes))
    suites, rego_tests = _selected(written, rego.tests if rego is not None else (), run)
    snapshot = build_snapshot(issuer.trusted, KeySets(), VerifiedTokens())
    return Bench(loaded, suites, Runner(snapshot, STATUSES, issuer.sign), rego, rego_tests, tuple(notes))


def _read_rego(files: Sequence[str], loaded: LoadedSet) -> RegoSuite | None:
    """The tests in Rego, compiled with the modules of the set."""
    if not files:
        return None
    modules = [Module(file, _text(file)) for file in files]
    suite = RegoSuite(loaded.rego or RegoSources((), (), plan_with_default), modules)
    tested = {test.span.file for test in suite.tests}
    empty = [file for file in files if file not in tested]
    if empty:
        raise ConfigurationError(f"{empty[0]} has no tests: a test is a rule whose name begins with test_")
    return suite


def _text(file: str) -> str:
    try:
        return read_regular_file(file).decode()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file} is not UTF-8: save it as UTF-8") from error


def _beside(policies: Sequence[str]) -> list[str]:
    """The test files of policy files that are named themselves."""
    files = [path for path in map(Path, policies) if path.is_file()]
    candidates = [path.with_name(f"{path.stem}_test{path.suffix}") for path in files]
    return [str(path) for path in candidates if path.is_file()]


def _suggested(policy: str) -> str:
    if os.path.isdir(policy):  # noqa: PTH112 - text, kept as the user wrote it
        return os.path.join(policy, "policy_test.yaml")  # noqa: PTH118 - likewise
    stem, ending = os.path.splitext(policy)  # noqa: PTH122 - likewise
    return f"{stem}_test{ending}"


def _read(files: Sequence[str], surroundings: Surroundings) -> list[Suite]:
    suites: list[Suite] = []
    found: list[Diagnostic] = []
    for file in files:
        try:
            content = read_regular_file(file)
        except OSError as error:
            raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from error
        try:
            suites.append(parse_suite(file, content, surroundings))
        except PolicyError as error:
            found += error.diagnostics
    if found:
        raise PolicyError(found)
    return suites


def _recorded(path: Path, policy_set: PolicySet, surroundings: Surroundings, notes: list[str]) -> Suite:
    """The tests that a record is; their names have the ids of the recorded decisions."""
    tests, file = RecordedTests(policy_set), RecordFile(str(path))
    try:
        with path.open("rb") as stream:
            for _, each in file.read(stream):
                tests.add(each)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    content = tests.text(str(path))
    if content is None:
        raise ConfigurationError(f"{path}: none of its records can be a test")
    if file.is_cut_off:
        notes.append(f"{path} ends in the middle of line {file.records + 1}: the records before it were used")
    if tests.left_out:
        notes.append(f"{path}: {tests.left_out} kinds of requests were left out, which a test cannot say")
    return parse_suite(f"{path}, as tests", content, surroundings)


def _read_capture(content: bytes) -> CheckedRequest:
    """JSON, or the serialised message, whose first byte is a line feed."""
    is_json = content.lstrip().startswith(b"{")
    return read_check_request(message_from_json(content) if is_json else content)


def _selected(
    suites: Sequence[Suite], rego: Sequence[RegoTest], run: str | None
) -> tuple[tuple[Suite, ...], tuple[RegoTest, ...]]:
    """The tests whose names match; of Rego the rule's own name is enough."""
    if run is None:
        return tuple(suites), tuple(rego)
    matches: Callable[[Case], bool] = lambda case: fnmatch.fnmatchcase(case.name, run)  # noqa: E731 - one use
    chosen = [Suite(suite.path, tuple(filter(matches, suite.cases))) for suite in suites]
    names = {test: (test.name, test.path.rpartition("/")[2]) for test in rego}
    rego_chosen = tuple(test for test in rego if any(fnmatch.fnmatchcase(name, run) for name in names[test]))
    if not rego_chosen and not any(suite.cases for suite in chosen):
        total = sum(len(suite.cases) for suite in suites) + len(rego)
        raise ConfigurationError(f"--run {run!r} selects none of {total} tests")
    return tuple(suite for suite in chosen if suite.cases), rego_chosen
