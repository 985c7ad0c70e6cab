"""`extauthz replay`: recorded decisions, made again by another policy set."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import Progress
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.options import PathsArgument, ValuesOption
from extauthz.cli.render import OutputFormat, console, count, print_diagnostics, print_json, visible
from extauthz.errors import ConfigurationError

if TYPE_CHECKING:
    from extauthz.authoring.accepted import Accepted
    from extauthz.authoring.record import Record
    from extauthz.authoring.record_file import RecordFile
    from extauthz.authoring.recorded_test import RecordedTests
    from extauthz.authoring.replay_report import Outcome

_PROGRESS_STEP = 512
"""Records between two looks at the progress bar."""


def replay(
    log: Annotated[Path, typer.Argument(metavar="LOG", help="What `serve --record` wrote.")],
    paths: PathsArgument,
    values: ValuesOption = None,
    accept: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Changes from DENY to ALLOW that are meant: a YAML list of {route, was}."),
    ] = None,
    write_test: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a test for each kind of recorded decision: a new *_test.yaml."),
    ] = None,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the outcome.")] = OutputFormat.TEXT,
) -> int:
    """Decide recorded requests again, each at its own time, by another policy set; DENY -> ALLOW first.

    Exit 2 when something is allowed that was denied, unless --accept lists it; 0 otherwise, whatever else changed.

    Example: extauthz replay decisions.jsonl policies/shop --values policies/shop.values.yaml --accept accepted.yaml
    """
    from extauthz.authn.authenticator import KeySets, VerifiedTokens
    from extauthz.authoring.record_file import RecordFile
    from extauthz.authoring.recorded_test import RecordedTests
    from extauthz.authoring.replay import Replay
    from extauthz.authoring.replay_report import Outcome, as_json
    from extauthz.authorizer import build_snapshot
    from extauthz.sources.policy_files import load

    if write_test is not None:
        _check_new(write_test)
    parsed = load([str(path) for path in paths], values_file=None if values is None else str(values)).parsed
    accepted = () if accept is None else _read_accepted(accept)
    tests = RecordedTests(parsed.policy_set)
    again = Replay(build_snapshot(parsed.policy_set, KeySets(), VerifiedTokens()))
    file = RecordFile(str(log))
    with _records(log, file) as records:
        for line, record in records:
            again.add(line, record)
            if write_test is not None:
                tests.add(record)
    outcome = Outcome(again.records, again.groups, accepted)
    if output is OutputFormat.JSON:
        print_json({**as_json(outcome, str(log)), "cut_off": file.is_cut_off})
    else:
        print_diagnostics(parsed.warnings, console(stderr=True))
        _print(outcome, file)
    if write_test is not None:
        _write_tests(tests, write_test)
    return EXIT_NEGATIVE if outcome.may_widen else 0


def _read_accepted(path: Path) -> tuple[Accepted, ...]:
    from extauthz.authoring.accepted import read_accepted
    from extauthz.sources.policy_files import read_regular_file

    try:
        content = read_regular_file(str(path))
    except OSError as error:
        raise ConfigurationError(f"--accept {path} cannot be read: {error.strerror}") from error
    return read_accepted(str(path), content)


@contextmanager
def _records(log: Path, file: RecordFile) -> Iterator[Iterator[tuple[int, Record]]]:
    """The records of the log; a bar shows how far they are read.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        stream = log.open("rb")
        size = log.stat().st_size
    except OSError as error:
        raise ConfigurationError(f"{log} cannot be read: {error.strerror}") from error
    bar = Progress(console=console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with stream, bar as progress:
        task = progress.add_task("replaying", total=size or None)

        def shown() -> Iterator[tuple[int, Record]]:
            for line, record in file.read(stream):
                if line % _PROGRESS_STEP == 0:
                    progress.update(task, completed=file.bytes_read)
                yield line, record

        yield shown()


def _print(outcome: Outcome, file: RecordFile) -> None:
    from extauthz.authoring.replay import Change
    from extauthz.authoring.replay_report import lines, summary

    styles = {Change.WIDENED: "bold red", Change.NARROWED: "bold yellow"}
    out = console()
    for change, line in lines(outcome, file.path):
        out.print(Text(visible(line), style="" if change is None else styles.get(change, "bold")))
    out.print(visible(summary(outcome)), style="bold")
    notes = console(stderr=True)
    for entry in outcome.unused:
        notes.print(f"{visible(str(entry.span))}: nothing changed that this accepts: remove it", style="yellow")
    if file.is_cut_off:
        notes.print(
            f"{visible(file.path)} ends in the middle of line {file.records + 1}: the records before it were used",
            style="yellow",
        )


def _check_new(path: Path) -> None:
    """Refuse a name that no test file has, or that is taken."""
    if not path.stem.endswith("_test") or path.suffix != ".yaml":
        raise ConfigurationError(f"--write-test {path}: name it *_test.yaml, so that `policy test` finds it")
    if path.exists():
        raise ConfigurationError(f"--write-test {path} exists: name another file, or remove it first")


def _write_tests(tests: RecordedTests, path: Path) -> None:
    content = tests.text(str(path))
    notes = console(stderr=True)
    if tests.left_out:
        notes.print(
            f"left out: {count(tests.left_out, 'kind')} of requests that a test cannot say (a credential that was "
            "refused or not looked at, bytes that are no text)"
        )
    if content is None:
        raise ConfigurationError(f"--write-test {path}: none of the records can be a test")
    with path.open("xb") as file:
        file.write(content)
    notes.print(f"wrote {visible(str(path))}")
