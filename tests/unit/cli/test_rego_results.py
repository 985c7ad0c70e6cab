"""Tests in Rego, as somebody at a terminal runs them."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run

FILES = {
    "policy.yaml": """\
version: 1
routes:
  - {name: a, path: "/a/{x}", authentication: none, allow: [{rego: data.shop.allow}]}
""",
    "rules.rego": 'package shop\n\nallow if {\n\tprint("asked", input.path.x)\n\tinput.path.x == "1"\n}\n',
    "rules_test.rego": """\
package shop_test

test_one if data.shop.allow with input as {"path": {"x": "1"}}

test_two if data.shop.allow with input as {"path": {"x": "2"}}

test_broken if to_number("x") == 1

todo_test_more if false
""",
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # an OPA there would compile the modules, without what they print
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)


def test_failures_are_shown_with_what_was_printed(capsys):
    """Name, place, problem and the rules' own words; exit 2."""
    assert run(["policy", "test", "."]) == EXIT_NEGATIVE
    out = capsys.readouterr().out
    assert out.startswith(
        "rules_test.rego 2 of 3 tests failed, 1 to do\n"
        "  FAIL  data.shop_test.test_two\n"
        "        rules_test.rego:5:1\n"
        "        problem  it is undefined\n"
        "        printed  asked 2\n"
        "  ERROR data.shop_test.test_broken\n"
        "        rules_test.rego:7:1\n"
        "        problem  rules_test.rego:7: to_number: "
    )
    assert "\n2 failed, 1 passed, 1 to do in " in out


def test_both_languages_are_one_run(capsys):
    """Tests in YAML stand beside those in Rego, and a name selects from both."""
    Path("policy_test.yaml").write_text("tests: [{name: one, request: {path: /a/1}, expect: allow}]\n")
    assert run(["policy", "test", "policy.yaml", "rules.rego", "--run", "*one"]) == 0
    assert capsys.readouterr().out.startswith("rules_test.rego 1 test passed\npolicy_test.yaml 1 test passed\n2 passed")
    assert run(["policy", "test", ".", "--run", "test_one"]) == 0
    assert run(["policy", "test", ".", "--run", "none"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.endswith("selects none of 5 tests\n")


def test_results_for_programs(capsys):
    """JSON and JUnit say of each test what came of it."""
    assert run(["policy", "test", ".", "--format", "json"]) == EXIT_NEGATIVE
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["tests"], found["failures"], found["skipped"]) == (False, 3, 2, 1)
    (suite,) = found["rego"]
    assert [case["verdict"] for case in suite["cases"]] == ["passed", "failed", "errored", "skipped"]
    assert suite["cases"][1]["printed"] == ["asked 2"]
    assert run(["policy", "test", ".", "--format", "junit"]) == EXIT_NEGATIVE
    root = ET.fromstring(capsys.readouterr().out)
    assert {name: root.get(name) for name in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4",
        "failures": "1",
        "errors": "1",
        "skipped": "1",
    }
    assert [[child.tag for child in case] for case in root[0]] == [[], ["failure"], ["error"], ["skipped"]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("rules_test.rego", "package t\n\nr := 1\n", "rules_test.rego has no tests"),
        ("rules_test.rego", "package t\n\ntest_a if {\n", "rules_test.rego:"),
        ("rules_test.rego", "package t\n\ntest_a if nope()\n", "rules_test.rego:3:"),
    ],
)
def test_files_that_test_nothing(name, text, message, capsys):
    """A file without tests, or one that is broken, is wrong input and never a run that passes."""
    Path(name).write_text(text)
    assert run(["policy", "test", "."]) == EXIT_WRONG_INPUT
    assert message in capsys.readouterr().err


def test_a_test_file_alone(capsys):
    """It tests a policy, which is to be named."""
    assert run(["policy", "test", "rules_test.rego"]) == EXIT_WRONG_INPUT
    assert "rules_test.rego is a test file: name the policy that it tests, too" in capsys.readouterr().err


def test_lines_count_as_coverage(capsys):
    """Of the modules, whoever evaluates them."""
    Path("rules_test.rego").write_text("package t\n\ntest_a if not data.shop.allow\n")
    assert run(["policy", "coverage", ".", "--kind", "rego"]) == 0
    out = capsys.readouterr().out
    assert "rego   3 of 3" in out
