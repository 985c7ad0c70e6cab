"""Every example set is tested by its own `*_test.yaml`, and whole: the examples teach tests, too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from extauthz.cli import run

POLICIES = Path(__file__).parents[2] / "policies"
SETS = sorted(path.parent.name for path in POLICIES.glob("*/policy.yaml"))


def arguments_of(name: str) -> list[str]:
    """The set, with its values where it has some."""
    values = POLICIES / f"{name}.values.yaml"
    return [str(POLICIES / name), *(["--values", str(values)] if values.exists() else [])]


@pytest.mark.parametrize("name", SETS)
def test_example_passes_its_tests(name, capsys):
    """What its comments promise is what it does."""
    code = run(["policy", "test", *arguments_of(name)])
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", SETS)
def test_example_is_covered_by_its_tests(name, capsys):
    """Every route, and every rule with both outcomes."""
    code = run(["policy", "coverage", *arguments_of(name), "--format", "json"])
    items = json.loads(capsys.readouterr().out)["items"]
    assert code == 0
    assert [(i["name"], i["missing"]) for i in items if i["missing"]] == []
