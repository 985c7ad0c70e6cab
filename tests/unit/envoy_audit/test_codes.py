import json
import re
from pathlib import Path

import pytest

from extauthz.cli import run
from extauthz.envoy_audit import rules
from extauthz.envoy_audit.codes import RULES, find
from tests.envoy_configurations import found

ROOT = Path(__file__).parents[3]


def test_every_rule_is_in_the_table_once():
    """By a code of its own, in order."""
    codes = [rule.code for rule in RULES]
    assert codes == sorted(set(codes))
    assert all(re.fullmatch(r"EAE\d{3}", code) for code in codes)
    files = {path.stem for path in Path(rules.__path__[0]).glob("*.py")} - {"__init__"}
    assert len(files) == len(RULES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_pages_show_what_is_found_and_what_is_not(rule):
    """The examples are true."""
    assert found(rule.code, rule.wrong)
    assert found(rule.code, rule.right) == []


def test_rules_are_found_by_their_codes():
    """In any case."""
    assert find("eae102") is find("EAE102") is RULES[1]
    assert find("EAE999") is None


@pytest.mark.parametrize("mode", ["check", "native", "split", "wasm"])
def test_what_we_generate_passes(mode, tmp_path, capsys):
    """In every mode; conditions with any character in them can be read."""
    policy = ["policies/shop", "--values", "policies/shop.values.yaml"]
    arguments = [str(ROOT / each) if each.startswith("policies") else each for each in policy]
    assert run(["envoy", "config", *arguments, "--mode", mode, "--upstream", "127.0.0.1:80"]) == 0
    file = tmp_path / "envoy.json"
    file.write_text(capsys.readouterr().out)
    assert run(["envoy", "audit", str(file), "--format", "json"]) == 0, capsys.readouterr().out
    assert json.loads(capsys.readouterr().out)[0]["managers"] == 1
