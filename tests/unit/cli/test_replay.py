import json
from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.authoring.record import RefusedCredential, record_line
from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from extauthz.model.decision import Reason
from tests.records import record
from tests.suites import SHOP

WIDER = SHOP.replace("{name: staff, role: clerk}", "{name: staff, role: reader}")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A log, the set that it was recorded under, and one that allows more."""
    monkeypatch.chdir(tmp_path)
    Path("old.yaml").write_text(SHOP)
    Path("new.yaml").write_text(WIDER)
    Path("log.jsonl").write_text(record_line(record("/orders/8")) + record_line(record("/healthz", None)))


def test_the_same_set_changes_nothing(capsys):
    """Exit 0."""
    assert run(["replay", "log.jsonl", "old.yaml"]) == 0
    assert capsys.readouterr().out == "2 records: every one is decided as it was\n"


def test_a_wider_set_is_a_negative_answer(capsys):
    """Unless the change is accepted."""
    assert run(["replay", "log.jsonl", "new.yaml"]) == EXIT_NEGATIVE
    assert capsys.readouterr().out.startswith("DENY -> ALLOW\n")
    Path("accept.yaml").write_text("- {route: order, was: no_matching_allow}\n")
    assert run(["replay", "log.jsonl", "new.yaml", "--accept", "accept.yaml"]) == 0


def test_a_narrower_set_is_no_negative_answer(capsys):
    """It is told."""
    Path("log.jsonl").write_text(record_line(record("/orders/7")))
    Path("narrow.yaml").write_text(SHOP.replace("path.id in claims.orders", "path.id == 'none'"))
    assert run(["replay", "log.jsonl", "narrow.yaml"]) == 0
    assert capsys.readouterr().out.startswith("ALLOW -> DENY\n")


def test_json_for_programs(capsys):
    """With whether the log was cut off."""
    with Path("log.jsonl").open("a") as file:
        file.write('{"version"')
    assert run(["replay", "log.jsonl", "old.yaml", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["records"], document["ok"], document["cut_off"]) == (2, True, True)


def test_tests_are_written_and_pass(capsys):
    """Against the set that decided; a second time nothing is overwritten."""
    assert run(["replay", "log.jsonl", "old.yaml", "--write-test", "old_test.yaml"]) == 0
    assert capsys.readouterr().err == "wrote old_test.yaml\n"
    assert run(["policy", "test", "old.yaml"]) == 0
    assert run(["policy", "format", "old_test.yaml", "--check"]) == 0
    assert run(["policy", "test", "new.yaml", "old_test.yaml"]) == EXIT_NEGATIVE
    capsys.readouterr()
    assert run(["replay", "log.jsonl", "old.yaml", "--write-test", "old_test.yaml"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.startswith("extauthz: --write-test old_test.yaml exists: ")


def test_a_record_is_run_as_tests(capsys):
    """`policy test --from-record`: passes under the set that decided, fails under another; a cut-off line is told."""
    with Path("log.jsonl").open("a") as file:
        file.write('{"version"')
    assert run(["policy", "test", "old.yaml", "--from-record", "log.jsonl"]) == 0
    printed = capsys.readouterr()
    assert "log.jsonl, as tests" in printed.out
    assert "2 passed" in printed.out
    assert "ends in the middle of line 3" in " ".join(printed.err.split())
    assert run(["policy", "test", "new.yaml", "--from-record", "log.jsonl"]) == EXIT_NEGATIVE
    assert "GET /orders/8" in capsys.readouterr().out


@pytest.mark.parametrize("content", ["", "no record\n"])
def test_a_record_that_holds_no_test_is_an_error(content, capsys):
    """Never a passing run of nothing."""
    Path("log.jsonl").write_text(content)
    assert run(["policy", "test", "old.yaml", "--from-record", "log.jsonl"]) == EXIT_WRONG_INPUT
    assert "log.jsonl" in capsys.readouterr().err


def test_what_a_test_cannot_say_is_told(capsys):
    """And if that is everything, it is an error."""
    refused = record(caller=RefusedCredential(Reason.TOKEN_EXPIRED))
    Path("log.jsonl").write_text(record_line(refused))
    assert run(["replay", "log.jsonl", "old.yaml", "--write-test", "x_test.yaml"]) == EXIT_WRONG_INPUT
    error = capsys.readouterr().err
    assert error.startswith("left out: 1 kind of requests that a test cannot say")
    assert error.endswith("extauthz: --write-test x_test.yaml: none of the records can be a test\n")
    assert not Path("x_test.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jsonl", "old.yaml"], "missing.jsonl cannot be read: No such file or directory"),
        ([".", "old.yaml"], ". cannot be read: Is a directory"),
        (["empty.jsonl", "old.yaml"], "empty.jsonl holds no records: name a file that `serve --record` wrote"),
        (
            ["log.jsonl", "old.yaml", "--accept", "no.yaml"],
            "--accept no.yaml cannot be read: No such file or directory",
        ),
        (["log.jsonl", "old.yaml", "--write-test", "x.yaml"], "--write-test x.yaml: name it *_test.yaml, so that "),
        (["new.yaml", "old.yaml"], "new.yaml:1:1: not JSON: Expecting value"),
    ],
)
def test_wrong_input_is_told(arguments, message, capsys):
    """In one line, with exit 3."""
    Path("empty.jsonl").touch()
    assert run(["replay", *arguments]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.startswith(f"extauthz: {message}")


def test_a_record_is_decided_at_its_time():
    """A token that has expired since had not then."""
    long_ago = replace(record("/orders"), at=record("/orders").at - 3600)
    Path("log.jsonl").write_text(record_line(long_ago))
    assert run(["replay", "log.jsonl", "old.yaml"]) == 0
