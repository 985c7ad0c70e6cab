"""`extauthz compile --watch`: the module written anew when the policy changes, for an Envoy that runs."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from extauthz.cli.render import console, print_diagnostics
from extauthz.errors import ConfigurationError, EnvironmentUnfitError, ExtAuthzError, PolicyError

if TYPE_CHECKING:
    from extauthz.lowering.address import Address
    from extauthz.lowering.compile import DeliveredFiles
    from extauthz.lowering.wasm.compiler import WasmPlan
    from extauthz.model.policy import PolicySet
    from extauthz.sources.policy_files import LoadedSet


def compile_delivered(plan: WasmPlan, authorizer: Address | None, folder: Path) -> DeliveredFiles:
    """The files of a plan, for an Envoy that finds them in this folder wherever it is started."""
    from extauthz.lowering import compile as lowering

    return lowering.compile_delivered(plan, authorizer=authorizer, folder=str(folder.absolute()))


def follow(
    loaded: LoadedSet, paths: list[Path], values: Path | None, name: str, folder: Path, authorizer: Address | None
) -> None:
    """Write what changes of the files whenever the set does, until SIGTERM or SIGINT; SIGHUP loads it again.

    Args:
        loaded: what the files in `folder` were made of.
        name: the extension's, as Envoy has it.
        authorizer: None where rules that are left to it are errors.
    """
    asyncio.run(_follow(loaded, paths, values, name, folder, authorizer))


async def _follow(
    loaded: LoadedSet, paths: list[Path], values: Path | None, name: str, folder: Path, authorizer: Address | None
) -> None:
    from extauthz.sources.watch import PolicyWatcher

    async def deliver(changed: LoadedSet) -> None:
        policy_set = changed.parsed.policy_set
        print_diagnostics(changed.parsed.warnings, console(stderr=True))
        await asyncio.to_thread(_deliver, policy_set, name, folder, authorizer)
        typer.echo(f"extauthz: wrote revision {policy_set.revision} into {folder}", err=True)

    watcher = PolicyWatcher(
        [str(path) for path in paths],
        loaded=loaded,
        on_loaded=deliver,
        on_failed=_report,
        values_file=None if values is None else str(values),
    )
    loop = asyncio.get_running_loop()
    watching = asyncio.ensure_future(watcher.run())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, watching.cancel)
    loop.add_signal_handler(signal.SIGHUP, watcher.reload)
    typer.echo(f"extauthz: watching; revision {loaded.parsed.policy_set.revision} is in {folder}", err=True)
    await asyncio.wait([watching])
    if not watching.cancelled():
        watching.result()  # it ends by itself only if it fails


def _deliver(policy_set: PolicySet, name: str, folder: Path, authorizer: Address | None) -> None:
    """Write the set's module.

    Raises:
        ConfigurationError: it needs other filters or clusters than Envoy has.
        LoweringError: rules of it are left to an authorizer, and there is none.
        EnvironmentUnfitError: a file cannot be written, or Envoy would not see it.
    """
    from extauthz.lowering.compile import CHANGING_FILES, EXTENSION_FILE
    from extauthz.lowering.report import refuse_residual
    from extauthz.lowering.wasm.compiler import compile_module

    plan = compile_module(policy_set, has_authorizer=authorizer is not None)
    if authorizer is None:
        refuse_residual(plan)
    delivered = compile_delivered(plan, authorizer, folder)
    if delivered.name != name:
        raise ConfigurationError(
            "the change needs other filters or clusters than Envoy was started with (providers, upstream headers, "
            "client addresses or bodies that rules read): compile it anew, and start Envoy with the new files"
        )
    if not (folder / EXTENSION_FILE).exists():  # a folder that is made anew is another, which Envoy does not watch
        raise EnvironmentUnfitError(
            f"{folder / EXTENSION_FILE} is gone: compile it anew, and start Envoy with the new files"
        )
    try:
        write_files(folder, {each: delivered.files[each] for each in CHANGING_FILES})
    except OSError as error:
        raise EnvironmentUnfitError(f"{error}; once that is mended, send SIGHUP") from None


def _report(error: ExtAuthzError) -> None:
    if isinstance(error, PolicyError):
        print_diagnostics(error.diagnostics, console(stderr=True))
    else:
        typer.echo(f"extauthz: {error}", err=True)
    typer.echo("extauthz: nothing was written: the last good policy stays", err=True)


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> None:
    """Each file appears whole or not at all: an Envoy may be reading the old one."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        temporary = folder / f".{name}.{os.getpid()}"
        try:
            temporary.write_bytes(content if isinstance(content, bytes) else content.encode())
            temporary.replace(folder / name)
        finally:
            temporary.unlink(missing_ok=True)
