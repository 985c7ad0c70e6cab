import asyncio
import json
import os
import stat
from pathlib import Path

import pytest

from extauthz.authoring.record import read_record
from extauthz.cli import run
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from tests.harness.service import check

SECRET = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhIn0.c2VjcmV0"


def records(file: Path):
    return [read_record(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("workers", [1, 2])
def test_answers_are_recorded_and_can_be_replayed(place, workers):
    """Whichever process answers, for their owner alone; under the same set nothing changes."""
    file = place.folder / "records.jsonl"

    async def main():
        async with place.service(record=str(file), workers=workers) as service:
            await check(service, f"/first?token={SECRET}", cookie=f"session={SECRET}", authorization=f"Bearer {SECRET}")
            await check(service, "/other")

    asyncio.run(main())
    assert {each.request.target: each.decision.effect for each in records(file)} == {
        "/first?token=-redacted-": "allow",
        "/other": "deny",
    }
    assert not any(part in file.read_text() for part in SECRET.split("."))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(["replay", str(file), str(place.policy)]) == 0
    assert "records_lost" not in place.events()


def start(place, **settings):
    """Start a service, and end it."""

    async def main():
        async with place.service(**settings):
            pass

    asyncio.run(main())


def test_records_are_added_to_those_of_an_earlier_process(place):
    """What it left of its last one is cut off, and told."""
    file = place.folder / "records.jsonl"

    async def main():
        async with place.service(record=str(file)) as service:
            await check(service, "/first")

    asyncio.run(main())
    whole = file.read_bytes()
    file.write_bytes(whole + whole[:70])
    asyncio.run(main())
    assert len(records(file)) == 2
    assert place.events().count("record_cut") == 1


@pytest.mark.parametrize("content", [b"", b"\n", b"half", b"x\n" * 600_000 + b"half", b"half" * 600_000])
def test_only_what_is_not_whole_is_cut_off(place, content):
    """However large the file is, and what is left of it."""
    file = place.folder / "records.jsonl"
    file.write_bytes(content)
    file.chmod(0o600)
    start(place, record=str(file))
    assert file.read_bytes() == content[: content.rfind(b"\n") + 1]


def test_a_file_that_others_may_read_is_refused(place):
    """It would show them what tokens say."""
    file = place.folder / "records.jsonl"
    file.touch(0o644)
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match="others may read or write it: chmod 600 it"):
        start(place, record=str(file))


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing/records.jsonl", EnvironmentUnfitError, "No such file or directory: name a file that can be written"),
        (".", ConfigurationError, "is no regular file: name another"),
        ("pipe", ConfigurationError, "is no regular file: name another"),
    ],
)
def test_what_cannot_be_written_is_told_at_the_start(place, name, error, message):
    """Not at the first decision."""
    os.mkfifo(place.folder / "pipe")
    with pytest.raises(error, match=message):
        start(place, record=str(place.folder / name), workers=2)


def test_a_disk_that_is_full_does_not_stop_decisions(place, monkeypatch):
    """It is told once, and how many records are missing at the end."""
    file = place.folder / "records.jsonl"

    def full(_descriptor, _data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("extauthz.telemetry.sink.write_all", full)

    async def main():
        async with place.service(record=str(file)) as service:
            for _ in range(3):
                assert (await check(service, "/first")).status.code == 0

    asyncio.run(main())
    assert place.events().count("recording_failed") == 1
    (lost,) = [json.loads(line) for line in place.log.getvalue().splitlines() if "records_lost" in line]
    assert lost["number"] == 3
