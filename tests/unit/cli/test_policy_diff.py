import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from tests.suites import SHOP


@pytest.fixture(autouse=True)
def sets(tmp_path, monkeypatch):
    """A set, one that lets less through, and one that lets more through."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("old.yaml").write_text(SHOP)
    Path("narrower.yaml").write_text(SHOP.replace("[office.read, office.write]", "office.read"))
    Path("wider.yaml").write_text(SHOP.replace("office.write]", "office.write, office.admin]"))


def test_same_sets(capsys):
    """Exit 0."""
    assert run(["policy", "diff", "old.yaml", "old.yaml"]) == 0
    assert "no difference: both sets decide every request alike\n" in capsys.readouterr().out


def test_differences_are_a_negative_answer(capsys):
    """In any direction; each with an example."""
    assert run(["policy", "diff", "old.yaml", "narrower.yaml"]) == EXIT_NEGATIVE
    out = capsys.readouterr().out
    assert "ALLOW -> DENY\n" in out
    assert "      who:   somebody with a token of corp: scope office.write\n" in out


def test_only_widening_fails_where_that_is_asked(capsys):
    """What lets less through is shown and passes."""
    assert run(["policy", "diff", "old.yaml", "narrower.yaml", "--fail-on", "widened"]) == 0
    assert run(["policy", "diff", "old.yaml", "wider.yaml", "--fail-on", "widened"]) == EXIT_NEGATIVE
    assert "DENY -> ALLOW\n" in capsys.readouterr().out


def test_widening_that_cannot_be_excluded_fails():
    """A provider that accepts more tokens."""
    Path("provider.yaml").write_text(SHOP.replace("audiences: [shop]", "audiences: any"))
    assert run(["policy", "diff", "old.yaml", "provider.yaml", "--fail-on", "widened"]) == EXIT_NEGATIVE


def test_other_forms(capsys):
    """For programs, and for comments on changes."""
    assert run(["policy", "diff", "old.yaml", "wider.yaml", "--format", "json"]) == EXIT_NEGATIVE
    assert json.loads(capsys.readouterr().out)["differences"][0]["to"] == "allow"
    assert run(["policy", "diff", "old.yaml", "wider.yaml", "--format", "markdown"]) == EXIT_NEGATIVE
    assert capsys.readouterr().out.startswith("# Policy difference: shop ")


def test_broken_sets_are_wrong_input(capsys):
    """Never equal to anything."""
    Path("broken.yaml").write_text("version: 2\n")
    assert run(["policy", "diff", "old.yaml", "broken.yaml"]) == EXIT_WRONG_INPUT
    assert "EAZ208" in capsys.readouterr().err
    assert run(["policy", "diff", "gone.yaml", "old.yaml"]) == EXIT_WRONG_INPUT
    assert run(["policy", "diff", "old.yaml"]) == EXIT_WRONG_INPUT
