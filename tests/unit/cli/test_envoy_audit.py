import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_NEGATIVE, EXIT_WRONG_INPUT, run
from extauthz.envoy_audit.codes import RULES
from extauthz.envoy_audit.rule import MANAGER
from tests.envoy_configurations import ext_authz, filters

GOOD = (
    f"{MANAGER}\nuse_remote_address: true\nnormalize_path: true\nmerge_slashes: true\n"
    "path_with_escaped_slashes_action: REJECT_REQUEST\n"
    "common_http_protocol_options: {headers_with_underscores_action: REJECT_REQUEST}\n" + filters(ext_authz())
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A configuration that is good, and one that is not."""
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(GOOD)
    Path("bad.yaml").write_text(
        GOOD.replace("use_remote_address: true\n", "").replace("Authz, ", "Authz, shadow_mode: true")
    )


def test_nothing_found(capsys):
    """Exit 0."""
    assert run(["envoy", "audit", "good.yaml"]) == 0
    assert capsys.readouterr().out == "good.yaml: ok in 1 HttpConnectionManager\n"


def test_findings_are_a_negative_answer(capsys):
    """Each with its line and what to do."""
    assert run(["envoy", "audit", "good.yaml", "bad.yaml"]) == EXIT_NEGATIVE
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "good.yaml: ok in 1 HttpConnectionManager"
    assert lines[1].startswith("bad.yaml:1:1: EAE302 warning: ")
    assert any("EAE107 the authorizer's denials are not enforced" in line for line in lines)
    assert lines[-1] == "bad.yaml: 1 error, 1 warning in 1 HttpConnectionManager"


def test_rules_can_be_left_out(capsys):
    """By name; a name that is none is no way to leave out anything."""
    assert run(["envoy", "audit", "bad.yaml", "--ignore", "EAE302", "--ignore", "eae107"]) == 0
    capsys.readouterr()
    assert run(["envoy", "audit", "bad.yaml", "--ignore", "EAE999"]) == EXIT_WRONG_INPUT
    assert "there is no rule 'EAE999'" in capsys.readouterr().err


def test_json_for_programs(capsys):
    """A document for each file."""
    assert run(["envoy", "audit", "bad.yaml", "--format", "json"]) == EXIT_NEGATIVE
    (document,) = json.loads(capsys.readouterr().out)
    assert (document["file"], document["ok"], document["managers"]) == ("bad.yaml", False, 1)
    assert {finding["code"] for finding in document["findings"]} == {"EAE107", "EAE302"}


def test_pages_of_rules(capsys):
    """One, or the list of them."""
    assert run(["envoy", "audit", "--rule", "EAE102"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("EAE102: failure_mode_allow")
    assert "\nnot:\n" in page
    assert run(["envoy", "audit", "--rule", "all"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(RULES)
    assert run(["envoy", "audit", "--rule", "all", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(RULES)


def test_what_is_not_seen_is_told(capsys):
    """It may be where the trouble is."""
    Path("good.yaml").write_text(GOOD + "rds: {}\n")
    assert run(["envoy", "audit", "good.yaml"]) == 0
    assert "not seen: good.yaml:8:6: routes come by discovery\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name FILEs to look at, or a rule to read about by --rule"),
        (["good.yaml", "--rule", "EAE102"], "name FILEs to look at, or a rule to read about by --rule"),
        (["missing.yaml"], "missing.yaml cannot be read: No such file or directory"),
        (["empty.yaml"], "empty.yaml holds no HttpConnectionManager: name a bootstrap, or a listener"),
        (["--rule", "x"], "there is no rule 'x': `extauthz envoy audit --rule all` lists them"),
    ],
)
def test_wrong_input_is_told(arguments, message, capsys):
    """In one line, with exit 3."""
    Path("empty.yaml").write_text("admin: {}\n")
    assert run(["envoy", "audit", *arguments]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err == f"extauthz: {message}\n"


def test_a_broken_file_is_told_at_its_place(capsys):
    """As a broken policy is."""
    Path("bad.yaml").write_text("a: [1\n")
    assert run(["envoy", "audit", "bad.yaml"]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.startswith("bad.yaml:2:1: EAZ102 ")
