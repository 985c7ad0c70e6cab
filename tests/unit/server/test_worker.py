import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authn.keyset import KeySetState, parse_key_set
from extauthz.authn.provider import key_source_digest
from extauthz.authoring.record import read_record
from extauthz.demo.issuer import public_key_set
from extauthz.lowering.address import UnixAddress
from extauthz.server.check_method import CheckLimits
from extauthz.server.decider import DeciderSettings
from extauthz.server.link import Link, LinkClosedError, pack
from extauthz.server.messages import (
    NO_LOG,
    Commit,
    DecisionLogSettings,
    Drain,
    Keys,
    LogEvent,
    Prepare,
    ReadTally,
    ReplaceCredentials,
    ReportNotReady,
    Start,
)
from extauthz.server.sockets import listen
from extauthz.server.worker import ForwardingLogger, InheritedSocket
from extauthz.telemetry.decision_log import EVERY_ANSWER, SubjectForm
from extauthz.telemetry.tally import Tally
from extauthz.tls import Credentials
from tests.harness.grpc_check import SERVING, Client
from tests.harness.tokens import Token, signing_key
from tests.policies import HEAD, policy_set

NOW = time.time  # noqa: TID251 - real tokens for a real process

OPEN = "version: 1\nname: open\nroutes:\n  - {{name: open, path: {path}, public: true}}\n"
GUARDED = (
    HEAD.replace("RS256", "ES256") + "routes:\n  - {name: guarded, path: /guarded, allow: [{authenticated: true}]}\n"
)


class Supervising:
    """The other end of a worker's link: fetches `keys`, and remembers what it is told."""

    def __init__(self, link, process, address):
        self.link = link
        self.process = process
        self.address = address
        self.told_so_far = []
        self.needs = []
        self.keys = None

    def told(self, message):
        self.told_so_far.append(message)

    async def called(self, message):
        assert isinstance(message, NeedKeySet)
        self.needs.append(message.kid)
        state = KeySetState()
        state.begin(NOW())
        if self.keys is not None:
            state.fetched(self.keys, NOW(), 300.0)
        else:
            state.failed("nobody answers", NOW(), 30.0)
        self.link.tell(Keys(key_source_digest(message.provider), state.standing()))

    async def deploy(self, policy, keys=None):
        assert await self.link.call(Prepare(pack(policy), keys or {})) is None
        await self.link.call(Commit())

    async def ended(self):
        """Its exit code."""
        return await self.process.wait()


@pytest.fixture
def folder():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    path = Path(tempfile.mkdtemp(prefix="w-"))
    yield path
    shutil.rmtree(path)


