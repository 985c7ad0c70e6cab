import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import pytest
from envoy.service.auth.v3 import external_auth_pb2

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_WRONG_INPUT, run
from extauthz.server.check_method import CHECK_PATH

POLICY = "version: 1\nname: shop\nroutes:\n  - {name: open, path: /open, public: true}\n"


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


@pytest.fixture(autouse=True)
def no_variables(monkeypatch):
    """Tests do not depend on the environment they run in."""
    for name in list(os.environ):
        if name.startswith("EXTAUTHZ_"):
            monkeypatch.delenv(name)


class Served:
    """`extauthz serve` as a process, and what it writes."""

    def __init__(self, process):
        self.process = process
        self.errors: list[str] = []
        self._ready = threading.Event()
        self._new_line = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()
        assert self._ready.wait(30), "".join(self.errors)

    def _read(self):
        for line in self.process.stderr:
            with self._new_line:
                self.errors.append(line)
                self._new_line.notify_all()
            if " serving policy " in line:
                self._ready.set()
        self._ready.set()

    @property
    def ready_line(self):
        return next(line for line in self.errors if " serving policy " in line)

    @property
    def address(self):
        return self.ready_line.partition(" at ")[2].partition(";")[0]

    def says(self, event, count=1):
        """Wait until the log holds the event so many times."""

        def seen():
            return sum(f'"event": "{event}"' in line for line in self.errors) >= count

        with self._new_line:
            assert self._new_line.wait_for(seen, 20), "".join(self.errors)

    def check(self, path):
        message = external_auth_pb2.CheckRequest()
        http = message.attributes.request.http
        http.method, http.path, http.host = "GET", path, "shop.example"
        with grpc.insecure_channel(self.address) as channel:
            reply = channel.unary_unary(CHECK_PATH)(message.SerializeToString(), timeout=10)
        return external_auth_pb2.CheckResponse.FromString(reply)

    def ends(self, *signals):
        """Send the signals; the exit code, and what was written to standard output."""
        for number in signals:
            self.process.send_signal(number)
        output = self.process.stdout.read()
        code = self.process.wait(30)
        self._reader.join()
        return code, output


