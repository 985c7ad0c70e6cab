import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_NEGATIVE, EXIT_WRONG_INPUT, run

UNTIDY = "version:   1\nroutes:\n- {path: /a,name: x}   # why\n"
TIDY = "version: 1\nroutes:\n  - {name: x, path: /a}  # why\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A set in the working folder."""
    monkeypatch.chdir(tmp_path)
    Path("set").mkdir()
    Path("set/policy.yaml").write_text(UNTIDY)
    Path("set/policy_test.yaml").write_text("tests:\n  - {name: x, expect: deny, request: {path: /}}\n")


def test_files_are_written_in_place(capsys):
    """Policy and tests; what is in style already is not touched."""
    Path("set/other.yaml").write_text(TIDY)
    before = Path("set/other.yaml").stat()
    assert run(["policy", "format", "set"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "formatted set/policy.yaml",
        "formatted set/policy_test.yaml",
        "2 files of 3 changed",
    ]
    assert Path("set/policy.yaml").read_text() == TIDY
    assert Path("set/policy_test.yaml").read_text() == "tests:\n  - {name: x, request: {path: /}, expect: deny}\n"
    assert Path("set/other.yaml").stat() == before
    assert run(["policy", "format", "set", "--check"]) == 0


def test_mode_and_link_stay():
    """A file is replaced at once; a link to it stays one, and nothing is left beside it."""
    Path("set/policy.yaml").chmod(0o640)
    Path("link.yaml").symlink_to("set/policy.yaml")
    assert run(["policy", "format", "link.yaml"]) == 0
    assert Path("link.yaml").is_symlink()
    assert Path("set/policy.yaml").read_text() == TIDY
    assert Path("set/policy.yaml").stat().st_mode & 0o7777 == 0o640
    assert sorted(path.name for path in Path("set").iterdir()) == ["policy.yaml", "policy_test.yaml"]


def test_check_writes_nothing(capsys):
    """A difference is a negative answer."""
    assert run(["policy", "format", "set/policy.yaml", "--check"]) == EXIT_NEGATIVE
    assert capsys.readouterr().out == "would format set/policy.yaml\n1 file of 1 would change\n"
    assert Path("set/policy.yaml").read_text() == UNTIDY


def test_diff_is_a_patch(capsys):
    """Alone on standard output; nothing is written, and without --check nothing is wrong with it."""
    assert run(["policy", "format", "set/policy.yaml", "--diff"]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines()[:3] == ["--- set/policy.yaml", "+++ set/policy.yaml", "@@ -1,3 +1,3 @@"]
    assert captured.err == "1 file of 1 would change\n"
    assert Path("set/policy.yaml").read_text() == UNTIDY


def test_json_for_programs(capsys):
    """Every file, with what would change when asked."""
    assert run(["policy", "format", "set", "--check", "--diff", "--format", "json"]) == EXIT_NEGATIVE
    document = json.loads(capsys.readouterr().out)
    assert document["written"] is False
    assert [(file["file"], file["changed"]) for file in document["files"]] == [
        ("set/policy.yaml", True),
        ("set/policy_test.yaml", True),
    ]
    assert "+version: 1" in document["files"][0]["diff"]


def test_hidden_files_and_data_are_left_alone(capsys):
    """They are no policy."""
    for name in (".hidden.yaml", "data.yaml"):
        Path("set", name).write_text("a:   1\n")
    assert run(["policy", "format", "set", "--check"]) == EXIT_NEGATIVE
    assert capsys.readouterr().out.splitlines()[-1] == "2 files of 2 would change"


def test_nothing_is_written_when_one_file_cannot_be_read(capsys):
    """All that is wrong is told, at its place."""
    Path("set/broken.yaml").write_text("a: 1\na: 2\n")
    Path("set/worse.yaml").write_text("a: [\n")
    assert run(["policy", "format", "set"]) == EXIT_WRONG_INPUT
    errors = capsys.readouterr().err
    assert "set/broken.yaml:2:1: EAZ" in errors
    assert "set/worse.yaml:2:1: EAZ" in errors
    assert Path("set/policy.yaml").read_text() == UNTIDY


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.yaml", "missing.yaml does not exist: check the path"),
        ("rules.rego", "rules.rego is Rego, whose style is that of `opa fmt`"),
        ("notes.txt", "notes.txt is not a policy file: name a *.yaml file or a folder of them"),
        ("empty", "empty holds no policy files: name a folder of *.yaml files"),
    ],
)
def test_what_is_no_policy_is_refused(path, message, capsys):
    """With what to name instead."""
    for name in ("rules.rego", "notes.txt"):
        Path(name).write_text("")
    Path("empty").mkdir()
    assert run(["policy", "format", path]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == f"extauthz: {message}\n"


def test_folder_that_cannot_be_written_to(capsys, monkeypatch):
    """The environment's fault; the file stays, and so does nothing beside it."""
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    assert run(["policy", "format", "set/policy.yaml"]) == EXIT_ENVIRONMENT
    assert "Permission denied" in capsys.readouterr().err
    assert Path("set/policy.yaml").read_text() == UNTIDY
    assert sorted(path.name for path in Path("set").iterdir()) == ["policy.yaml", "policy_test.yaml"]
