from __future__ import annotations

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh import program


def test_output_and_input_pass_through():
    """What the program prints is what it was given here."""
    assert program.run_program(["cat"], "a rule\n") == "a rule\n"


def test_failure_is_one_line():
    """However many the program prints."""
    with pytest.raises(EnvironmentUnfitError, match=r"^sh failed: one two$"):
        program.run_program(["sh", "-c", "echo one >&2; echo two >&2; exit 3"])
    with pytest.raises(EnvironmentUnfitError, match=r"^sh failed: exit status 3$"):
        program.run_program(["sh", "-c", "exit 3"])


def test_a_program_that_hangs_is_ended(monkeypatch):
    """An init container must not wait for ever."""
    monkeypatch.setattr(program, "TIMEOUT_SECONDS", 0.05)
    with pytest.raises(EnvironmentUnfitError, match="took longer"):
        program.run_program(["sleep", "30"])


def test_a_missing_program_is_named_with_its_package():
    """So that it is known what to install."""
    with pytest.raises(EnvironmentUnfitError, match=r"no-such-program was not found: install the package x"):
        program.require_program("no-such-program", "the package x")


def test_programs_are_found_outside_the_path(monkeypatch, tmp_path):
    """A user's PATH often has no sbin."""
    monkeypatch.setenv("PATH", str(tmp_path))
    own = tmp_path / "iptables-x"
    own.write_text("#!/bin/sh\n")
    own.chmod(0o755)
    assert program.find_program("iptables-x") == str(own)
    assert program.find_program("no-such-program") is None
