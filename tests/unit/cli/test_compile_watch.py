"""A policy that changes while two Envoys run with the files."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Self

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run
from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.demo.upstream import echo_upstream
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress
from tests.harness.async_host import AsyncHost
from tests.harness.required import skip_unless_required

pytestmark = pytest.mark.envoy

CHANGES = 6
STATES = ("a", "b")
OTHER = {"a": "b", "b": "a"}
HEADERS = 'upstream_headers: {set: {x-user: "{principal.subject}"}}\n'
"""They are kept out of requests by a filter of their own."""


def policy_text(open_route: str, more: str = "") -> str:
    """Of /a and /b one is public, the other denied; which one says which policy is in force."""
    closed = OTHER[open_route]
    return (
        f"version: 1\nname: shop\n{more}routes:\n  - {{name: open, path: /{open_route}, public: true}}\n"
        f'  - {{name: closed, path: /{closed}, authentication: none, allow: [{{when: "1 == 2"}}]}}\n'
    )


def replace(path: Path, text: str) -> None:
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def wait_for(holds: Callable[[], bool], what: str, seconds: float = 10) -> float:
    """How long it took."""
    started = time.perf_counter()
    while not holds():
        assert time.perf_counter() < started + seconds, what
        time.sleep(0.005)
    return time.perf_counter() - started


def fronts(compiled: Path, upstream: TcpAddress) -> dict[str, object]:
    """A configuration of somebody's, into which the files were put."""
    filters, manager, clusters = (
        json.loads((compiled / f"{name}.json").read_text()) for name in ("http_filters", "hcm", "clusters")
    )
    types = "type.googleapis.com/envoy.extensions.filters"
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "mine"}}]
    manager |= {
        "@type": f"{types}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "mine",
        "route_config": {"virtual_hosts": [{"name": "v", "domains": ["*"], "routes": routes}]},
        "http_filters": [*filters, {"name": "router", "typed_config": {"@type": f"{types}.http.router.v3.Router"}}],
    }
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": upstream.to_envoy()}}]}]
    mine = {"name": "mine", "load_assignment": {"cluster_name": "mine", "endpoints": endpoints}}
    listener = {
        "name": "mine",
        "address": TcpAddress("127.0.0.1", 0).to_envoy(),
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    }
    node = {"id": "mine", "cluster": "mine"}  # Envoy wants to be named where it discovers anything
    return {"node": node, "static_resources": {"listeners": [listener], "clusters": [*clusters, mine]}}


class Client:
    """One connection to an Envoy."""

    def __init__(self, envoy: EmbeddedEnvoy) -> None:
        address = envoy.addresses["mine"]
        assert isinstance(address, TcpAddress)
        self._connection = HTTPConnection(address.host, address.port, timeout=10)

    def ask(self, path: str) -> int:
        self._connection.request("GET", path)
        response = self._connection.getresponse()
        response.read()
        return response.status

    def close(self) -> None:
        self._connection.close()


class Load:
    """Asks for both paths in turn, and keeps every answer with when it was asked for and given."""

    def __init__(self, envoy: EmbeddedEnvoy) -> None:
        self.answers: list[tuple[float, float, str, int]] = []
        self._client = Client(envoy)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            for state in STATES:
                asked = time.perf_counter()
                status = self._client.ask(f"/{state}")
                self.answers.append((asked, time.perf_counter(), state, status))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._client.close()


class Watching:
    """`extauthz compile --watch`, and its Envoys."""

    def __init__(self, folder: Path, policy: str) -> None:
        folder.mkdir()
        self.policy = folder / "policy.yaml"
        self.policy.write_text(policy)
        self.output = folder / "compiled"
        self._said = folder / "said"
        command = [sys.executable, "-m", "extauthz", "compile", str(self.policy), "--to", "wasm", "--watch"]
        with self._said.open("wb") as said:
            self.process = subprocess.Popen(
                [*command, "-o", str(self.output), "--residual", "forbid"], stdout=subprocess.DEVNULL, stderr=said
            )
        wait_for(lambda: "watching" in self.said, "the command did not start", 30)

    @property
    def said(self) -> str:
        return self._said.read_text()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(10)


@pytest.fixture
def watching(tmp_path: Path) -> Iterator[Watching]:
    try:
        envoy_binary()
    except EnvironmentUnfitError as error:
        skip_unless_required("envoy", str(error))
    found = Watching(tmp_path / "watched", policy_text("a"))
    yield found
    if found.process.poll() is None:
        found.stop()


@contextlib.contextmanager
def two_envoys(watching: Watching, folder: Path) -> Iterator[list[EmbeddedEnvoy]]:
    with contextlib.ExitStack() as stack:
        host = stack.enter_context(AsyncHost())
        bootstrap = fronts(watching.output, host.enter(echo_upstream))
        envoys = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            envoys.append(stack.enter_context(EmbeddedEnvoy(bootstrap, folder / name)))
        yield envoys


def in_force(client: Client, state: str) -> bool:
    return [client.ask(f"/{each}") for each in STATES] == [200 if each == state else 403 for each in STATES]


