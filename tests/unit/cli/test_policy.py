import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run
from extauthz.languages.policy_yaml import policy_schema
from extauthz.sources.policy_files import load

GOOD = """\
version: 1
name: shop
providers:
  corp:
    issuer: https://issuer.example
    audiences: [shop]
    algorithms: [ES256]
    jwks: {uri: https://issuer.example/jwks.json}
  machines: {api_keys: {file: keys.yaml, header: x-api-key}, may_assert: all}
roles: {reader: {permissions: [read]}}
routes:
  - {name: a, path: /a, allow: [{role: reader}]}
  - {name: b, path: /b, allow: [{role: reader}]}
"""
KEYS = f"- {{sha256: {'ab' * 32}, subject: machine}}\n"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working folder, with a good set in `p`."""
    monkeypatch.chdir(tmp_path)
    Path("p").mkdir()
    Path("p/policy.yaml").write_text(GOOD.replace("corp:", "corp:\n    may_assert: all"))
    Path("p/keys.yaml").write_text(KEYS)


def edit(old: str, new: str) -> None:
    path = Path("p/policy.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_good_set_is_counted(capsys):
    """One line on standard output, nothing else."""
    assert run(["policy", "validate", "p"]) == 0
    captured = capsys.readouterr()
    revision = load(["p"]).parsed.policy_set.revision
    assert captured.out == f"ok: shop: 2 routes, 1 role, 2 providers, revision {revision}\n"
    assert captured.err == ""


def test_all_errors_are_printed_in_place(capsys):
    """Every diagnostic with its line and caret on standard error, sorted, then their number."""
    edit("role: reader", "role: raeder")
    assert run(["policy", "validate", "p"]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0].startswith("p/policy.yaml:13:40: EAZ301 ")
    assert lines[1:3] == ["    - {name: a, path: /a, allow: [{role: raeder}]}", " " * 41 + "^"]
    assert lines[3] == "  hint: did you mean 'reader'?"
    assert lines[4].startswith("p/policy.yaml:14:40: EAZ301 ")
    assert lines[-1] == "2 errors"


def test_errors_as_json(capsys):
    """One document on standard output, with every field a program may want."""
    edit("role: reader", "role: raeder")
    assert run(["policy", "validate", "p", "--format", "json"]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert (document["ok"], document["name"], document["revision"]) == (False, None, None)
    first, second = document["diagnostics"]
    assert (first["file"], first["line"], first["column"]) == ("p/policy.yaml", 13, 40)
    assert (first["code"], first["severity"], first["path"]) == ("EAZ301", "error", "routes[0].allow[0].role")
    assert second["line"] == 14
    assert captured.err == ""


def test_good_set_as_json(capsys):
    """Name and revision of what would be served."""
    assert run(["policy", "validate", "p", "--format", "json"]) == 0
    revision = load(["p"]).parsed.policy_set.revision
    assert json.loads(capsys.readouterr().out) == {"ok": True, "name": "shop", "revision": revision, "diagnostics": []}


def test_warnings_pass_unless_told_otherwise(capsys):
    """A warning is printed beside the ok; with --warnings-as-errors it is exit 3 and no ok."""
    edit("audiences: [shop]", "audiences: any")
    assert run(["policy", "validate", "p"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("ok: shop: ")
    assert "EAZ901 warning: " in captured.err
    assert run(["policy", "validate", "p", "--warnings-as-errors"]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == "1 warning"
    assert run(["policy", "validate", "p", "--warnings-as-errors", "--format", "json"]) == EXIT_WRONG_INPUT
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert [diagnostic["severity"] for diagnostic in document["diagnostics"]] == ["warning"]


def test_values_are_used(capsys):
    """`--values` resolves `${NAME}`."""
    edit("issuer: https://issuer.example", "issuer: ${ISSUER}")
    Path("values.yaml").write_text("ISSUER: https://issuer.example\n")
    assert run(["policy", "validate", "p"]) == EXIT_WRONG_INPUT
    assert "EAZ210" in capsys.readouterr().err
    assert run(["policy", "validate", "p", "--values", "values.yaml"]) == 0


@pytest.mark.parametrize("output", ["text", "json"])
def test_missing_path_is_one_line(capsys, output):
    """The operator's mistakes are no diagnostics: one line on standard error, and in JSON its text."""
    assert run(["policy", "validate", "q", "--format", output]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert captured.err == "extauthz: q does not exist: check the path\n"
    if output == "json":
        document = json.loads(captured.out)
        assert (document["ok"], document["error"]) == (False, "q does not exist: check the path")
    else:
        assert captured.out == ""


def test_schema_is_json(capsys):
    """What editors read is the language's own description."""
    assert run(["policy", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == policy_schema()


@pytest.mark.parametrize("arguments", [["policy", "validate"], ["policy", "validate", "p", "--format", "xml"]])
def test_usage_errors_are_wrong_input(capsys, arguments):
    """A missing path and an unknown format are exit 3, as all wrong input."""
    assert run(arguments) == EXIT_WRONG_INPUT
    assert "Try 'extauthz policy validate --help'." in capsys.readouterr().err


def test_schema_of_tests_is_another(capsys):
    """Editors check test files, too."""
    assert run(["policy", "schema", "--tests"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["title"] == "extauthz policy tests"
    assert document["$defs"]["CaseText"]["required"] == ["name", "request", "expect"]


def test_lint_is_asked_for(capsys):
    """What is unwise is a warning, which can be made to fail."""
    assert run(["policy", "validate", "p"]) == 0
    assert capsys.readouterr().err == ""
    assert run(["policy", "validate", "p", "--lint"]) == 0
    assert "EAZ909 warning: no rule asks for the permission 'read'" in capsys.readouterr().err
    assert run(["policy", "validate", "p", "--lint", "--warnings-as-errors"]) == EXIT_WRONG_INPUT
