import subprocess
import sys

import pytest

from extauthz import __version__, cli
from extauthz.errors import ConfigurationError, EnvironmentUnfitError


def test_the_version_is_printed(capsys):
    """And nothing else is done."""
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out == f"extauthz {__version__}\n"


@pytest.mark.parametrize(
    "arguments",
    [["--nope"], ["nope"], ["serve", "--listen"], ["policy", "validate"], ["envoy", "config", "--mode", "x"]],
)
def test_a_usage_error_is_wrong_input(arguments, capsys):
    """One message on standard error, the command whose --help tells, and exit code 3."""
    assert cli.run(arguments) == cli.EXIT_WRONG_INPUT
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Try 'extauthz" in printed.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigurationError("name it"), cli.EXIT_WRONG_INPUT),
        (EnvironmentUnfitError("free it"), cli.EXIT_ENVIRONMENT),
        (PermissionError(13, "Permission denied", "/x"), cli.EXIT_ENVIRONMENT),
        (KeyboardInterrupt(), cli.EXIT_INTERRUPTED),
    ],
)
def test_an_error_becomes_a_line_and_a_code(error, code, monkeypatch, capsys):
    """Never a traceback."""

    def failing(**_):
        raise error

    monkeypatch.setattr(cli, "app", failing)
    assert cli.run([]) == code
    printed = capsys.readouterr().err
    assert "Traceback" not in printed
    assert len(printed.splitlines()) == (0 if isinstance(error, KeyboardInterrupt) else 1)


def test_it_runs_as_a_module():
    """`python -m extauthz` is the program."""
    result = subprocess.run(
        [sys.executable, "-m", "extauthz", "--version"], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, f"extauthz {__version__}\n")
