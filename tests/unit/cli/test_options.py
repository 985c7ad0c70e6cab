from dataclasses import fields

import pytest

from extauthz.cli import run
from extauthz.cli.options import RequestFlags


@pytest.mark.parametrize("command", [["decide"], ["policy", "explain"]])
def test_commands_that_ask_take_the_same_flags(command, capsys, monkeypatch):
    """Who knows one of them knows the other."""
    monkeypatch.setenv("COLUMNS", "200")
    assert run([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    names = [field.name for field in fields(RequestFlags)] + ["values"]
    assert len(names) == 11
    assert all(f"--{name} " in shown for name in names)
