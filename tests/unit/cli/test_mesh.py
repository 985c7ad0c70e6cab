from __future__ import annotations

from extauthz.cli import run


def test_the_commands_are_there(capsys):
    """Under one name."""
    assert run(["mesh", "--help"]) == 0
    out = capsys.readouterr().out
    assert all(command in out for command in ("init", "inject", "webhook", "manifests", "sidecar", "control", "demo"))
