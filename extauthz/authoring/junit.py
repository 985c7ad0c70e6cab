"""Test results as JUnit XML, which CI systems read: a suite per file, a failure per test that failed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from extauthz.authoring.failure import Line
from extauthz.authoring.rego_tests import RegoTestResult, Verdict
from extauthz.authoring.run import CaseResult

# XML 1.0 section 2.2: no escape makes these part of a document.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class SuiteResult:
    """The results of one file."""

    path: str
    results: tuple[CaseResult, ...]
    failures: dict[str, tuple[Line, ...]]
    """What is to be said of each test that failed, by its name."""
    seconds: float


@dataclass(frozen=True, slots=True)
class RegoSuiteResult:
    """The results of one file in Rego."""

    path: str
    results: tuple[RegoTestResult, ...]
    seconds: float

    @property
    def failures(self) -> tuple[RegoTestResult, ...]:
        """What failed or could not be evaluated."""
        return tuple(each for each in self.results if each.verdict in {Verdict.FAILED, Verdict.ERRORED})


def junit_xml(suites: Sequence[SuiteResult], rego: Sequence[RegoSuiteResult] = ()) -> str:
    """The document, with a declaration and a final newline."""
    root = ET.Element("testsuites", _counts([*suites, *rego]))
    for rego_suite in rego:
        element = ET.SubElement(root, "testsuite", {"name": _xml(rego_suite.path), **_counts([rego_suite])})
        for rego_result in rego_suite.results:
            _add_rego_case(element, rego_suite, rego_result)
    for suite in suites:
        element = ET.SubElement(root, "testsuite", {"name": _xml(suite.path), **_counts([suite])})
        for result in suite.results:
            _add_case(element, suite, result)
    ET.indent(root)
    body = ET.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _counts(suites: Sequence[SuiteResult | RegoSuiteResult]) -> dict[str, str]:
    rego = [result for suite in suites if isinstance(suite, RegoSuiteResult) for result in suite.results]
    errors = sum(result.verdict is Verdict.ERRORED for result in rego)
    skipped = sum(result.verdict is Verdict.SKIPPED for result in rego)
    return {
        "tests": str(sum(len(suite.results) for suite in suites)),
        "failures": str(sum(len(suite.failures) for suite in suites) - errors),
        "errors": str(errors),
        **({"skipped": str(skipped)} if skipped else {}),
        "time": f"{sum(suite.seconds for suite in suites):.3f}",
    }


def _add_case(suite_element: ET.Element, suite: SuiteResult, result: CaseResult) -> None:
    case = result.case
    place = {"file": _xml(case.span.file), "line": str(case.span.line)}
    element = ET.SubElement(
        suite_element, "testcase", {"classname": _xml(suite.path), "name": _xml(case.name), **place}
    )
    lines = suite.failures.get(case.name)
    if lines is not None:
        failure = ET.SubElement(element, "failure", {"message": _xml(f"{lines[0].label}: {lines[0].text}")})
        failure.text = _xml("\n".join([str(case.expect.span), *(f"{line.label}: {line.text}" for line in lines)]))


_REGO_ELEMENTS = {Verdict.FAILED: "failure", Verdict.ERRORED: "error", Verdict.SKIPPED: "skipped"}


def _add_rego_case(suite_element: ET.Element, suite: RegoSuiteResult, result: RegoTestResult) -> None:
    place = {"file": _xml(result.span.file), "line": str(result.span.line)}
    element = ET.SubElement(
        suite_element, "testcase", {"classname": _xml(suite.path), "name": _xml(result.name), **place}
    )
    kind = _REGO_ELEMENTS.get(result.verdict)
    if kind is not None:
        problem = ET.SubElement(element, kind, {"message": _xml(result.problem)} if result.problem else {})
        problem.text = _xml("\n".join([str(result.span), *result.printed]))


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
