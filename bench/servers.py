"""The servers under load: the authorizer as operators start it, and an empty handler on h2corn."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from bench.process import Placement, listening_process, running_on
from bench.workloads import WrongReplyError
from extauthz.errors import EnvironmentUnfitError

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 15.0
_SCRAPE_SECONDS: Final = 10.0
_LOG_SECONDS: Final = 30.0
_POLL_SECONDS: Final = 0.02

_GO_SOURCE: Final = Path(__file__).parent / "go" / "empty"

_READY = re.compile(
    r" at (?P<address>127\.0\.0\.1:[0-9]+)(?:; probes at http://(?P<admin>127\.0\.0\.1:[0-9]+)/readyz)?\n"
)
_COUNTED = re.compile(r'^extauthz_decisions_total\{.*reason="([a-z_]+)".*\} ([0-9.e+]+)$', re.MULTILINE)


class Telemetry:
    """What the authorizer itself says about its answers: its metrics and its decision log."""

    def __init__(self, admin: str, decision_log: Path | None) -> None:
        self._admin = admin
        self._decision_log = decision_log

    def decisions(self) -> Mapping[str, int]:
        """How many answers it has given so far, by reason."""
        connection = HTTPConnection(self._admin, timeout=_SCRAPE_SECONDS)
        try:
            connection.request("GET", "/metrics")
            exposition = connection.getresponse().read().decode()
        finally:
            connection.close()
        counted: Counter[str] = Counter()
        for reason, count in _COUNTED.findall(exposition):
            counted[reason] += int(float(count))
        return counted

    def await_log(self, lines: int) -> None:
        """Wait until the decision log, if there is one, has these lines more than at the last call, which empties it.

        Raises:
            WrongReplyError: it has others.
        """
        if self._decision_log is None:
            return
        deadline = time.monotonic() + _LOG_SECONDS
        while (written := self._decision_log.read_bytes().count(b"\n")) < lines and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        os.truncate(self._decision_log, 0)
        if written != lines:
            raise WrongReplyError(f"{lines} decisions left {written} lines in the decision log")


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers."""

    pid: int | None
    """None where that cannot be found out: a peer on another machine."""
    address: str
    telemetry: Telemetry | None
    """None for servers that have none."""


@contextmanager
def empty_server(directory: Path, placement: Placement) -> Iterator[RunningServer]:
    """What the transport alone costs."""
    with _running("empty", [sys.executable, "-m", "bench.empty"], directory, placement, {}) as (pid, ready):
        yield RunningServer(pid, ready["address"], None)


@contextmanager
def empty_go_server(directory: Path, placement: Placement) -> Iterator[RunningServer]:
    """What gRPC's library for Go costs, built from a few lines.

    Raises:
        EnvironmentUnfitError: it cannot be built.
    """
    binary = directory / "empty-go"
    # The compiler that is here, and no other that go.mod might ask for.
    environment = {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0"}
    built = subprocess.run(
        ["go", "build", "-C", str(_GO_SOURCE), "-o", str(binary), "."],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if built.returncode != 0:
        raise EnvironmentUnfitError(f"the empty server in Go cannot be built:\n{built.stderr}")
    with _running("empty-go", [str(binary)], directory, placement, {}) as (pid, ready):
        yield RunningServer(pid, ready["address"], None)


@contextmanager
def peer(address: str) -> Iterator[RunningServer]:
    """A server that runs already; its process is found where it listens on this machine and may be looked at."""
    yield RunningServer(listening_process(address), address, None)


@contextmanager
def authorizer(
    policy: Path,
    transport: str,
    directory: Path,
    placement: Placement,
    *,
    workers: int = 1,
    is_lean: bool = False,
    settings: Mapping[str, str] | None = None,
) -> Iterator[RunningServer]:
    """`extauthz serve`, with a decision log in a file unless it is to be lean, and metrics, which are always on.

    Args:
        settings: further ones, by their EXTAUTHZ_ variables.
    """
    name = f"{policy.name}-{transport}{'-lean' if is_lean else ''}"
    log = None if is_lean else directory / f"{name}.decisions"
    command = [sys.executable, "-m", "extauthz", "serve", str(policy), "--decision-log", str(log or "off")]
    command += ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--transport", transport]
    command += ["--workers", str(workers)]
    with _running(name, command, directory, placement, settings or {}) as (pid, ready):
        yield RunningServer(pid, ready["address"], Telemetry(ready["admin"], log))


@contextmanager
def _running(
    name: str, command: list[str], directory: Path, placement: Placement, settings: Mapping[str, str]
) -> Iterator[tuple[int, re.Match[str]]]:
    """The process that a command starts, once its standard error says that it is ready; ended with the block."""
    stderr = directory / f"{name}.stderr"
    environment = {variable: value for variable, value in os.environ.items() if not variable.startswith("EXTAUTHZ_")}
    environment |= settings
    with stderr.open("wb") as stream, running_on(placement.server):
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=stream, env=environment)
    try:
        yield process.pid, _wait_until_ready(process, stderr)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], stderr: Path) -> re.Match[str]:
    deadline = time.monotonic() + _START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        ready = _READY.search(stderr.read_text())
        if ready is not None:
            return ready
        time.sleep(_POLL_SECONDS)
    raise EnvironmentUnfitError(f"a server did not become ready:\n{stderr.read_text()}")
