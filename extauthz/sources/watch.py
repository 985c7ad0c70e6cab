"""Watching the policy files: a change is loaded once it is whole, and the last good set stays until then.

What decides is the digest of names and contents, not the file system's events: events (inotify) only say when to look,
and a poll looks anyway, so that a missed event, a network file system or a replaced parent folder costs seconds and
never the change. In order:

1. Quiet: the digest is read twice, `quiet_seconds` apart, and must agree; a copy under way is waited for.
2. Load: read and parsed in a thread; the digest of what was parsed must be the quiet one.
3. Whole: a set that lost a policy file of the last good one waits for `reload()` (SIGHUP), because a folder that is
   being copied anew, or half deleted, looks like a policy with fewer denials. A folder that was swapped atomically (a
   symlink on its way or its `..data` link was retargeted: ConfigMaps, git-sync) is whole by construction.

Failures are reported and the last good set stays; the same digest is never tried twice, except by `reload()`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Generic

import watchfiles

from extauthz.errors import ConfigurationError, ExtAuthzError
from extauthz.sources.policy_files import LoadedSet, PolicyFiles
from extauthz.sources.watched import Loaded, LoadedT, WatchedFiles

QUIET_SECONDS = 0.2
POLL_SECONDS = 2.0
RESTLESS_SECONDS = 30.0
"""Files that keep changing for longer are reported: what is served grows old."""

_IDLE_RATIO = 20
"""A look in vain that took t is followed by 20 t of rest: large sets and busy folders cost a twentieth of a core."""


class FileWatcher(Generic[LoadedT]):
    """Watches the files of a policy that is already served.

    `on_loaded` puts a new set into service, and may refuse it by raising `ExtAuthzError`; `on_failed` is told why the
    last good set stays. Both run on the event loop, one at a time. When files return to the served state after a
    failure, `on_loaded` is called with that state, so that what reports failures can forget them.
    """

    def __init__(
        self,
        files: WatchedFiles[LoadedT],
        *,
        loaded: LoadedT,
        on_loaded: Callable[[LoadedT], Awaitable[None]],
        on_failed: Callable[[ExtAuthzError], None],
        quiet_seconds: float = QUIET_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        restless_seconds: float = RESTLESS_SECONDS,
    ) -> None:
        self._files = files
        self._good = loaded
        self._seen: str | None = loaded.digest
        """The digest that was last acted upon, well or badly."""
        self._on_loaded = on_loaded
        self._on_failed = on_failed
        self._quiet_seconds = quiet_seconds
        self._poll_seconds = poll_seconds
        self._restless_seconds = restless_seconds
        self._explicit = False
        self._wake = asyncio.Event()
        self._relisten = asyncio.Event()
        self._listened: frozenset[tuple[str, int, int]] = frozenset()

    def reload(self) -> None:
        """Load what is there now, changed or not, files missing or not. Call it on the event loop."""
        self._explicit = True
        self._wake.set()

    def look(self) -> None:
        """Look at once: something of it has changed that no folder shows. Call it on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        self._wake.set()  # the files may have changed between the first load and now
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            await self._react()

    # --- Looking ---------------------------------------------------------------------------------------------------

    async def _react(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            try:
                async with asyncio.timeout(self._poll_seconds):
                    await self._wake.wait()
            except TimeoutError:
                pass  # time to poll
            self._wake.clear()
            explicit, self._explicit = self._explicit, False
            started = clock()
            attempt = await self._attempt_when_quiet(explicit=explicit)
            if attempt is None:
                await asyncio.sleep(_IDLE_RATIO * (clock() - started))
            else:
                outcome, self._seen = attempt
                await self._act(outcome, explicit=explicit)
            await self._follow_folders()

    async def _attempt_when_quiet(self, *, explicit: bool) -> tuple[LoadedT | ExtAuthzError, str] | None:
        """What came of the files once nobody writes them, and its digest; None when that was last acted upon."""
        clock = asyncio.get_running_loop().time
        restless_at = clock() + self._restless_seconds
        before = await self._digest()
        while explicit or before != self._seen:
            await asyncio.sleep(self._quiet_seconds)
            after = await self._digest()
            if after == before:
                attempt = await self._attempt()
                if attempt[1] == after:
                    return attempt
                after = await self._digest()
            if clock() > restless_at:
                restless_at = clock() + self._restless_seconds
                self._seen = None
                self._on_failed(
                    ConfigurationError(
                        f"the policy files have not been still for {self._quiet_seconds} s in the last "
                        f"{self._restless_seconds:g} s: find what keeps writing them"
                    )
                )
            before = after
        return None

    async def _digest(self) -> str:
        reading = await asyncio.to_thread(self._files.read)
        if reading.digest == self._good.digest:  # swapped for the same contents: remember the new place
            self._good = replace(self._good, directories=reading.directories)
        return reading.digest

    async def _attempt(self) -> tuple[LoadedT | ExtAuthzError, str]:
        try:
            attempt = await asyncio.to_thread(self._files.attempt)
            return attempt.outcome, attempt.digest
        except Exception as error:  # noqa: BLE001 - a defect of ours that a policy provokes must not end the service
            failure = ConfigurationError(f"the policy could not be loaded: internal error ({type(error).__name__})")
            failure.__cause__ = error
            return failure, await self._digest()

    # --- Acting ----------------------------------------------------------------------------------------------------

    async def _act(self, outcome: LoadedT | ExtAuthzError, *, explicit: bool) -> None:
        if isinstance(outcome, ExtAuthzError):
            self._on_failed(outcome)
            return
        lost = lost_files(self._good, outcome)
        if lost and not explicit:
            self._on_failed(
                ConfigurationError(
                    f"{_enumerate(lost)} went missing: the policy set stays as it was; put back what is missing, or "
                    "send SIGHUP to go on without it"
                )
            )
            return
        try:
            await self._on_loaded(outcome)
        except ExtAuthzError as error:
            self._on_failed(error)
        else:
            self._good = outcome

    # --- Listening -------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Wake the reader when something moves; where the kernel does not tell (no inotify), polling has to do."""
        while True:
            self._relisten.clear()
            folders = [path for path, _, _ in self._listened]
            if folders:
                try:
                    async for _ in watchfiles.awatch(
                        *folders, watch_filter=None, recursive=False, debounce=400, stop_event=self._relisten
                    ):
                        self._wake.set()
                except* (OSError, RuntimeError):
                    self._wake.set()  # a folder went away just now, or no watch is to be had: look, then try anew
            await self._relisten.wait()

    async def _follow_folders(self) -> None:
        """Listen to the folders there are now: one deleted and made anew is another, which the old watch misses."""
        folders = await asyncio.to_thread(self._existing_folders)
        if folders != self._listened:
            self._listened = folders
            self._relisten.set()

    def _existing_folders(self) -> frozenset[tuple[str, int, int]]:
        """The folders in which something of the set may move, as (path, device, inode)."""
        single = [*self._files.references]
        if self._files.values_file is not None:
            single.append(self._files.values_file)
        candidates = {Path(name).parent for name in (*single, *self._files.paths)}
        candidates |= {Path(name).resolve().parent for name in (*single, *self._files.paths)}
        candidates |= {Path(folder) for folder in self._good.directories}
        found = set()
        for folder in candidates:
            try:
                status = folder.stat()
            except OSError:  # gone; its return shows in its parent, or in the next poll
                continue
            found.add((str(folder), status.st_dev, status.st_ino))
        return frozenset(found)


class PolicyWatcher(FileWatcher[LoadedSet]):
    """Watches the files of a policy set."""

    def __init__(
        self,
        paths: Sequence[str],
        *,
        loaded: LoadedSet,
        on_loaded: Callable[[LoadedSet], Awaitable[None]],
        on_failed: Callable[[ExtAuthzError], None],
        values_file: str | None = None,
        quiet_seconds: float = QUIET_SECONDS,
        poll_seconds: float = POLL_SECONDS,
        restless_seconds: float = RESTLESS_SECONDS,
    ) -> None:
        """As `FileWatcher`, over the files that make such a set."""
        super().__init__(
            PolicyFiles(paths, values_file=values_file, references=loaded.parsed.references),
            loaded=loaded,
            on_loaded=on_loaded,
            on_failed=on_failed,
            quiet_seconds=quiet_seconds,
            poll_seconds=poll_seconds,
            restless_seconds=restless_seconds,
        )


def lost_files(good: Loaded, new: Loaded) -> tuple[str, ...]:
    """The policy files of `good` that `new` lacks, those of an atomically swapped folder excepted."""
    return tuple(name for name in good.sources if name not in new.sources and not _was_swapped(name, good, new))


def _was_swapped(name: str, good: Loaded, new: Loaded) -> bool:
    """Whether a folder that holds the file, at any depth, now really is another one than it was."""
    return any(
        folder in good.directories and folder in new.directories and good.directories[folder] != new.directories[folder]
        for folder in map(str, Path(name).parents)
    )


def _enumerate(names: Sequence[str]) -> str:
    shown = ", ".join(names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more files"
