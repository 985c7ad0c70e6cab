import json
from pathlib import Path

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run
from tests.suites import SHOP


@pytest.fixture(autouse=True)
def policy(tmp_path, monkeypatch):
    """A set in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("policy.yaml").write_text(SHOP)


def test_table_with_its_notes(capsys):
    """Routes, answers, then each rule and binding at its place."""
    assert run(["policy", "matrix", "policy.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = ["list", "GET,", "HEAD", "shop.example/orders", "no", "no", "yes", "([1])", "yes", "([1])"]
    assert listed in [line.split() for line in lines]
    assert any(line.startswith("[1] unless set.deny.suspended: ") and "policy.yaml:18:5" in line for line in lines)
    assert lines[-1].startswith("clerk: provider corp, when has(claims.store)")


@pytest.mark.parametrize(
    ("output", "start"),
    [("markdown", "# Who can do what: shop\n"), ("csv", "route,methods,host,path,caller,"), ("svg", "<svg xmlns=")],
)
def test_other_forms(output, start, capsys):
    """On paper and in spreadsheets."""
    assert run(["policy", "matrix", "policy.yaml", "--format", output]) == 0
    assert capsys.readouterr().out.startswith(start)


def test_json_for_programs(capsys):
    """Every cell with the rules that it depends on."""
    assert run(["policy", "matrix", "policy.yaml", "--format", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    order = next(row for row in document["routes"] if row["route"] == "order")
    assert order["cells"]["no role"] == {
        "answer": "depends",
        "allows": ["order.allow.owner"],
        "guards": ["set.deny.suspended"],
    }
    assert document["bindings"][0]["role"] == "clerk"


def test_broken_policy_has_no_matrix(capsys):
    """Its errors are printed instead."""
    Path("policy.yaml").write_text("version: 2\n")
    assert run(["policy", "matrix", "policy.yaml"]) == EXIT_WRONG_INPUT
    assert "EAZ208" in capsys.readouterr().err
