import asyncio
import io
import json
import os
import shutil
import signal
import tempfile
import time
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from extauthz.authn.authenticator import KeySets
from extauthz.authn.keyset import KeySetState, parse_key_set
from extauthz.demo.issuer import public_key_set
from extauthz.errors import ConfigurationError, EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.server import supervisor as supervisor_module
from extauthz.server import worker_process
from extauthz.server.check_method import CheckLimits
from extauthz.server.decider import DeciderSettings
from extauthz.server.log_collector import LogCollector
from extauthz.server.messages import DecisionLogSettings, Start
from extauthz.server.sockets import listen_all
from extauthz.server.supervisor import Deployment, Supervisor
from extauthz.server.worker_process import Support
from extauthz.telemetry.decision_log import EVERY_ANSWER, SubjectForm
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger
from extauthz.telemetry.sink import FileSink
from tests.harness.grpc_check import SERVING, Client
from tests.harness.tokens import Token, signing_key
from tests.policies import HEAD, policy_set

NOW = time.time  # noqa: TID251 - real tokens for real processes

OPEN = "version: 1\nname: open\nroutes:\n  - {{name: open, path: {path}, public: true}}\n"
GUARDED = (
    HEAD.replace("RS256", "ES256") + "routes:\n  - {name: guarded, path: /guarded, allow: [{authenticated: true}]}\n"
)


class Supervised:
    """A supervisor with its surroundings."""

    def __init__(self, folder, policy):
        self.folder = folder
        self.policy = policy
        self.addresses = (UnixAddress(str(folder / "s.sock")), TcpAddress("127.0.0.1", 0))
        self.count = 2
        self.log = io.StringIO()
        self.key_sets = KeySets()
        self.state = KeySetState()
        self.fetches = 0
        self.logs_decisions = False

    async def fetch(self, need):
        self.fetches += 1
        self.state.fetched(parse_key_set(public_key_set([signing_key("corp", "ES256")])), NOW(), 300.0)

    async def make(self):
        self.sockets = listen_all(self.addresses)
        if self.policy.providers:
            self.state = self.key_sets.state_of(self.policy.providers[0])
        collector = log_settings = None
        if self.logs_decisions:
            log_settings = DecisionLogSettings(SubjectForm.OFF, b"", EVERY_ANSWER)
            collector = LogCollector(
                FileSink(str(self.folder / "decisions.log")), on_failure=lambda error: pytest.fail(str(error))
            )
        start = Start(
            DeciderSettings(CheckLimits(5.0, capacity=100), unavailable_as_error=False),
            tuple(each.address for each in self.sockets),
            drain_timeout_seconds=5.0,
            credentials=None,
            decision_log=log_settings,
            traces=False,
        )
        logger = build_logger(self.log, log_format=LogFormat.JSON, level=LogLevel.DEBUG)
        return Supervisor(
            self.sockets,
            start,
            await Deployment.of(self.policy),
            Support(self.key_sets, self.fetch, collector, logger),
            count=self.count,
            monotonic=time.perf_counter,
        )

    @asynccontextmanager
    async def running(self):
        supervisor = await self.make()
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(supervisor.run())
            try:
                await supervisor.started()
                yield supervisor
            finally:
                supervisor.stop()
                await asyncio.wait([running])
                for each in self.sockets:
                    each.close()

    def events(self):
        return [json.loads(line) for line in self.log.getvalue().splitlines()]

    async def until(self, condition):
        async with asyncio.timeout(20):
            while not condition():  # noqa: ASYNC110 - processes begin and end
                await asyncio.sleep(0.02)


def worker_pids(supervisor):
    return [worker.process.pid for worker in supervisor._workers]


async def answerer_of(client):
    """Which process answers this connection: ids of decisions begin with one of its own, and end in ten digits."""
    response = await client.check("/elsewhere")
    return response.dynamic_metadata["decision_id"][:-10]


@asynccontextmanager
async def one_client_for_each(supervisor):
    """As many connections as workers, each answered by another one."""
    clients = {}
    async with AsyncExitStack() as stack:
        for _ in range(500):
            client = Client(supervisor.addresses[0])
            process = await answerer_of(client)
            if process in clients:
                await client.__aexit__()
                continue
            clients[process] = await stack.enter_async_context(client)
            if len(clients) == supervisor.count:
                yield list(clients.values())
                return
        pytest.fail("the system gives all connections to the same workers")


