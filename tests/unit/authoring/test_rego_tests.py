import pytest

from extauthz.authoring.rego_tests import RegoSuite, RegoTestResult, Verdict
from extauthz.errors import PolicyError
from extauthz.languages.policy_yaml.rego import RegoSources
from extauthz.languages.rego import DataFile, Module
from extauthz.languages.rego.marks import LineMarks
from extauthz.sources.rego_planner import plan_with_regopy

POLICY = Module(
    "rules.rego",
    """package shop.reports

# reads input, and "input"
allow if {
	startswith(input.claims.sub, "a")
	print("asked", input.claims.sub, input.missing)
	input.path.tenant in data.tenants
}
""",
)
TESTS = """package shop.reports_test

import data.shop.reports

test_passes if reports.allow with input as {"claims": {"sub": "alice"}, "path": {"tenant": "acme"}}

test_fails if reports.allow with input as {"claims": {"sub": "alice"}, "path": {"tenant": "other"}}

test_is_false := false

test_errs if to_number("x") > 0

test_one_leaf if { not reports.allow with input.claims.sub as "bob" }

test_other_data if {
	asked := {"claims": {"sub": "alice"}, "path": {"tenant": "other"}}
	reports.allow with input as asked with data.tenants as ["other"]
}

test_at_a_time if time.now_ns() == 1800000000000000000

test_cases[name] if {
	some name, tenant in {"one": "acme", "two": "acme"}
	reports.allow with input as {"claims": {"sub": "alice"}, "path": {"tenant": tenant}}
}

todo_test_later if false

no_test if false
"""
NOW = 1_800_000_000.0


def suite(tests: str = TESTS) -> RegoSuite:
    data = [DataFile("data.json", (), b'{"tenants": ["acme"]}')]
    return RegoSuite(RegoSources([POLICY], data, plan_with_regopy), [Module("rules_test.rego", tests)])


@pytest.fixture(scope="module")
def results() -> dict[str, RegoTestResult]:
    whole = suite()
    found = [result for test in whole.tests for result in whole.run(test, NOW)]
    return {result.name.removeprefix("data.shop.reports_test."): result for result in found}


@pytest.mark.parametrize(
    ("name", "verdict", "problem"),
    [
        ("test_passes", Verdict.PASSED, ""),
        ("test_fails", Verdict.FAILED, "it is undefined"),
        ("test_is_false", Verdict.FAILED, "it is not true"),
        ("test_errs", Verdict.ERRORED, "rules_test.rego:11: to_number: "),
        ("test_one_leaf", Verdict.PASSED, ""),
        ("test_other_data", Verdict.PASSED, ""),
        ("test_at_a_time", Verdict.PASSED, ""),
        ('test_cases["one"]', Verdict.PASSED, ""),
        ('test_cases["two"]', Verdict.PASSED, ""),
        ("todo_test_later", Verdict.SKIPPED, ""),
    ],
)
def test_what_comes_of_tests(results, name, verdict, problem):
    """True passes, everything else does not, errors are told from failures, and what is to do is skipped."""
    assert results[name].verdict is verdict
    assert results[name].problem.startswith(problem)


def test_only_tests_run(results):
    """Whatever else the module defines."""
    assert len(results) == 10


def test_results_say_where(results):
    """By the line at which the test begins."""
    assert str(results["test_fails"].span) == "rules_test.rego:7:1"


def test_what_is_printed_is_kept(results):
    """With its values, and what is undefined."""
    assert results["test_fails"].printed == ("asked alice <undefined>",)
    assert results["test_errs"].printed == ()


@pytest.mark.parametrize(
    ("tests", "place"),
    [
        ("package t\n\ntest_a if nope(1)\n", "rules_test.rego:3:"),
        ("package t\n\ntest_a if {\n", "rules_test.rego:"),
        ("test_a if true\n", "rules_test.rego:1:1"),
    ],
)
def test_broken_tests(tests, place):
    """A test that cannot be compiled is an error at its place, not a test that passes."""
    with pytest.raises(PolicyError) as caught:
        suite(tests)
    assert str(caught.value).startswith(place)


def test_lines_are_counted():
    """Of the policy and the tests, from when that is asked for."""
    whole, marks = suite(), LineMarks()
    whole.count_lines(marks)
    whole.run(whole.tests[1], NOW)
    lines = {line: count for (file, line), count in marks.by_line.items() if file == "rules.rego"}
    assert lines.keys() == {4, 5, 6, 7} or lines.keys() == {5, 6, 7}
    assert all(lines[number] for number in (5, 6, 7))
    before = dict(marks.by_line)
    suite().run(whole.tests[0], NOW)
    assert marks.by_line == before
