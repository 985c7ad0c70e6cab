"""Collects the case files: every case is a test through every engine, `decisions/paths.yaml::it [envoy]`.

What an engine leaves out is printed at the end with the reason. Without an Envoy its tests are skipped, or fail when
`EXTAUTHZ_REQUIRE` names it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from extauthz.errors import EnvironmentUnfitError, PolicyError
from tests.harness.answer import differences
from tests.harness.case import ENGINES, Case, CaseError, CaseSet, read_case_sets
from tests.harness.stand import Stand, envoy_or_skip

STAND = pytest.StashKey[Stand]()
LEFT_OUT = pytest.StashKey[Counter[tuple[str, str]]]()


def pytest_collect_file(parent: pytest.Collector, file_path: Path) -> CaseFile | None:
    return CaseFile.from_parent(parent, path=file_path) if file_path.suffix == ".yaml" else None


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEFT_OUT] = Counter()


def pytest_sessionfinish(session: pytest.Session) -> None:
    if STAND in session.config.stash:
        session.config.stash[STAND].__exit__()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = config.stash[LEFT_OUT]
    if not left_out:
        return
    terminalreporter.section("cases left out")
    for (engine, reason), count in sorted(left_out.items()):
        terminalreporter.line(f"{engine}: {count} because {reason}")


class CaseFile(pytest.File):
    """A case file; its children are its cases, each once for every engine that runs it."""

    def collect(self) -> Iterator[CaseItem]:
        left_out = self.config.stash[LEFT_OUT]
        for case_set in read_case_sets(self.path):
            for case in case_set.cases:
                for engine in ENGINES:
                    if engine in case.left_out:
                        left_out[engine, case.left_out[engine]] += 1
                    else:
                        yield CaseItem.from_parent(
                            self, name=f"{case.it} [{engine}]", case_set=case_set, case=case, engine=engine
                        )

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: str | None = None) -> str:
        if isinstance(excinfo.value, CaseError):
            return str(excinfo.value)
        return str(super().repr_failure(excinfo))


class DifferenceError(Exception):
    """An answer that is not the one expected."""


class CaseItem(pytest.Item):
    """One case through one engine."""

    def __init__(self, *, case_set: CaseSet, case: Case, engine: str, **kwargs) -> None:
        super().__init__(**kwargs)
        self.case_set = case_set
        self.case = case
        self.engine = engine
        if engine == "envoy":
            self.add_marker(pytest.mark.envoy)

    def runtest(self) -> None:
        stand = _stand(self.session)
        site = stand.site(self.case_set)
        assert site.policy_set.routes  # a set that does not load fails here, for every engine
        engine = envoy_or_skip(stand) if self.engine == "envoy" else stand.engine(self.engine)
        answer = engine.ask(site, self.case.request)
        found = differences(self.case.expected_of(self.engine), answer)
        if found:
            raise DifferenceError("\n".join([*found, f"in all: {answer}"]))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: str | None = None) -> str:
        if isinstance(excinfo.value, DifferenceError | PolicyError | EnvironmentUnfitError):
            return f"{self.path}:{self.case.line}: {self.case.it} [{self.engine}]\n{excinfo.value}"
        return str(super().repr_failure(excinfo))

    def reportinfo(self) -> tuple[Path, int, str]:
        return self.path, self.case.line - 1, self.name


def _stand(session: pytest.Session) -> Stand:
    """The run's stand, over the sets of all selected cases."""
    stash = session.config.stash
    if STAND not in stash:
        items: Iterable[pytest.Item] = session.items
        sets = {id(item.case_set): item.case_set for item in items if isinstance(item, CaseItem)}
        stash[STAND] = Stand(sets.values())
    return stash[STAND]
