import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from tests.suites import SHOP


@pytest.fixture(autouse=True)
def policy(tmp_path, monkeypatch):
    """A set in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(SHOP)


def test_explanation_is_that_of_decide(capsys):
    """`policy explain` is `decide --explain` under the name where authors look for it."""
    arguments = ["policy.yaml", "--path", "/orders/7", "--claims", '{"sub": "a"}', "--at", "2026-03-02T10:00:00Z"]
    assert run(["policy", "explain", *arguments, "--format", "json"]) == EXIT_NEGATIVE
    explained = json.loads(capsys.readouterr().out)
    assert run(["decide", "--explain", *arguments, "--format", "json"]) == EXIT_NEGATIVE
    decided = json.loads(capsys.readouterr().out)
    assert explained["explanation"] == decided["explanation"]
    assert explained["explanation"]["nearest"][0]["tried"] is True


def test_request_has_to_be_given(capsys):
    """One line, exit 3."""
    assert run(["policy", "explain", "policy.yaml"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == "extauthz: which request? Give --path, or a captured one by --request\n"
