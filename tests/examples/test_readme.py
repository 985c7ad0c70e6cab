"""What the README shows works as it stands there."""

import json
import re
import shlex
from pathlib import Path

import pytest

from extauthz.cli import run
from extauthz.model.decision import Reason

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.fixture
def first_policy(tmp_path, monkeypatch):
    """The first policy of the README, in a folder to work in."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Path("policy.yaml").write_text(next(block for block in blocks if "version: 1" in block), encoding="utf-8")


def commands(name):
    return [
        shlex.split(line, comments=True)[1:]
        for line in re.findall(rf"^extauthz {name} policy\.yaml.*$", README, re.MULTILINE)
    ]


@pytest.mark.usefixtures("first_policy")
@pytest.mark.parametrize("arguments", [*commands("policy validate"), *commands("decide")], ids=" ".join)
def test_the_first_commands_work(arguments):
    """The policy is valid, and the request shown is allowed."""
    assert run(arguments) == 0


def test_there_are_first_commands():
    """The table above is not empty because the README was worded anew."""
    assert commands("policy validate")
    assert commands("decide")


def test_every_reason_is_explained():
    """The table of reasons is complete, and names no reason that there is not."""
    table = README[README.index("| reason | status |") :]
    table = table[: table.index("\n\n")]
    named = set(re.findall(r"`([a-z]+_[a-z_]+|overloaded)`", table))
    assert named == set(Reason) - {Reason.ALLOWED, Reason.PREFLIGHT}


def test_the_snippet_shown_is_the_one_that_is_written(capsys, monkeypatch):
    """The ext_authz filter in the README has the settings of the generated one."""
    monkeypatch.chdir(ROOT)
    assert run(["envoy", "config", "policies/first", "--snippet"]) == 0
    filters = json.loads(capsys.readouterr().out)["http_filters"]
    ext_authz = next(f for f in filters if f["name"] == "envoy.filters.http.ext_authz")["typed_config"]
    shown = README[README.index("ext_authz.v3.ExtAuthz") :]
    shown = shown[: shown.index("- name: envoy.filters.http.router")]
    settings = set(re.findall(r"^    (\w+):", shown, re.MULTILINE))
    assert settings == set(ext_authz) - {"@type"}