def test_changes_are_enforced_within_a_second_and_no_request_fails(watching: Watching, tmp_path: Path) -> None:
    """In both Envoys, under load; each answer is that of the old policy or that of the new one."""
    with two_envoys(watching, tmp_path) as envoys:
        clients = [Client(each) for each in envoys]
        assert all(in_force(each, "a") for each in clients)
        spans: list[tuple[float, float, str]] = [(0.0, time.perf_counter(), "a")]
        with Load(envoys[0]) as first, Load(envoys[1]) as second:
            state, seen = "a", 0.0
            for _ in range(CHANGES):
                state, written = OTHER[state], time.perf_counter()
                spans[-1] = (spans[-1][0], written, spans[-1][2])
                replace(watching.policy, policy_text(state))
                for client in clients:
                    wait_for(partial(in_force, client, state), "the change was not enforced")
                spans.append((time.perf_counter(), 0.0, state))
                seen = max(seen, spans[-1][0] - written)
        spans[-1] = (spans[-1][0], time.perf_counter() + 60, state)
        for client in clients:
            client.close()
    answers = [*first.answers, *second.answers]
    assert seen < 2  # a fifth of a second of it is waiting for quiet files; the machine may be busy
    assert {status for *_, status in answers} == {200, 403}
    wrong = [
        answer
        for answer in answers
        for since, until, state in spans
        if since < answer[0] and answer[1] < until and (answer[3] == 200) != (answer[2] == state)
    ]
    assert wrong == []


def test_what_cannot_be_delivered_leaves_the_old_policy(watching: Watching, tmp_path: Path) -> None:
    """A wrong policy, and one that needs other filters; then a right one is taken, and the rest is told."""
    with two_envoys(watching, tmp_path) as envoys:
        client = Client(envoys[0])
        before = (watching.output / "extension.json").read_bytes()
        replace(watching.policy, "version: 1\nroutes: []\n")
        wait_for(lambda: watching.said.count("last good policy stays") == 1, "the wrong policy was not told")
        replace(watching.policy, policy_text("b", HEADERS))
        wait_for(lambda: watching.said.count("last good policy stays") == 2, "the other filters were not told")
        assert "start Envoy with the new files" in watching.said
        assert (watching.output / "extension.json").read_bytes() == before
        assert in_force(client, "a")
        replace(watching.policy, policy_text("b"))
        wait_for(lambda: in_force(client, "b"), "the right policy was not taken")
        client.close()
    assert watching.stop() == 0
    assert "Traceback" not in watching.said


def test_envoy_refuses_a_module_that_was_made_for_other_filters(watching: Watching, tmp_path: Path) -> None:
    """As it is when somebody compiles into the folder of an Envoy that runs; what it has stays, also without us."""
    with two_envoys(watching, tmp_path) as envoys:
        assert watching.stop() == 0
        client = Client(envoys[0])
        other = Watching(tmp_path / "other", policy_text("b", HEADERS))
        assert other.stop() == 0
        replace(watching.output / "extension.json", (other.output / "extension.json").read_text())
        wait_for(lambda: _count(envoys[0], "update_rejected") == 1, "the module was not refused")
        assert in_force(client, "a")
        client.close()


def test_everything_is_denied_until_there_is_a_module(watching: Watching, tmp_path: Path) -> None:
    """That can be used; the next one is taken."""
    module = watching.output / "extension.json"
    text = module.read_text()
    replace(module, '{"resources": []}')  # without the file Envoy would not start
    with two_envoys(watching, tmp_path) as envoys:
        client = Client(envoys[0])
        assert [client.ask(path) for path in ("/a", "/b", "/nowhere")] == [403, 403, 403]
        replace(module, text)
        wait_for(lambda: in_force(client, "a"), "the module was not taken")
        client.close()


def test_a_folder_that_cannot_be_written_to_is_told_and_tried_again(watching: Watching) -> None:
    """Once SIGHUP says that it can be; one that went away is not made anew, for no Envoy would look into it."""
    module, report = watching.output / "extension.json", watching.output / "report.json"
    before = module.read_bytes()
    report.unlink()
    report.mkdir()  # root may write anywhere, but not over a folder
    replace(watching.policy, policy_text("b"))
    wait_for(lambda: "send SIGHUP" in watching.said, "the failure was not told")
    report.rmdir()
    watching.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "wrote revision" in watching.said, "it was not tried again")
    assert module.read_bytes() != before
    shutil.rmtree(watching.output)
    replace(watching.policy, policy_text("a"))
    wait_for(lambda: "extension.json is gone" in watching.said, "the folder was not missed")
    assert not watching.output.exists()
    assert watching.stop() == 0
    assert "Traceback" not in watching.said


@pytest.mark.parametrize("to", ["envoy", "istio"])
def test_only_a_module_can_be_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str], to: str) -> None:
    """Several filters would be of two policies for a moment; nothing is written."""
    policy = tmp_path / "policy.yaml"
    policy.write_text(policy_text("a"))
    arguments = ["compile", str(policy), "--to", to, "-o", str(tmp_path / "out"), "--watch"]
    assert run(arguments) == EXIT_WRONG_INPUT
    assert "--watch goes with --to wasm" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def _count(envoy: EmbeddedEnvoy, counter: str) -> int:
    stats = envoy.get_admin(f"/stats?filter=extension_config_discovery.*{counter}").split()
    return int(stats[-1])
