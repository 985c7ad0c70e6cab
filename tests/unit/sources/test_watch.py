import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from extauthz.errors import ConfigurationError, ExtAuthzError, PolicyError
from extauthz.sources import policy_files
from extauthz.sources.policy_files import LoadedSet, load
from extauthz.sources.watch import PolicyWatcher, lost_files
from extauthz.sources.watched import WatchedReading

QUIET = 0.05
ROUTE = "version: 1\nname: shop\nroutes:\n  - {{name: {0}, path: /{0}, public: true}}\n"


class Watched:
    """A running watcher with what it reported, in order."""

    def __init__(self, paths: list[str], *, poll_seconds: float = 0.2, restless_seconds: float = 30.0) -> None:
        self.reports: list[LoadedSet | ExtAuthzError] = []
        self.refusal: ExtAuthzError | None = None
        self._reported = asyncio.Event()
        self.first = load(paths)
        self.watcher = PolicyWatcher(
            paths,
            loaded=self.first,
            on_loaded=self._on_loaded,
            on_failed=self._report,
            quiet_seconds=QUIET,
            poll_seconds=poll_seconds,
            restless_seconds=restless_seconds,
        )

    async def _on_loaded(self, loaded: LoadedSet) -> None:
        if self.refusal is not None:
            raise self.refusal
        self._report(loaded)

    def _report(self, report: LoadedSet | ExtAuthzError) -> None:
        self.reports.append(report)
        self._reported.set()

    async def next_report(self) -> LoadedSet | ExtAuthzError:
        """The next report that was not yet taken."""
        async with asyncio.timeout(10):
            while not self.reports:
                self._reported.clear()
                await self._reported.wait()
        return self.reports.pop(0)

    async def loaded(self) -> LoadedSet:
        report = await self.next_report()
        assert isinstance(report, LoadedSet), report
        return report

    async def failed(self) -> ExtAuthzError:
        report = await self.next_report()
        assert isinstance(report, ExtAuthzError), report
        return report

    async def nothing_more(self) -> None:
        """Several looks pass and none of them reports."""
        for _ in range(3):
            await self._one_more_look()
        assert self.reports == []

    async def _one_more_look(self) -> None:
        looked = asyncio.Event()
        read, loop = self.watcher._files.read, asyncio.get_running_loop()

        def observed() -> WatchedReading:
            loop.call_soon_threadsafe(looked.set)
            return read()

        self.watcher._files.read = observed  # type: ignore[method-assign]
        async with asyncio.timeout(10):
            await looked.wait()
        self.watcher._files.read = read  # type: ignore[method-assign]


@contextlib.asynccontextmanager
async def watching(paths: list[str], **options: float) -> AsyncIterator[Watched]:
    watched = Watched(paths, **options)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(watched.watcher.run())
        yield watched
        task.cancel()


@pytest.fixture
def folder(tmp_path):
    """A folder with two files, each a route: losing one would be losing a rule."""
    write(tmp_path / "policies" / "a.yaml", ROUTE.format("a"))
    write(tmp_path / "policies" / "b.yaml", ROUTE.format("b"))
    return tmp_path / "policies"


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def names(loaded: LoadedSet) -> list[str]:
    return [Path(name).name for name in loaded.sources]


