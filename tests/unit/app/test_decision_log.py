import asyncio
import json
from pathlib import Path

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import UnixAddress
from tests.harness.service import check


def test_a_decision_log_that_cannot_be_written_is_told_at_the_start(place):
    """Not at the first decision; and what was bound is closed again."""
    unix = UnixAddress(str(place.folder / "x.sock"))

    async def main():
        async with place.service(listen=(unix,), decision_log="/no/such/file"):
            pytest.fail("served")

    with pytest.raises(EnvironmentUnfitError, match="--decision-log /no/such/file: No such file"):
        asyncio.run(main())
    assert not Path(unix.path).exists()


def test_decisions_are_logged(place):
    """Under the revision that decided, and flushed at the end."""
    log = place.folder / "decisions.log"

    async def main():
        async with place.service(decision_log=str(log)) as service:
            reply = await check(service, "/first?secret=1", cookie="secret=1")
            return service.policy_set.revision, reply.dynamic_metadata["decision_id"]

    revision, decision_id = asyncio.run(main())
    (line,) = [json.loads(text) for text in log.read_text().splitlines()]
    assert (line["revision"], line["decision_id"], line["reason"]) == (revision, decision_id, "allowed")
    assert "secret" not in log.read_text()


def test_the_decision_log_is_put_aside_and_sampled_as_the_settings_say(place):
    """What an earlier process left counts; denials are all logged."""
    log = place.folder / "decisions.log"
    log.write_bytes(b"x" * (2 * 1024 * 1024) + b"\n")
    settings = {"decision_log_max_bytes": 2 * 1024 * 1024, "decision_log_sample_allow": 0.0}

    async def main():
        async with place.service(decision_log=str(log), **settings) as service:
            for path in ("/first", "/other"):
                await check(service, path)

    asyncio.run(main())
    assert (place.folder / "decisions.log.1").stat().st_size == 2 * 1024 * 1024 + 1
    assert [json.loads(line)["effect"] for line in log.read_text().splitlines()] == ["deny"]
