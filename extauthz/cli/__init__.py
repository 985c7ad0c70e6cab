"""The command line: a command per file, and here the one place that turns errors into messages and exit codes.

Exit codes: 0 ok; 1 the environment (network, port, permission); 2 a negative answer (denied, test failed, difference
found); 3 wrong input (policy, flags, settings), usage errors included.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from extauthz import __version__
from extauthz.errors import ConfigurationError, EnvironmentUnfitError, PolicyError

EXIT_ENVIRONMENT = 1
EXIT_NEGATIVE = 2
EXIT_WRONG_INPUT = 3
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it

app = typer.Typer(
    name="extauthz",
    help="Authorization at the Envoy proxy: one policy, enforced on every request.",
    no_args_is_help=True,
    context_settings={"max_content_width": 100},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # texts hold [ ], which markup would take for styles, and drop or fail on
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"extauthz {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """The `extauthz` program: run the command and exit with its code."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code, with any error already on standard error."""
    try:
        result = app(args=arguments, prog_name="extauthz", standalone_mode=False)
    except typer.TyperException as error:  # usage: an unknown flag, a missing argument, a value of the wrong type
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "extauthz"
        message = error.format_message().replace("Value error, ", "")  # whose error it is says the exit code
        typer.echo(f"{message}\nTry '{command} --help'.", err=True)
        return EXIT_WRONG_INPUT
    except PolicyError as error:
        _print_diagnostics(error)
        return EXIT_WRONG_INPUT
    except ConfigurationError as error:
        typer.echo(f"extauthz: {error}", err=True)
        return EXIT_WRONG_INPUT
    except (EnvironmentUnfitError, OSError) as error:
        typer.echo(f"extauthz: {error}", err=True)
        return EXIT_ENVIRONMENT
    except (KeyboardInterrupt, typer.Abort):
        return EXIT_INTERRUPTED
    return result if isinstance(result, int) else 0


def _print_diagnostics(error: PolicyError) -> None:
    from extauthz.cli.render import console, print_diagnostics

    print_diagnostics(error.diagnostics, console(stderr=True))


def _register_commands() -> None:
    """Last, since the commands use what is above."""
    from extauthz.cli.compile import compile_
    from extauthz.cli.decide import decide
    from extauthz.cli.demo import demo_app
    from extauthz.cli.envoy import envoy_app
    from extauthz.cli.envoy_audit import audit_files
    from extauthz.cli.mesh import mesh_app
    from extauthz.cli.opa import opa_app
    from extauthz.cli.policy import policy_app
    from extauthz.cli.policy_coverage import measure
    from extauthz.cli.policy_diff import compare_sets
    from extauthz.cli.policy_explain import explain_request
    from extauthz.cli.policy_format import format_files
    from extauthz.cli.policy_import import import_app
    from extauthz.cli.policy_matrix import print_matrix
    from extauthz.cli.policy_new import write_set
    from extauthz.cli.policy_rule import describe
    from extauthz.cli.policy_test import run_tests
    from extauthz.cli.probe import probe
    from extauthz.cli.replay import replay
    from extauthz.cli.serve import serve
    from extauthz.cli.settings import settings_app
    from extauthz.cli.token import token_app

    envoy_app.command("audit")(audit_files)
    policy_app.command("test")(run_tests)
    policy_app.command("coverage")(measure)
    policy_app.command("diff")(compare_sets)
    policy_app.command("explain")(explain_request)
    policy_app.command("format")(format_files)
    policy_app.command("matrix")(print_matrix)
    policy_app.command("new")(write_set)
    policy_app.command("rule")(describe)
    policy_app.add_typer(import_app)
    app.command("compile")(compile_)
    app.command()(decide)
    app.command()(probe)
    app.command()(replay)
    app.command()(serve)
    app.add_typer(demo_app)
    app.add_typer(envoy_app)
    app.add_typer(mesh_app)
    app.add_typer(opa_app)
    app.add_typer(policy_app)
    app.add_typer(settings_app)
    app.add_typer(token_app)


_register_commands()
