import json

import pytest

from extauthz.cli import run
from tests.harness.opa_server import opa_server


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.rego").write_text("package shop\n\nallow if input.x in data.good\n")
    (tmp_path / "data.json").write_text('{"good": [1, 2]}')
    return tmp_path


def printed(capsys, *arguments):
    """The exit code and the JSON that a command prints."""
    code = run(["opa", *map(str, arguments), "--format", "json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.opa
def test_push_and_status(folder, capsys):
    """A dry run changes nothing; then it is there, and status says so."""
    with opa_server() as server:
        push = ("push", folder, "--url", server.url)
        code, planned = printed(capsys, *push, "--dry-run")
        assert (code, planned["pushed"], planned["changes"], server.policy_ids()) == (0, False, 2, [])
        code, pushed = printed(capsys, *push)
        assert (code, pushed["pushed"], server.policy_ids()) == (0, True, ["extauthz/main/a.rego"])
        assert pushed["steps"] == planned["steps"]
        code, said = printed(capsys, "status", "--url", server.url)
        assert (code, said["healthy"], said["pushes"]) == (0, True, {"main": {"revision": pushed["revision"]}})
        assert said["policies"] == [{"id": "extauthz/main/a.rego", "package": "shop"}]
        assert printed(capsys, *push)[1]["changes"] == 0
        assert run(["opa", "status", "--url", server.url]) == 0
        assert f"push main: revision {pushed['revision']}" in capsys.readouterr().out
        (folder / "data.json").unlink()
        assert run(["opa", *map(str, push)]) == 0
        text = capsys.readouterr().out
        assert "remove" in text
        assert f"1 change pushed to {server.url} as main, 1 item kept" in text


@pytest.mark.opa
def test_a_module_that_opa_refuses(folder, capsys):
    """Is wrong input, told at its place."""
    (folder / "a.rego").write_text("package shop\n\nallow if nosuch(1)\n")
    with opa_server() as server:
        assert run(["opa", "push", str(folder), "--url", server.url]) == 3
    assert f"{folder}/a.rego:3:10: undefined function nosuch" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["status"], ["push", "FOLDER"]])
def test_nobody_answers(folder, capsys, command):
    """The environment's fault."""
    arguments = [str(folder) if each == "FOLDER" else each for each in command]
    assert run(["opa", *arguments, "--url", "http://127.0.0.1:9"]) == 1
    assert "http://127.0.0.1:9 cannot be reached" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--url", "opa"], ["--name", "A"], ["--token-file", "/nowhere"]])
def test_wrong_flags(folder, capsys, arguments):
    """Nothing is sent."""
    assert run(["opa", "push", str(folder), *arguments]) == 3
    assert capsys.readouterr().err.startswith("extauthz: ")
