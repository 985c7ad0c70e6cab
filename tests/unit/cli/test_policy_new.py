from pathlib import Path

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run
from extauthz.sources.policy_files import load


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_set_is_written_and_works(capsys):
    """The folder's name is the set's and its audience, and everything passes."""
    assert run(["policy", "new", "docs", "--issuer", "https://login.example/"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "wrote docs/policy.yaml",
        "wrote docs/policy_test.yaml",
        "next: extauthz policy test docs; extauthz policy matrix docs",
    ]
    policy_set = load(["docs"]).parsed.policy_set
    assert (policy_set.name, policy_set.providers[0].audiences) == ("docs", ("docs",))
    assert policy_set.providers[0].issuer == "https://login.example/"
    assert run(["policy", "test", "docs"]) == 0
    assert run(["policy", "coverage", "docs", "--fail-under", "100"]) == 0


def test_files_that_exist_are_left_alone(capsys):
    """Neither is overwritten, and nothing is written beside them."""
    Path("docs").mkdir()
    Path("docs/policy_test.yaml").write_text("mine")
    assert run(["policy", "new", "docs"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == (
        "extauthz: docs/policy_test.yaml exists: name another folder, or remove it first\n"
    )
    assert [path.name for path in Path("docs").iterdir()] == ["policy_test.yaml"]
    assert Path("docs/policy_test.yaml").read_text() == "mine"


def test_flags_that_make_no_policy_are_refused(capsys):
    """Before anything is written."""
    assert run(["policy", "new", "docs", "--issuer", "http://plain.example"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.startswith("extauthz: the flags make no policy: keys fetched over plain http")
    assert not Path("docs").exists()
