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
from extauthz.authoring.run import Runner
from extauthz.authoring.suite import Case, Suite
from extauthz.authorizer import build_snapshot
from extauthz.check.capture import message_from_json
from extauthz.check.request import CheckedRequest, read_check_request
from extauthz.check.response import ANSWERS
from extauthz.cli.throwaway import ThrowAwayIssuer
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.model.policy import PolicySet
from extauthz.model.source import Diagnostic
from extauthz.sources.policy_files import LoadedSet, load, read_regular_file
from extauthz.sources.policy_walk import TEST_ENDINGS

STATUSES = {reason: answering.status for reason, answering in ANSWERS.items()}


@dataclass(frozen=True, slots=True)
class Bench:
    """A set under test."""

    loaded: LoadedSet
    suites: tuple[Suite, ...]
    runner: Runner

    @property
    def policy_set(self) -> PolicySet:
        return self.runner.snapshot.policy_set


def load_bench(paths: Sequence[Path], values: Path | None, *, run: str | None = None) -> Bench:
    """Load the set and its tests.

    Test files are those in the folders, and beside a file `x.yaml` its `x_test.yaml`; those that are named themselves
    are then the only ones.

    Args:
        paths: policy files and folders, and test files.
        values: what `${NAME}` stands for.
        run: only the tests whose names match this pattern.

    Raises:
        ConfigurationError: a path cannot be used, or there is nothing to run.
        PolicyError: the set, or a test file, is broken.
    """
    named = [str(path) for path in paths if path.name.lower().endswith(TEST_ENDINGS)]
    policies = [str(path) for path in paths if str(path) not in named]
    if not policies:
        raise ConfigurationError(f"{named[0]} is a test file: name the policy that it tests, too")
    loaded = load(policies, values_file=None if values is None else str(values))
    files = named or sorted({*loaded.tests, *_beside(policies)})
    if not files:
        raise ConfigurationError(f"no tests: write {_suggested(policies[0])} (`policy new` shows one)")
    issuer = ThrowAwayIssuer(loaded.parsed.policy_set)
    surroundings = Surroundings(
        policy_set=issuer.trusted,
        statuses=STATUSES,
        read_file=read_regular_file,
        read_capture=_read_capture,
        now=time.time(),  # noqa: TID251 - a command reads the clock and hands it on
    )
    suites = _selected(_read(files, surroundings), run)
    snapshot = build_snapshot(issuer.trusted, KeySets(), VerifiedTokens())
    return Bench(loaded, suites, Runner(snapshot, STATUSES, issuer.sign))


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


def _read_capture(content: bytes) -> CheckedRequest:
    """JSON, or the serialised message, whose first byte is a line feed."""
    is_json = content.lstrip().startswith(b"{")
    return read_check_request(message_from_json(content) if is_json else content)


def _selected(suites: Sequence[Suite], run: str | None) -> tuple[Suite, ...]:
    if run is None:
        return tuple(suites)
    matches: Callable[[Case], bool] = lambda case: fnmatch.fnmatchcase(case.name, run)  # noqa: E731 - one use
    chosen = [Suite(suite.path, tuple(filter(matches, suite.cases))) for suite in suites]
    if not any(suite.cases for suite in chosen):
        raise ConfigurationError(f"--run {run!r} selects none of {sum(len(s.cases) for s in suites)} tests")
    return tuple(suite for suite in chosen if suite.cases)
