import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from tests.suites import SHOP

TESTS = """\
principals: {clerk: {token: {roles: [clerk]}}}
requests: {list: {path: /orders}}
tests:
  - {name: a clerk lists, principal: clerk, request: list, expect: allow}
  - {name: anybody lists, request: list, expect: %s}
"""


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch):
    """A set and its tests in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(SHOP)
    Path("policy_test.yaml").write_text(TESTS % "401")


def test_passing_run(capsys):
    """One line for each file, and the sum."""
    assert run(["policy", "test", "policy.yaml"]) == 0
    first, last = capsys.readouterr().out.splitlines()
    assert first == "policy_test.yaml 2 tests passed"
    assert last.startswith("2 passed in ")


def test_failure_is_explained_at_its_place(capsys):
    """The test's place, expected and decided, the deciding rule's place; exit 2."""
    Path("policy_test.yaml").write_text(TESTS % "allow")
    assert run(["policy", "test", "."]) == EXIT_NEGATIVE
    lines = capsys.readouterr().out.splitlines()
    missing = "a credential of corp (none is presented) and permission orders:read (role reader)"
    assert lines[:-1] == [
        "policy_test.yaml 1 of 2 tests failed",
        "  FAIL anybody lists",
        "       policy_test.yaml:5:50",
        "       effect        expected allow, decided deny",
        "       decision      deny 401 credential_missing",
        "       route         list  policy.yaml:22:5",
        f"       nearest miss  {missing}  -> list.allow.staff",
    ]
    assert lines[-1].startswith("1 failed, 1 passed in ")


def test_broken_test_file_is_no_passing_test(capsys):
    """Diagnostics as of a policy, exit 3, and nothing is run."""
    Path("policy_test.yaml").write_text(TESTS % "alow")
    assert run(["policy", "test", "."]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("policy_test.yaml:5:50: EAZ205 ")


def test_selection_that_selects_nothing_fails(capsys):
    """One line that says so, exit 3."""
    assert run(["policy", "test", ".", "--run", "no such test"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == "extauthz: --run 'no such test' selects none of 2 tests\n"
    assert run(["policy", "test", ".", "--run", "a clerk*"]) == 0


def test_json_for_programs(capsys):
    """Every test with its place and what differs."""
    Path("policy_test.yaml").write_text(TESTS % "allow")
    assert run(["policy", "test", ".", "--format", "json"]) == EXIT_NEGATIVE
    document = json.loads(capsys.readouterr().out)
    assert (document["ok"], document["tests"], document["failures"]) == (False, 2, 1)
    passed, failed = document["suites"][0]["cases"]
    assert (passed["passed"], passed["policies"], passed["line"]) == (True, ["list.allow.staff"], 4)
    assert failed["differences"] == [{"what": "effect", "expected": "allow", "decided": "deny"}]
    assert failed["reason"] == "credential_missing"


def test_junit_for_ci(capsys):
    """A document that CI systems read, failures included."""
    Path("policy_test.yaml").write_text(TESTS % "allow")
    assert run(["policy", "test", ".", "--format", "junit"]) == EXIT_NEGATIVE
    root = ET.fromstring(capsys.readouterr().out)
    assert (root.get("tests"), root.get("failures")) == ("2", "1")


def test_terminal_is_not_driven_by_a_test_name(capsys):
    """Control characters in names are shown, never sent."""
    Path("policy_test.yaml").write_text('tests: [{name: "a\\u202eb", request: {path: /orders}, expect: allow}]')
    assert run(["policy", "test", "."]) == EXIT_NEGATIVE
    assert "FAIL a\\u202eb" in capsys.readouterr().out


def test_watch_runs_again_when_a_file_changes():
    """Until interrupted: a broken file is reported and does not end the watch."""
    command = [sys.executable, "-m", "extauthz", "policy", "test", ".", "--watch"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as watch:
        assert watch.stdout is not None
        lines = iter(watch.stdout)
        try:
            assert next(line for line in lines if "passed in" in line).startswith("2 passed")
            _until(lines, "policy_test.yaml", TESTS % "alow", "EAZ205")
            _until(lines, "policy_test.yaml", TESTS % "allow", "1 failed, 1 passed")
        finally:
            watch.send_signal(signal.SIGINT)
        assert watch.wait(10) == 130


def _until(lines, file: str, text: str, wanted: str) -> None:
    """Write the file again and again, until the watch has seen it: it may not be watching yet at the first time."""
    seen = threading.Event()

    def write() -> None:
        while not seen.is_set():
            Path(file).write_text(text)
            seen.wait(1)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert next(line for line in lines if wanted in line)
    finally:
        seen.set()
        writer.join()
