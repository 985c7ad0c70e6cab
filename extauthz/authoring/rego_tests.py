"""Tests in Rego (`*_test.rego`): rules whose names begin with `test_`, as `opa test` runs them.

A test passes when it is true. It fails when it is anything else, and is an error when it cannot be evaluated, where a
built-in errs included, as in a policy set. What begins with `todo_test_` is skipped. Where a test is an object
(`test_x[case] if ...`), each member is a case of its own.

Modules are compiled with `input` read from the data document. So a test that replaces it (`with input as ...`) needs
nothing of the compiler but what `with data...` needs, which `regopy` does more of.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml.rego import RegoSources, compile_rego
from extauthz.languages.rego import UNDEFINED, Limits, Module, RegoEvaluationError, Value
from extauthz.languages.rego.condition import RegoPolicy
from extauthz.languages.rego.marks import LineMarks
from extauthz.languages.rego.modules import with_lines
from extauthz.languages.rego.regopy_source import without_texts
from extauthz.model.source import Span

TEST_BUDGET: Final = 5_000_000
"""Steps of one test: a few seconds."""

_INPUT: Final = "data.__input__"
_READ_INPUT = re.compile(r"(?<![\w.])input(?!\w)")
_TEST = re.compile(r"^(?P<name>(?:todo_)?test_\w+)", re.MULTILINE)


class Verdict(StrEnum):
    """What came of a test."""

    PASSED = "passed"
    FAILED = "failed"
    ERRORED = "errored"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class RegoTest:
    """A test, where it stands."""

    path: str
    """Of its rule: `shop/reports_test/test_owner`."""
    span: Span

    @property
    def name(self) -> str:
        return f"data.{self.path.replace('/', '.')}"

    @property
    def is_todo(self) -> bool:
        return self.path.rpartition("/")[2].startswith("todo_")


@dataclass(frozen=True, slots=True)
class RegoTestResult:
    """What came of one test, or of one case of a test that has several."""

    name: str
    span: Span
    verdict: Verdict
    problem: str = ""
    """Why it is not passed."""
    printed: tuple[str, ...] = ()
    """What the rules printed meanwhile."""


class RegoSuite:
    """The Rego tests of a set, compiled together with its modules."""

    def __init__(self, sources: RegoSources, tests: Sequence[Module]) -> None:
        """Compile modules and tests.

        Raises:
            PolicyError: with everything that is wrong with them.
        """
        self._given = [*sources.modules, *tests]
        rewritten = [Module(module.path, _with_input_in_data(module.text)) for module in self._given]
        try:
            self._policy: RegoPolicy = compile_rego(RegoSources(rewritten, sources.data, sources.planner))
        except PolicyError as error:
            raise PolicyError(with_lines(error.diagnostics, self._given)) from error
        known = frozenset(self._policy.program.rules)
        self.tests = tuple(test for module in self._given for test in _tests_of(module) if test.path in known)
        """In the order of the modules."""

    def count_lines(self, marks: LineMarks) -> None:
        """From now on, count what is evaluated."""
        self._policy.count_lines(marks)

    def run(self, test: RegoTest, now: float) -> tuple[RegoTestResult, ...]:
        """Evaluate one test; several results where it has cases."""
        if test.is_todo:
            return (RegoTestResult(test.name, test.span, Verdict.SKIPPED),)
        printed: list[str] = []
        try:
            value = self._policy.program.evaluate(
                test.path,
                now_ns=int(now * 1e9),
                strict=True,
                limits=Limits(budget=TEST_BUDGET),
                printed=printed,
            )
        except RegoEvaluationError as error:
            return (RegoTestResult(test.name, test.span, Verdict.ERRORED, str(error), tuple(printed)),)
        if type(value) is dict and value:
            return tuple(_judge(f"{test.name}[{json.dumps(case)}]", test, value[case], printed) for case in value)
        return (_judge(test.name, test, value, printed),)


def _judge(name: str, test: RegoTest, value: Value, printed: Sequence[str]) -> RegoTestResult:
    if value is True:
        return RegoTestResult(name, test.span, Verdict.PASSED, printed=tuple(printed))
    problem = "it is undefined" if value is UNDEFINED else "it is not true"
    return RegoTestResult(name, test.span, Verdict.FAILED, problem, tuple(printed))


def _tests_of(module: Module) -> Iterator[RegoTest]:
    """The tests of a module, each once; rules of one name are one test."""
    code, package = without_texts(module.text), module.package
    seen: set[str] = set()
    for match in _TEST.finditer(code):
        if match["name"] not in seen and package is not None:
            seen.add(match["name"])
            yield RegoTest(f"{package}/{match['name']}", module.span(match.start()))


def _with_input_in_data(text: str) -> str:
    """The module with every read of `input` as one of the data document; lines stay where they are."""
    pieces: list[str] = []
    end = 0
    for match in _READ_INPUT.finditer(without_texts(text)):
        pieces += (text[end : match.start()], _INPUT)
        end = match.end()
    return "".join((*pieces, text[end:]))
