import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from tests.suites import SHOP

TESTS = """\
principals: {clerk: {token: {roles: [clerk]}}}
tests:
  - {name: a clerk lists, principal: clerk, request: {path: /orders}, expect: %s}
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """A set and its tests in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(SHOP)
    Path("policy_test.yaml").write_text(TESTS % "allow")


def test_shares_and_what_is_missing(capsys):
    """A table, then each thing that no test exercises, at its place."""
    assert run(["policy", "coverage", "."]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["route", "1", "of", "7", "14.3", "%"] in lines
    assert ["rule", "list.allow.staff", "never", "unsatisfied", "policy.yaml:22:57"] in lines


def test_threshold_decides_the_exit_code(capsys):
    """Over the kinds that count."""
    assert run(["policy", "coverage", ".", "--fail-under", "50"]) == EXIT_NEGATIVE
    assert capsys.readouterr().err.endswith("% is under the 50 % asked for\n")
    assert run(["policy", "coverage", ".", "--fail-under", "100", "--kind", "role"]) == 0
    assert run(["policy", "coverage", ".", "--fail-under", "101"]) == EXIT_WRONG_INPUT


def test_failing_tests_are_no_coverage(capsys):
    """What they exercise is shown, and the exit code says that they fail."""
    Path("policy_test.yaml").write_text(TESTS % "deny")
    assert run(["policy", "coverage", "."]) == EXIT_NEGATIVE
    assert capsys.readouterr().err == "1 test failed: see `extauthz policy test`\n"


def test_marked_source(capsys):
    """Every line of the policy with its mark."""
    assert run(["policy", "coverage", ".", "--format", "source", "--kind", "route", "--kind", "rule"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "policy.yaml"
    assert lines[22].startswith("~   22    - {name: list, ")
    assert lines[22].endswith("  # list.allow.staff: never unsatisfied")
    assert len(lines) == len(SHOP.splitlines()) + 1


def test_json_and_lcov_for_programs(capsys):
    """Items with their places, and a tracefile."""
    assert run(["policy", "coverage", ".", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kinds"]["route"] == {"seen": 1, "of": 7, "percent": 14.29}
    item = next(item for item in document["items"] if item["name"] == "list.allow.staff")
    assert (item["line"], item["seen"], item["missing"]) == (22, {"satisfied": 1}, ["unsatisfied"])
    assert run(["policy", "coverage", ".", "--format", "lcov"]) == 0
    assert capsys.readouterr().out.startswith("TN:\nSF:policy.yaml\nBRDA:")
