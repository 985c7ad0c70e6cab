import itertools
import shlex
import subprocess
import sys

import pytest
import typer

from extauthz import __version__, cli
from extauthz.cli import app, run
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


def commands(command, context):
    """Every command without commands below it, with its context."""
    below = getattr(command, "commands", {})
    for name, each in below.items():
        yield from commands(each, each.context_class(each, info_name=name, parent=context))
    if not below:
        yield command, context


ROOT = typer.main.get_command(app)
COMMANDS = {
    context.command_path: (command, context)
    for command, context in commands(ROOT, ROOT.context_class(ROOT, info_name="extauthz"))
}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_shows_an_example_that_it_understands(path):
    """In its --help; its flags are there, and nothing that is needed is missing."""
    command, _ = COMMANDS[path]
    _, _, example = (command.help or "").partition("Example: ")
    words = shlex.split(example.partition("\n\n")[0])
    names = path.split()
    assert words[: len(names)] == names
    arguments = list(itertools.takewhile(lambda word: word not in {">", "|"}, words[len(names) :]))
    command.make_context(path, arguments)


@pytest.mark.parametrize("path", COMMANDS)
def test_help_can_be_printed(path):
    """Whatever its texts hold."""
    command, context = COMMANDS[path]
    assert command.get_help(context).startswith(f"Usage: {path} ")


def test_brackets_in_help_stay(capsys):
    """They are defaults, and no markup."""
    assert run(["serve", "--help"]) == 0
    assert "[127.0.0.1:9000]" in capsys.readouterr().out


SHELLS = {
    "bash": lambda words: {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)},
    "zsh": lambda words: {"_TYPER_COMPLETE_ARGS": " ".join(words)},
    "fish": lambda words: {"_TYPER_COMPLETE_ARGS": " ".join(words), "_TYPER_COMPLETE_FISH_ACTION": "get-args"},
}


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["extauthz", "po"], "policy"),
        (["extauthz", "policy", "fo"], "format"),
        (["extauthz", "replay", "--acc"], "--accept"),
        (["extauthz", "policy", "matrix", "--format", "mark"], "markdown"),
    ],
)
def test_shells_complete_commands_flags_and_words(shell, words, completed, capsys, monkeypatch):
    """By the protocol that the installed scripts speak."""
    monkeypatch.setenv("_EXTAUTHZ_COMPLETE", f"complete_{shell}")
    for name, value in SHELLS[shell](words).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as caught:
        run([])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert completed in out
    assert "probe" not in out


@pytest.mark.parametrize(
    ("shell", "script"),
    [
        ("bash", ".bash_completions/extauthz.sh"),
        ("zsh", ".zfunc/_extauthz"),
        ("fish", ".config/fish/completions/extauthz.fish"),
    ],
)
def test_completion_can_be_installed(shell, script, tmp_path, monkeypatch):
    """Into the home folder, for each shell."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    with pytest.raises(SystemExit) as caught:
        run(["--install-completion", shell])
    assert caught.value.code == 0
    assert "_EXTAUTHZ_COMPLETE" in (tmp_path / script).read_text()