def run(scenario: Callable[[], object]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_change_is_loaded(folder):
    """A written file is a new set."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            write(folder / "a.yaml", ROUTE.format("changed"))
            loaded = await watched.loaded()
            assert loaded.digest == load([str(folder)]).digest != watched.first.digest
            await watched.nothing_more()

    run(scenario)


def test_change_before_the_start_is_seen(folder):
    """Files that changed between the first load and the start of watching are loaded at once."""

    async def scenario():
        watched = Watched([str(folder)], poll_seconds=60)
        write(folder / "a.yaml", ROUTE.format("changed"))
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(watched.watcher.run())
            assert (await watched.loaded()).digest != watched.first.digest
            task.cancel()

    run(scenario)


def test_events_alone_suffice(folder):
    """With inotify a change does not wait for the next poll."""

    async def scenario():
        async with watching([str(folder)], poll_seconds=3600) as watched:
            await until_listening(watched)
            write(folder / "a.yaml", ROUTE.format("changed"))
            await watched.loaded()
            write(folder / "sub" / "c.yaml", ROUTE.format("c"))
            assert names(await watched.loaded()) == ["a.yaml", "b.yaml", "c.yaml"]

    run(scenario)


async def until_listening(watched: Watched) -> None:
    """Until the kernel tells of changes: a hidden probe, which is no policy, wakes the watcher."""
    watcher, woken = watched.watcher, asyncio.Event()

    def observed() -> None:
        woken.set()
        asyncio.Event.set(watcher._wake)

    probe = Path(watcher._files.paths[0]) / ".probe"
    async with asyncio.timeout(10):
        while not watcher._listened:  # noqa: ASYNC110 - past the first look, which wakes the watcher, too
            await asyncio.sleep(0.01)
        watcher._wake.set = observed  # type: ignore[method-assign]
        while not woken.is_set():
            probe.touch()
            probe.unlink()
            await asyncio.sleep(0.01)
    del watcher._wake.set


def test_poll_alone_suffices(folder, monkeypatch):
    """Where the kernel grants no watch, polling finds the change."""

    def refuse(*paths: str, **options: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr("watchfiles.awatch", refuse)

    async def scenario():
        async with watching([str(folder)]) as watched:
            write(folder / "a.yaml", ROUTE.format("changed"))
            await watched.loaded()

    run(scenario)


def test_touching_does_nothing(folder):
    """The same contents, newly written, are the same set."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            write(folder / "a.yaml", ROUTE.format("a"))
            os.utime(folder / "b.yaml")
            write(folder / ".a.yaml.swp", "an editor's")
            await watched.nothing_more()

    run(scenario)


def test_rename_over_is_loaded(folder):
    """Editors write beside the file and rename over it: one change."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            write(folder / ".a.yaml.new", ROUTE.format("renamed"))
            (folder / ".a.yaml.new").rename(folder / "a.yaml")
            assert names(await watched.loaded()) == ["a.yaml", "b.yaml"]
            await watched.nothing_more()

    run(scenario)


def test_remove_and_rewrite_is_loaded_whole(folder):
    """Editors that delete first and write then: the moment without the file is never a set."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            (folder / "a.yaml").unlink()
            write(folder / "a.yaml", ROUTE.format("rewritten"))
            assert names(await watched.loaded()) == ["a.yaml", "b.yaml"]

    run(scenario)


def test_copy_under_way_is_waited_for(folder):
    """A set that keeps growing is loaded once, when it is whole."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            for index in range(12):
                write(folder / f"more-{index}.yaml", ROUTE.format(f"r{index}"))
                await asyncio.sleep(QUIET / 3)
            assert len((await watched.loaded()).sources) == 14
            await watched.nothing_more()

    run(scenario)


def test_half_copied_folder_is_not_served(folder):
    """A folder deleted and copied anew that stops half-way lost a file: it waits, and the rest completes it."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            shutil.rmtree(folder)
            assert isinstance(await watched.failed(), ConfigurationError)
            write(folder / "a.yaml", ROUTE.format("new"))
            error = await watched.failed()
            assert f"{folder}/b.yaml went missing" in str(error)
            assert "SIGHUP" in str(error)
            await watched.nothing_more()
            write(folder / "b.yaml", ROUTE.format("b"))
            assert names(await watched.loaded()) == ["a.yaml", "b.yaml"]

    run(scenario)


def test_recreated_folder_is_still_listened_to(folder):
    """A folder deleted and made anew is another one for the kernel; events reach us from it all the same."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            shutil.rmtree(folder)
            await watched.failed()
            write(folder / "a.yaml", ROUTE.format("a"))
            write(folder / "b.yaml", ROUTE.format("b"))
            assert (await watched.loaded()).digest == watched.first.digest
            watched.watcher._poll_seconds = 3600
            await until_listening(watched)
            write(folder / "a.yaml", ROUTE.format("later"))
            await watched.loaded()

    run(scenario)


def test_replaced_parent_is_followed(tmp_path):
    """The folder above is exchanged whole by renaming, as a deployment does."""
    write(tmp_path / "etc" / "policies" / "a.yaml", ROUTE.format("a"))
    write(tmp_path / "etc.new" / "policies" / "a.yaml", ROUTE.format("new"))

    async def scenario():
        async with watching([str(tmp_path / "etc" / "policies")]) as watched:
            (tmp_path / "etc").rename(tmp_path / "etc.old")
            (tmp_path / "etc.new").rename(tmp_path / "etc")
            report = await watched.next_report()
            while not isinstance(report, LoadedSet):  # it may have been seen without its parent
                report = await watched.next_report()
            write(tmp_path / "etc" / "policies" / "a.yaml", ROUTE.format("newer"))
            assert (await watched.loaded()).digest != report.digest

    run(scenario)


def test_lost_file_waits_for_an_explicit_reload(folder):
    """A deleted file takes its rules with it: the operator confirms."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            (folder / "b.yaml").unlink()
            assert "b.yaml went missing" in str(await watched.failed())
            write(folder / "a.yaml", ROUTE.format("changed"))
            assert "b.yaml went missing" in str(await watched.failed())
            watched.watcher.reload()
            assert names(await watched.loaded()) == ["a.yaml"]
            write(folder / "a.yaml", ROUTE.format("again"))
            assert names(await watched.loaded()) == ["a.yaml"]

    run(scenario)


def test_restored_file_clears_the_failure(folder):
    """Back in the served state, the set is reported again, so that readiness recovers."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            (folder / "b.yaml").rename(folder.parent / "b.yaml")
            await watched.failed()
            (folder.parent / "b.yaml").rename(folder / "b.yaml")
            assert (await watched.loaded()).digest == watched.first.digest

    run(scenario)


def config_map_version(volume: Path, version: str, files: dict[str, str]) -> None:
    """What kubelet's AtomicWriter does on an update: a new tree, one rename of `..data`, then the visible links."""
    for name, text in files.items():
        write(volume / version / name, text)
    (volume / "..data_tmp").symlink_to(version)
    (volume / "..data_tmp").rename(volume / "..data")
    for name in files:
        if not (volume / name).is_symlink():
            (volume / name).symlink_to(f"..data/{name}")
    for link in volume.iterdir():
        if link.is_symlink() and not link.name.startswith("..") and link.name not in files:
            link.unlink()


def test_config_map_swap_may_lose_files(tmp_path):
    """An updated ConfigMap is whole by construction: a file that it no longer has is gone on purpose."""
    volume = tmp_path / "volume"
    config_map_version(volume, "..1", {"a.yaml": ROUTE.format("a"), "b.yaml": ROUTE.format("b")})

    async def scenario():
        async with watching([str(volume)]) as watched:
            config_map_version(volume, "..2", {"a.yaml": ROUTE.format("a"), "c.yaml": ROUTE.format("c")})
            assert names(await watched.loaded()) == ["a.yaml", "c.yaml"]
            await watched.nothing_more()

    run(scenario)


def test_retargeted_link_may_lose_files(tmp_path):
    """A PATH that is a link to a release, retargeted at once (git-sync), is another folder as a whole."""
    write(tmp_path / "1" / "a.yaml", ROUTE.format("a"))
    write(tmp_path / "1" / "sub" / "b.yaml", ROUTE.format("b"))
    write(tmp_path / "2" / "a.yaml", ROUTE.format("a"))
    (tmp_path / "current").symlink_to("1")

    async def scenario():
        async with watching([str(tmp_path / "current")]) as watched:
            (tmp_path / "next").symlink_to("2")
            (tmp_path / "next").rename(tmp_path / "current")
            assert names(await watched.loaded()) == ["a.yaml"]

    run(scenario)


def test_swap_to_equal_contents_excuses_no_later_loss(tmp_path):
    """After a swap that changed nothing, deleting a file by hand is a loss like any other."""
    volume = tmp_path / "volume"
    files = {"a.yaml": ROUTE.format("a"), "b.yaml": ROUTE.format("b")}
    config_map_version(volume, "..1", files)

    async def scenario():
        async with watching([str(volume)]) as watched:
            config_map_version(volume, "..2", files)
            await watched.nothing_more()
            (volume / "b.yaml").unlink()
            assert "b.yaml went missing" in str(await watched.failed())

    run(scenario)


def test_broken_policy_keeps_the_last_good_set(folder):
    """A wrong file is reported once, and its correction is loaded."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            write(folder / "a.yaml", "version: [")
            assert isinstance(await watched.failed(), PolicyError)
            await watched.nothing_more()
            write(folder / "a.yaml", ROUTE.format("corrected"))
            await watched.loaded()

    run(scenario)


def test_refused_set_is_a_failure(folder):
    """What `on_loaded` refuses is not the last good set: a file lost since the set before counts as lost."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            watched.refusal = ConfigurationError("keys are missing")
            write(folder / "c.yaml", ROUTE.format("c"))
            assert await watched.failed() is watched.refusal
            watched.refusal = None
            (folder / "c.yaml").unlink()
            assert (await watched.loaded()).digest == watched.first.digest

    run(scenario)


def test_explicit_reload_always_reports(folder):
    """An operator who asks is answered, changed or not."""

    async def scenario():
        async with watching([str(folder)]) as watched:
            watched.watcher.reload()
            assert (await watched.loaded()).digest == watched.first.digest
            write(folder / "a.yaml", "version: [")
            await watched.failed()
            watched.watcher.reload()
            assert isinstance(await watched.failed(), PolicyError)

    run(scenario)


def test_restless_files_are_reported(folder):
    """Files that never come to rest are a failure that says so; the first quiet moment is loaded."""

    async def scenario():
        async with watching([str(folder)], restless_seconds=0.1) as watched:
            index = 0
            while not watched.reports:
                index += 1
                write(folder / "a.yaml", ROUTE.format(f"r{index}"))
                await asyncio.sleep(QUIET / 5)
            assert "the policy files have not been still for" in str(await watched.failed())
            report = await watched.next_report()
            while not isinstance(report, LoadedSet):
                report = await watched.next_report()
            assert report.digest == load([str(folder)]).digest

    run(scenario)


def test_defect_in_loading_keeps_the_service(folder, monkeypatch):
    """An exception that nobody foresaw is a failure of this load, not the end of watching."""

    def explode(*sources: object, **options: object) -> None:
        raise RecursionError

    async def scenario():
        async with watching([str(folder)]) as watched:
            with monkeypatch.context() as patch:
                patch.setattr(policy_files, "parse_policy_set", explode)
                write(folder / "a.yaml", ROUTE.format("fatal"))
                error = await watched.failed()
            assert str(error) == "the policy could not be loaded: internal error (RecursionError)"
            assert isinstance(error.__cause__, RecursionError)
            write(folder / "a.yaml", ROUTE.format("harmless"))
            await watched.loaded()

    run(scenario)


def test_lost_files_compares_names():
    """Only files of the last good set that the new one lacks are lost, unless a folder above was swapped."""

    def some_set(sources: list[str], directories: Mapping[str, str]) -> LoadedSet:
        return LoadedSet(None, tuple(sources), (), directories, "")  # type: ignore[arg-type]

    good = some_set(["p/a", "p/s/b", "q/c"], {"p": "/p ..1", "p/s": "/p/s ", "q": "/q "})
    same = some_set(["p/a", "p/s/b", "q/c", "q/d"], good.directories)
    assert lost_files(good, same) == ()
    assert lost_files(good, some_set(["p/a"], good.directories)) == ("p/s/b", "q/c")
    swapped = {**good.directories, "p": "/p ..2"}
    assert lost_files(good, some_set([], swapped)) == ("q/c",)
    assert lost_files(good, some_set(["p/a", "q/c"], {"p": "/p ..1", "q": "/q "})) == ("p/s/b",)