@contextlib.contextmanager
def serving(policy, *arguments):
    command = [sys.executable, "-m", "extauthz", "serve", str(policy), "--listen", "127.0.0.1:0", "--admin"]
    with subprocess.Popen(
        [*command, "127.0.0.1:0", *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield Served(process)
        finally:
            if process.poll() is None:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(policy, number):
    """One line says where; the decision log on standard output is whole; the exit code is 0."""
    with serving(policy, "--decision-log", "stdout") as served:
        assert re.fullmatch(
            r"extauthz 0\.1\.0 serving policy shop revision \w+ at 127\.0\.0\.1:\d+; "
            r"probes at http://127\.0\.0\.1:\d+/readyz\n",
            served.ready_line,
        )
        reply = served.check("/open")
        assert reply.status.code == 0
        code, output = served.ends(number)
    assert code == 0
    (line,) = output.splitlines()
    assert json.loads(line)["decision_id"] == reply.dynamic_metadata["decision_id"]
    assert not [line for line in served.errors if "Traceback" in line]


@pytest.mark.parametrize("transport", ["h2corn", "grpcio"])
def test_what_callers_provoke_leaves_no_trace_on_standard_error(policy, transport):
    """A compressed message, an unknown method: no library writes lines of its own, and calls go on."""
    with serving(policy, "--transport", transport) as served:
        before = len(served.errors)
        with grpc.insecure_channel(served.address) as channel:
            for path, message, compression in (
                ("/no/Method", b"", None),
                (CHECK_PATH, bytes(10_000), grpc.Compression.Gzip),
            ):
                with pytest.raises(grpc.RpcError) as caught:
                    channel.unary_unary(path)(message, timeout=10, compression=compression)
                assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
        assert served.check("/open").status.code == 0
        assert served.ends(signal.SIGTERM)[0] == 0
        written = [line for line in served.errors[before:] if '"event": "draining"' not in line]
    assert written == []


def test_a_hangup_loads_the_policy_again(policy):
    """Changed or not."""
    with serving(policy) as served:
        served.process.send_signal(signal.SIGHUP)
        served.says("policy_loaded", 2)
        assert served.check("/open").status.code == 0
        assert served.ends(signal.SIGTERM)[0] == 0


def test_a_second_signal_ends_at_once(policy, monkeypatch):
    """Whoever asks twice does not want to wait for the drain."""
    monkeypatch.setenv("EXTAUTHZ_DRAIN_DELAY_SECONDS", "600")
    with serving(policy) as served:
        served.process.send_signal(signal.SIGTERM)
        served.says("draining")
        assert served.check("/open").status.code == 0, "still serving"
        assert served.ends(signal.SIGTERM)[0] == 128 + signal.SIGTERM


def children(pid):
    """The processes that this one has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def await_end(pids):
    """Wait until none of them is there any more."""
    deadline = time.monotonic() + 5
    while [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert time.monotonic() < deadline, "still there"
        time.sleep(0.02)


def test_workers_drain_with_their_supervisor(policy):
    """A signal to the whole group, as a terminal or an init system sends it, is no reason to lose anything."""
    with serving(policy, "--workers", "2", "--decision-log", "stdout") as served:
        workers = children(served.process.pid)
        assert len(workers) == 2
        for _ in range(4):
            assert served.check("/open").status.code == 0
        for pid in workers:
            os.kill(pid, signal.SIGTERM)
        assert served.check("/open").status.code == 0
        code, output = served.ends(signal.SIGTERM)
        assert (code, len(output.splitlines())) == (0, 5)
        await_end(workers)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_workers_do_not_outlive_their_supervisor(policy, number, monkeypatch):
    """Killed, or told a second time to end: nobody would tell them of a policy that changed."""
    monkeypatch.setenv("EXTAUTHZ_DRAIN_DELAY_SECONDS", "600")
    with serving(policy, "--workers", "2") as served:
        workers = children(served.process.pid)
        if number is signal.SIGTERM:
            served.process.send_signal(number)
            served.says("draining")
        assert served.check("/open").status.code == 0, "still serving"
        served.process.send_signal(number)
        served.process.wait(10)
        await_end(workers)


def test_a_broken_policy_is_wrong_input(policy, capsys):
    """With every diagnostic, and nothing served."""
    policy.write_text(POLICY.replace("public", "pubic"))
    assert run(["serve", str(policy), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]) == EXIT_WRONG_INPUT
    errors = capsys.readouterr().err
    assert "did you mean 'public'?" in errors
    assert "serving policy" not in errors


def test_a_port_in_use_is_the_environments_fault(policy, capsys):
    """In one line that says what to do."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert run(["serve", str(policy), "--listen", address, "--admin", "127.0.0.1:0"]) == EXIT_ENVIRONMENT
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("{")]
    assert line == (
        f"extauthz: cannot listen at {address}: another process listens there: stop it, or choose another address"
    )


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "PATH is missing"),
        (["policy.yaml", "--listen", "nowhere"], "--listen: 'nowhere' is no address"),
        (["policy.yaml", "--admin", "0.0.0.0:9180"], "admin_api: false"),
        (["policy.yaml", "--config", "/no/such/file"], "No such file"),
        (["policy.yaml", "--no-such-flag"], "--no-such-flag"),
        (["policy.yaml", "--workers", "0"], "--workers: Input should be greater than or equal to 1"),
        (["policy.yaml", "--transport", "http"], "--transport: "),
        (["policy.yaml", "--tls-cert", "own.crt"], "tls_cert and tls_key go together"),
        (["policy.yaml", "--client-ca", "authority.crt"], "client_ca needs tls_cert and tls_key"),
        (["/no/such/policy"], "does not exist"),
    ],
)
def test_wrong_flags_are_wrong_input(arguments, part, capsys):
    """One line, exit 3."""
    assert run(["serve", *arguments]) == EXIT_WRONG_INPUT
    errors = capsys.readouterr().err
    assert part in errors
    assert "Traceback" not in errors


def test_the_settings_that_result_can_be_printed(tmp_path, capsys):
    """Flags over the file, without serving."""
    config = tmp_path / "config.yaml"
    config.write_text("deadline_ms: 100\nlisten: [127.0.0.1:1]\n")
    arguments = ["a", "b", "--listen", "127.0.0.1:2", "--listen", "unix:/run/x.sock", "--config", str(config)]
    assert run(["serve", *arguments, "--print-config"]) == 0
    printed = capsys.readouterr().out
    assert 'paths: ["a", "b"]' in printed
    assert 'listen: ["127.0.0.1:2", "unix:/run/x.sock"]' in printed
    assert "deadline_ms: 100" in printed
