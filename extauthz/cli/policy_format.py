"""`extauthz policy format`: policy and test files in one style."""

from __future__ import annotations

import difflib
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from extauthz.cli import EXIT_NEGATIVE
from extauthz.cli.render import OutputFormat, console, count, print_json, visible
from extauthz.errors import ConfigurationError, PolicyError

_ENDINGS = (".yaml", ".yml")
_DATA_NAMES = frozenset({"data.yaml", "data.yml"})
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    before: bytes
    after: bytes

    @property
    def would_change(self) -> bool:
        return self.before != self.after


def format_files(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Policy and test files, and folders of them.")],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 2 if a file would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
    output: Annotated[OutputFormat, typer.Option("--format", help="How to print the outcome.")] = OutputFormat.TEXT,
) -> int:
    """Write policy and test files in one style; their comments and their meaning stay.

    Keys stand in the order of the schema, but a file's sections in the order of its author; { } and [ ] on one line of
    up to 120 characters, or broken into lines. Each file is read again and compared before it is written.

    Example: extauthz policy format policies/shop --check --diff
    """
    files = _formatted([file for path in paths for file in _files(path)])
    changed = [file for file in files if file.would_change]
    only_looks = check or diff
    if not only_looks:
        for file in changed:
            _replace(file.path, file.after)
    if output is OutputFormat.JSON:
        print_json({"written": not only_looks, "files": [_as_json(file, with_diff=diff) for file in files]})
    else:
        _print(changed, len(files), with_diff=diff, only_looks=only_looks)
    return EXIT_NEGATIVE if check and changed else 0


def _files(path: Path) -> Iterator[Path]:
    """The YAML files of a PATH, in order.

    Raises:
        ConfigurationError: there are none.
    """
    if not path.exists():
        raise ConfigurationError(f"{path} does not exist: check the path")
    if not path.is_dir():
        if path.suffix.lower() == ".rego":
            raise ConfigurationError(f"{path} is Rego, whose style is that of `opa fmt`")
        if path.suffix.lower() not in _ENDINGS:
            raise ConfigurationError(f"{path} is not a policy file: name a *.yaml file or a folder of them")
        yield path
        return
    below = sorted(file for file in path.rglob("*") if file.suffix.lower() in _ENDINGS and file.is_file())
    found = [file for file in below if file.name not in _DATA_NAMES and not _is_hidden(file.relative_to(path))]
    if not found:
        raise ConfigurationError(f"{path} holds no policy files: name a folder of *.yaml files")
    yield from found


def _is_hidden(relative: Path) -> bool:
    return any(part.startswith(".") for part in relative.parts)


def _formatted(paths: Sequence[Path]) -> list[_File]:
    """Each file once.

    Raises:
        PolicyError: with what is wrong with any of them.
    """
    from extauthz.authoring.format import formatted
    from extauthz.sources.policy_files import read_regular_file

    files: dict[Path, _File] = {}
    problems: list[PolicyError] = []
    for path in paths:
        try:
            before = read_regular_file(str(path))
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
        try:
            after = formatted(str(path), before, is_suite=path.stem.lower().endswith("_test"))
        except PolicyError as error:
            problems.append(error)
            continue
        files.setdefault(path.resolve(), _File(path, before, after))
    if problems:
        raise PolicyError(diagnostic for error in problems for diagnostic in error.diagnostics)
    return list(files.values())


def _replace(path: Path, content: bytes) -> None:
    """Write the file at once or not at all; a link stays a link, and mode and owner stay.

    Raises:
        OSError: the folder cannot be written to.
    """
    target = path.resolve()
    status = target.stat()
    descriptor, name = tempfile.mkstemp(prefix=".format-", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).chmod(status.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(name, status.st_uid, status.st_gid)
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _print(changed: Sequence[_File], number: int, *, with_diff: bool, only_looks: bool) -> None:
    out = console()
    for file in changed:
        if with_diff:
            for line in _diff(file):
                out.print(Text(visible(line), style=_DIFF_STYLES.get(line[:1], "")))
        else:
            out.print(f"{'would format' if only_looks else 'formatted'} {visible(str(file.path))}")
    verb = "would change" if only_looks else "changed"
    summary = console(stderr=True) if with_diff else out  # what is on standard output can be applied as a patch
    summary.print(f"{count(len(changed), 'file')} of {number} {verb}", style="bold")


def _diff(file: _File) -> Iterator[str]:
    name = str(file.path)
    before, after = (content.decode().removesuffix("\n").split("\n") for content in (file.before, file.after))
    return difflib.unified_diff(before, after, name, name, lineterm="")


def _as_json(file: _File, *, with_diff: bool) -> dict[str, object]:
    document: dict[str, object] = {"file": str(file.path), "changed": file.would_change}
    return {**document, "diff": "\n".join(_diff(file))} if with_diff else document
