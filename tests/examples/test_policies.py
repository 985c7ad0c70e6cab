"""The example sets in policies/: each is valid without a warning, and does what the comments at its head say."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from extauthz.authoring.language import suite_schema
from extauthz.cli import run
from extauthz.languages.policy_yaml import policy_schema
from extauthz.sources.policy_files import load

ROOT = Path(__file__).parent.parent.parent
SETS = sorted(path.parent.name for path in (ROOT / "policies").glob("*/policy.yaml"))
FIRST_LINE = "# yaml-language-server: $schema=../schema.json"
FIRST_LINE_OF_TESTS = "# yaml-language-server: $schema=../test.schema.json"


@pytest.fixture(autouse=True)
def _in_checkout(monkeypatch):
    """Commands in comments name files from the checkout's root."""
    monkeypatch.chdir(ROOT)


def examples(name: str) -> Iterator[tuple[list[str], str]]:
    """The commands in the comments of a set, each with the line that it should print.

    A command is `#   $ extauthz ...` with any further lines indented deeper; the line that follows is its output.
    """
    text = Path("policies", name, "policy.yaml").read_text(encoding="utf-8")
    for match in re.finditer(r"^#   \$ extauthz (.*(?:\n#      .*)*)\n#   (\S.*)$", text, re.MULTILINE):
        yield shlex.split(match[1].replace("\n#", "\n")), match[2]


@pytest.mark.parametrize("name", SETS)
def test_set_is_valid(name):
    """No error and no warning: examples are copied."""
    values = Path("policies", f"{name}.values.yaml")
    loaded = load([f"policies/{name}"], values_file=str(values) if values.exists() else None)
    assert loaded.parsed.warnings == ()
    assert loaded.parsed.policy_set.name == name


@pytest.mark.parametrize("name", SETS)
def test_set_names_its_schema(name):
    """Editors find the schema by the first line."""
    for file in Path("policies", name).glob("policy*.yaml"):
        first = FIRST_LINE_OF_TESTS if file.stem.endswith("_test") else FIRST_LINE
        assert file.read_text(encoding="utf-8").splitlines()[0] == first


def test_schema_is_the_languages():
    """policies/schema.json is what `extauthz policy schema` prints: run it again after a change of the language."""
    assert json.loads(Path("policies/schema.json").read_text(encoding="utf-8")) == policy_schema()
    assert json.loads(Path("policies/test.schema.json").read_text(encoding="utf-8")) == suite_schema()


@pytest.mark.parametrize("name", [name for name in SETS if name != "shop"])
def test_comments_say_what_happens(name, capsys):
    """Every command at the head of a set prints the line below it."""
    commands = list(examples(name))
    assert len(commands) >= 5
    for arguments, expected in commands:
        run(arguments)
        printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("claims are taken")]
        assert printed[0].startswith(expected), (arguments, printed)


def test_examples_hold_no_private_keys():
    """Key sets in the examples are public: no member of a private JWK (RFC 7518 section 6) is in them."""
    key_sets = list(Path("policies").rglob("jwks.json"))
    assert key_sets
    for file in key_sets:
        for key in json.loads(file.read_text(encoding="utf-8"))["keys"]:
            assert not key.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}


def test_sets_are_in_the_one_style(capsys):
    """`extauthz policy format` would change nothing in them."""
    assert run(["policy", "format", "policies", "--check"]) == 0, capsys.readouterr().out