@asynccontextmanager
async def working(folder, log=None, records=None, deadline_seconds=5.0):
    """A worker process that was told to start."""
    bound = listen(UnixAddress(str(folder / "w.sock")))
    ours, theirs = socket.socketpair()
    descriptors = [theirs.fileno(), *(NO_LOG if each is None else each for each in (log, records)), bound.descriptor]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "extauthz.server.worker", *map(str, descriptors)),
        pass_fds=[each for each in descriptors if each != NO_LOG],
        stderr=subprocess.PIPE,
    )
    theirs.close()
    supervising = Supervising(await Link.over(ours), process, bound.address)
    supervising.link.tell(
        Start(
            DeciderSettings(CheckLimits(deadline_seconds, capacity=100), unavailable_as_error=False),
            (bound.address,),
            drain_timeout_seconds=5.0,
            credentials=None,
            decision_log=None if log is None else DecisionLogSettings(SubjectForm.OFF, b"", EVERY_ANSWER),
            traces=False,
            records=records is not None,
        )
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(supervising.link.run(supervising))
        try:
            yield supervising
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()
            await asyncio.wait([running])
            bound.close()


def test_it_listens_once_it_has_committed(folder):
    """And decides by what it committed to last, not by what it has only prepared."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            first, second = (policy_set(OPEN.format(path=path)) for path in ("/first", "/second"))
            await worker.deploy(first)
            assert await client.code("/first") == 0
            assert await worker.link.call(Prepare(pack(second), {})) is None
            assert await client.code("/first") == 0
            await worker.link.call(Commit())
            assert [await client.code(path) for path in ("/first", "/second")] == [16, 0]
            assert await client.revision("/second") == second.revision

    asyncio.run(main())


def test_it_imports_what_answering_takes_and_no_more():
    """Start and memory are those of a decision, not of the whole service."""
    code = "import sys, extauthz.server.worker; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(ran.stdout.split())
    assert "h2corn" in imported
    assert not imported & {"fastapi", "httpx", "pydantic", "yaml", "typer", "rich", "structlog", "prometheus_client"}
    assert not imported & {"grpc", "watchfiles", "cel_expr_python"}


def test_a_set_that_it_cannot_serve_is_objected_to(folder):
    """It goes on with the one in force."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            problem = await worker.link.call(Prepare(b"no pickle", {}))
            assert problem.startswith("UnpicklingError: ")
            assert await client.code("/first") == 0

    asyncio.run(main())


def test_it_asks_for_keys_and_waits_for_them(folder):
    """Once: what it was told is kept, and so is what it verified."""

    async def main():
        token = Token({}).mint(NOW())
        async with working(folder) as worker, Client(worker.address) as client:
            worker.keys = parse_key_set(public_key_set([signing_key("corp", "ES256")]))
            await worker.deploy(policy_set(GUARDED))
            for _ in range(2):
                assert await client.code("/guarded", authorization=f"Bearer {token}") == 0
            assert worker.needs == [None]
            tally = await worker.link.call(ReadTally())
            assert (tally.token_verifications, tally.token_cache_hits) == (1, 1)

    asyncio.run(main())


def test_keys_that_it_is_told_are_used_at_once(folder):
    """Those that come with a policy set, and those that replace them: a key withdrawn verifies nothing more."""

    async def main():
        guarded = policy_set(GUARDED)
        source = key_source_digest(guarded.providers[0])
        state, token = KeySetState(), Token({}).mint(NOW())
        state.fetched(parse_key_set(public_key_set([signing_key("corp", "ES256")])), NOW(), 300.0)
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(guarded, {source: state.standing()})
            assert await client.code("/guarded", authorization=f"Bearer {token}") == 0
            state.fetched(parse_key_set(public_key_set([signing_key("stranger", "ES256")])), NOW(), 300.0)
            worker.link.tell(Keys(source, replace(state.standing(), attempted_at=NOW())))
            assert await worker.link.call(ReadTally()) is not None  # what was told before has arrived
            assert await client.code("/guarded", authorization=f"Bearer {token}") == 16
            assert worker.needs == []

    asyncio.run(main())


def test_keys_that_cannot_be_had_are_could_not_decide(folder):
    """A denial with 503."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(GUARDED))
            response = await client.check("/guarded", authorization=f"Bearer {Token({}).mint(NOW())}")
            assert (response.status.code, response.denied_response.status.code) == (7, 503)

    asyncio.run(main())


def test_it_tells_what_it_has_counted(folder):
    """When asked, and at its end."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            await client.code("/first")
            assert (await worker.link.call(ReadTally())).decisions == {("allow", "allowed", "open"): 1}
            await client.code("/first")
            await worker.link.call(Drain())
            assert await worker.ended() == 0
            await asyncio.sleep(0)
        last = worker.told_so_far[-1]
        assert isinstance(last, Tally)
        assert last.decisions == {("allow", "allowed", "open"): 2}

    asyncio.run(main())


def test_decisions_are_logged_to_its_pipe(folder):
    """Whole, the last ones at its end."""
    read, write = os.pipe()

    async def main():
        async with working(folder, log=write) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            for _ in range(3):
                await client.code("/first")
            await worker.link.call(Drain())
            assert await worker.ended() == 0

    asyncio.run(main())
    os.close(write)
    with os.fdopen(read) as pipe:
        lines = [json.loads(line) for line in pipe]
    assert [line["reason"] for line in lines] == ["allowed"] * 3


def test_decisions_are_recorded_to_another_pipe(folder):
    """Likewise; the decision log does without."""
    read, write = os.pipe()

    async def main():
        async with working(folder, records=write) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            for path in ("/first", "/other"):
                await client.code(path)
            await worker.link.call(Drain())
            assert await worker.ended() == 0

    asyncio.run(main())
    os.close(write)
    with os.fdopen(read) as pipe:
        records = [read_record(line) for line in pipe]
    assert [(each.request.target, each.decision.effect) for each in records] == [
        ("/first", "allow"),
        ("/other", "deny"),
    ]


def test_draining_answers_what_is_in_flight(folder):
    """A call that waits for keys gets its answer though nobody new is let in."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            arrived, release = asyncio.Event(), asyncio.Event()
            fetch = worker.called

            async def called(message):
                arrived.set()
                await release.wait()
                return await fetch(message)

            worker.called = called
            worker.keys = parse_key_set(public_key_set([signing_key("corp", "ES256")]))
            await worker.deploy(policy_set(GUARDED))
            token = Token({}).mint(NOW())
            calling = asyncio.ensure_future(client.code("/guarded", authorization=f"Bearer {token}"))
            await arrived.wait()
            await worker.link.call(Drain())
            release.set()
            assert await calling == 0
            assert await worker.ended() == 0

    asyncio.run(main())


def test_without_its_supervisor_it_ends_at_once(folder):
    """Calls in flight or not."""

    async def main():
        async with working(folder) as worker:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            worker.link.close()
            async with asyncio.timeout(5):
                assert await worker.ended() == 0

    asyncio.run(main())


def test_signals_are_left_to_its_supervisor(folder):
    """An init system sends them to every process of a service."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                worker.process.send_signal(number)
            assert await client.code("/first") == 0

    asyncio.run(main())


def test_health_is_what_the_supervisor_says(folder):
    """Serving until it is told that no new calls should come; they are still answered."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            assert await client.health() == SERVING
            worker.link.tell(ReportNotReady())
            await worker.link.call(ReadTally())
            assert await client.health() != SERVING
            assert await client.code("/first") == 0

    asyncio.run(main())


def test_a_worker_that_is_not_serving_yet_drains_at_once(folder):
    """The service may be told to stop while it starts."""

    async def main():
        async with working(folder) as worker:
            await worker.link.call(Drain())
            assert await worker.ended() == 0

    asyncio.run(main())


def test_a_defect_is_told_before_the_end(folder):
    """The supervisor logs it: standard error is not the place for a traceback."""

    async def main():
        async with working(folder) as worker:
            with contextlib.suppress(LinkClosedError):
                await worker.link.call("nonsense")
            assert await worker.ended() == 1
            assert (await worker.process.stderr.read()).decode() == ""
        (event,) = [each for each in worker.told_so_far if isinstance(each, LogEvent)]
        assert (event.level, event.name) == ("error", "worker_failed")
        assert "not called: str" in event.values["exception"]

    asyncio.run(main())


def test_credentials_are_replaced_only_where_there_are_some(folder):
    """On a Unix socket there is nothing to do; what is unusable is objected to elsewhere."""

    async def main():
        async with working(folder) as worker, Client(worker.address) as client:
            await worker.deploy(policy_set(OPEN.format(path="/first")))
            credentials = Credentials(b"", b"", None, expires_at=0.0)
            assert await worker.link.call(ReplaceCredentials(credentials)) is None
            assert await client.code("/first") == 0

    asyncio.run(main())


def test_an_inherited_socket_is_closed_for_one_process_only(folder):
    """The others go on listening."""
    bound = listen(UnixAddress(str(folder / "x.sock")))
    inherited = InheritedSocket(os.dup(bound.descriptor), bound.address)
    inherited.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / "x.sock"))
    bound.close()


def test_events_are_passed_on_with_their_traceback():
    """As text: the other process need not know the exception."""

    async def main():
        ours, theirs = [await Link.over(each) for each in socket.socketpair()]
        logger, told = ForwardingLogger(ours), Supervising(theirs, None, None)
        logger.error("failed", exc_info=LookupError("this"), note="n")
        logger.warning("beware", problem="p")
        await ours.finish()
        await theirs.run(told)
        ours.close()
        return told.told_so_far

    failed, beware = asyncio.run(main())
    assert (failed.level, failed.name, failed.values["note"]) == ("error", "failed", "n")
    assert failed.values["exception"].endswith("LookupError: this")
    assert beware == LogEvent("warning", "beware", {"problem": "p"})