@pytest.fixture
def folder():
    """Not pytest's tmp_path: the paths of Unix sockets must be short."""
    path = Path(tempfile.mkdtemp(prefix="s-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def supervised(folder):
    return Supervised(folder, policy_set(OPEN.format(path="/first")))


def test_calls_are_answered_by_several_processes(supervised):
    """On every address."""

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            assert [await client.code("/first") for client in clients] == [0, 0]
            assert await clients[0].health() == SERVING
            async with Client(supervisor.addresses[1]) as client:
                assert await client.code("/first") == 0
            assert (supervisor.serving, supervisor.restarts) == (2, 0)
            assert os.getpid() not in worker_pids(supervisor)

    asyncio.run(main())


def test_all_change_over_together(supervised):
    """Within the block all go on with the old set, after it all decide by the new one."""

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            second = policy_set(OPEN.format(path="/second"))
            async with supervisor.changing_to(second):
                assert {await client.revision("/first") for client in clients} == {supervised.policy.revision}
            assert {await client.revision("/second") for client in clients} == {second.revision}

    asyncio.run(main())


def test_a_set_that_a_worker_cannot_serve_is_refused_for_all(supervised, monkeypatch):
    """They go on as before, and the next set is another matter."""

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            monkeypatch.setattr(supervisor_module, "pack", lambda _: b"no pickle")
            with pytest.raises(ConfigurationError, match="cannot serve this policy: UnpicklingError"):
                async with supervisor.changing_to(policy_set(OPEN.format(path="/second"))):
                    pytest.fail("prepared")
            monkeypatch.undo()
            assert [await client.code("/first") for client in clients] == [0, 0]
            async with supervisor.changing_to(policy_set(OPEN.format(path="/third"))):
                pass
            assert [await client.code("/third") for client in clients] == [0, 0]

    asyncio.run(main())


def test_what_fails_between_preparing_and_committing_changes_nothing(supervised):
    """The block is the supervisor's own part of a change."""

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            with pytest.raises(LookupError):
                async with supervisor.changing_to(policy_set(OPEN.format(path="/second"))):
                    raise LookupError
            assert [await client.code("/first") for client in clients] == [0, 0]

    asyncio.run(main())


def test_each_worker_is_logged_with_its_start_and_its_memory(supervised):
    """What another one would cost."""

    async def main():
        async with supervised.running() as supervisor:
            return worker_pids(supervisor)

    pids = asyncio.run(main())
    logged = [each for each in supervised.events() if each["event"] == "worker_serves"]
    assert {each["worker"] for each in logged} == set(pids)
    assert all(0 < each["start_seconds"] < 60 and 10 < each["resident_mb"] < 500 for each in logged)


def test_a_killed_worker_is_replaced_under_the_set_in_force(supervised):
    """The other one goes on; the new one decides by what is in force by now, not by what it was at the start."""

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            second = policy_set(OPEN.format(path="/second"))
            async with supervisor.changing_to(second):
                pass
            killed, kept = worker_pids(supervisor)
            os.kill(killed, signal.SIGKILL)
            await supervised.until(lambda: supervisor.restarts == 1)
            answers = await asyncio.gather(*(client.code("/second") for client in clients))
            assert answers == [0, 0], "clients connect again to whoever is there"
            await supervised.until(lambda: supervisor.serving == 2)
            assert kept in worker_pids(supervisor)
            assert killed not in worker_pids(supervisor)
            async with one_client_for_each(supervisor) as renewed:
                assert {await client.revision("/second") for client in renewed} == {second.revision}
        (event,) = [each for each in supervised.events() if each["event"] == "worker_ended"]
        assert event["how"] == "was ended by signal 9"

    asyncio.run(main())


def test_a_worker_that_dies_again_and_again_is_replaced_ever_more_slowly(supervised):
    """It does not take the machine for itself."""
    supervised.count = 1

    async def main():
        async with supervised.running() as supervisor:
            for restarts in range(1, 4):
                await supervised.until(lambda: supervisor.serving == 1)
                os.kill(worker_pids(supervisor)[0], signal.SIGKILL)
                await supervised.until(lambda at=restarts: supervisor.restarts == at)
        pauses = [each["pause_seconds"] for each in supervised.events() if each["event"] == "worker_ended"]
        assert pauses == [0.1, 0.2, 0.4]

    asyncio.run(main())


def test_a_change_while_a_worker_is_being_replaced_reaches_it(supervised):
    """Whichever of the two is first."""

    async def main():
        async with supervised.running() as supervisor:
            for number in range(5):
                os.kill(worker_pids(supervisor)[0], signal.SIGKILL)
                latest = policy_set(OPEN.format(path=f"/p{number}"))
                await asyncio.sleep(0.1 * number)  # another moment of its start each time
                async with supervisor.changing_to(latest):
                    pass
                async with Client(supervisor.addresses[0]) as client:
                    assert await client.revision("/x") == latest.revision
                await supervised.until(lambda: supervisor.serving == 2)
                async with one_client_for_each(supervisor) as clients:
                    assert {await client.revision("/x") for client in clients} == {latest.revision}

    asyncio.run(main())


def test_counts_are_added_up_and_survive_their_process(supervised):
    """A counter never goes back."""

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            for client in clients:
                for _ in range(3):
                    await client.code("/first")
            await supervisor.refresh_tally()
            assert supervisor.read_tally().decisions["allow", "allowed", "open"] == 6
            os.kill(worker_pids(supervisor)[0], signal.SIGKILL)
            await supervised.until(lambda: supervisor.restarts == 1)
            await supervisor.refresh_tally()
            assert supervisor.read_tally().decisions["allow", "allowed", "open"] == 6

    asyncio.run(main())


def test_keys_are_fetched_here_and_told_to_all(folder):
    """The worker that needs them waits; the others have them when they are told."""
    supervised = Supervised(folder, policy_set(GUARDED))

    async def main():
        authorization = f"Bearer {Token({}).mint(NOW())}"
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            assert await clients[0].code("/guarded", authorization=authorization) == 0
            supervisor.announce_keys("corp")
            await supervisor.refresh_tally()  # by then they have heard it
            assert await clients[1].code("/guarded", authorization=authorization) == 0
            assert supervised.fetches == 1

    asyncio.run(main())


def test_a_new_worker_knows_the_keys(folder):
    """It need not ask."""
    supervised = Supervised(folder, policy_set(GUARDED))
    supervised.count = 1

    async def main():
        authorization = f"Bearer {Token({}).mint(NOW())}"
        async with supervised.running() as supervisor:
            await supervised.fetch(None)
            os.kill(worker_pids(supervisor)[0], signal.SIGKILL)
            await supervised.until(lambda: supervisor.restarts == 1 and supervisor.serving == 1)
            async with Client(supervisor.addresses[0]) as client:
                assert await client.code("/guarded", authorization=authorization) == 0
            assert supervised.fetches == 1

    asyncio.run(main())


def test_draining_answers_everything_and_logs_it(supervised):
    """Nothing that was accepted is lost, and every decision is in the one file."""
    supervised.logs_decisions = True

    async def main():
        async with supervised.running() as supervisor, one_client_for_each(supervisor) as clients:
            supervisor.report_not_ready()
            await supervisor.refresh_tally()
            assert await clients[0].health() != SERVING
            calls = [asyncio.ensure_future(client.code("/first")) for client in clients for _ in range(50)]
            assert await asyncio.gather(*calls) == [0] * 100
            await supervisor.refresh_tally()
            return sum(supervisor.read_tally().decisions.values())

    sent = asyncio.run(main())
    lines = [json.loads(line) for line in (supervised.folder / "decisions.log").read_text().splitlines()]
    assert len(lines) == sent >= 102
    assert len({line["decision_id"] for line in lines}) == sent
    assert not (supervised.folder / "s.sock").exists()


def test_a_worker_that_ends_while_it_starts_ends_the_start(supervised, monkeypatch):
    """Whoever started the service learns of it; it is not tried for ever."""
    monkeypatch.setattr(worker_process, "_WORKER", ("-c", "raise SystemExit(9)"))

    async def main():
        async with supervised.running():
            pytest.fail("started")

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(main())
    assert caught.group_contains(EnvironmentUnfitError, match="ended with status 9 while it was starting")


def test_a_worker_that_hangs_is_killed_and_replaced(supervised, monkeypatch):
    """A change of policy does not wait for it for ever, and it does not go on under the old set."""

    async def main():
        async with supervised.running() as supervisor:
            stopped = worker_pids(supervisor)[0]
            monkeypatch.setattr(supervisor_module, "_ALIVE_SECONDS", 0.5)
            os.kill(stopped, signal.SIGSTOP)
            second = policy_set(OPEN.format(path="/second"))
            async with supervisor.changing_to(second):
                assert stopped not in [worker.process.pid for worker in supervisor._serving_workers()]
            monkeypatch.undo()
            await supervised.until(lambda: supervisor.serving == 2)
            async with one_client_for_each(supervisor) as clients:
                assert {await client.revision("/second") for client in clients} == {second.revision}
        assert "worker_hangs" in [each["event"] for each in supervised.events()]

    asyncio.run(main())


def test_what_workers_log_is_logged_with_their_number(supervised):
    """Their own log is the supervisor's."""

    async def main():
        async with supervised.running() as supervisor:
            worker = supervisor._workers[0]
            worker.link.tell("nonsense")
            await supervised.until(lambda: supervisor.restarts == 1)
            return worker.process.pid

    number = asyncio.run(main())
    (event,) = [each for each in supervised.events() if each["event"] == "worker_failed"]
    assert (event["worker"], event["level"]) == (number, "error")
    assert "not told: str" in event["exception"]
