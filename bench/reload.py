"""Policy changes under load, through a real Envoy: is every request answered, and by one policy set that was in force?

Each generation of the set names its route, its rule and the header that it sets upstream after itself. So a decision by
a mix of two shows in Envoy's access log, and so does one by a set that was not in force while the request lasted.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.process import Placement
from bench.servers import authorizer
from bench.workloads import WrongReplyError
from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.address import TcpAddress, parse_address
from extauthz.lowering.bootstrap import cluster, listener
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.ext_authz import AUTHORIZER_CLUSTER, check_filters
from extauthz.sources.policy_files import load

_TRANSPORT: Final = "h2corn"
_PATH: Final = "/open"
_FILLERS: Final = 200
"""Routes beside the one that is asked for: a change takes some time to load."""
_BATCH: Final = 2_000
"""Requests that h2load sends in one go, until there were enough of them and all changes are made."""
_STREAMS: Final = 4
_REQUESTS_PER_CONNECTION: Final = 200
"""Which worker gets a connection is chance, so there are several at a time, and always new ones."""
_DEADLINE_MS: Final = 5_000
"""Of a decision; Envoy waits twice as long. What is asked is who decided, and a busy machine must not answer for it."""
_LOAD_SECONDS: Final = 120.0
_CHANGE_SECONDS: Final = 30.0
_LOG_SECONDS: Final = 10.0
_POLL_SECONDS: Final = 0.01
_CLOCK_SECONDS: Final = 0.002
"""Envoy writes whole milliseconds, and reads a clock of its own thread."""

_SUCCEEDED = re.compile(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed, (\d+) errored")
_STATUSES = re.compile(r"status codes: (\d+) 2xx")


@dataclass(frozen=True, slots=True)
class Reloading:
    """What came of it."""

    workers: int
    changes: int
    requests: int
    seconds: float
    generations_seen: int
    """How many of the generations decided a request."""
    processes_seen: int
    """How many processes decided requests: an id begins with its process's own digits, and ends in ten."""
    slowest_ms: int

    def render(self) -> str:
        """For people."""
        return (
            f"{self.changes} policy changes during {self.requests:,} requests through Envoy in {self.seconds:.0f} s, "
            f"answered by {self.processes_seen} of {self.workers} processes: no request failed, none was decided by a "
            f"mix or by a set not in force; {self.generations_seen} sets decided, slowest request {self.slowest_ms} ms."
        )


def reload_under_load(directory: Path, *, changes: int, requests: int, workers: int) -> Reloading:
    """Change the policy that often during at least so many requests.

    Raises:
        WrongReplyError: a request failed, or was decided by what was not one set in force.
        EnvironmentUnfitError: there is no Envoy or no h2load.
    """
    if shutil.which("h2load") is None:
        raise EnvironmentUnfitError("h2load was not found: install nghttp2-client (Debian)")
    policy = directory / "reloaded"
    policy.mkdir()
    _write(policy, 0)
    settings = {"EXTAUTHZ_DEADLINE_MS": str(_DEADLINE_MS)}
    with authorizer(policy, _TRANSPORT, directory, Placement(None, None), workers=workers, settings=settings) as server:
        assert server.pid is not None, "it is a child of ours"
        changer = _Changer(policy, directory / f"{policy.name}-{_TRANSPORT}.stderr", server.pid, changes)
        access_log = directory / "access.log"
        with EmbeddedEnvoy(_bootstrap(policy, server.address, access_log), directory) as envoy:
            started = time.monotonic()
            changer.start()
            sent = 0
            while sent < requests or changer.is_alive():
                _send(str(envoy.addresses["front"]), _BATCH)
                sent += _BATCH
            seconds = time.monotonic() - started
            lines = _lines(access_log, sent)
    if changer.failure is not None:
        raise changer.failure
    generations = changer.generations()
    seen = {_check(line, generations) for line in lines}
    processes = {line["decision_id"][:-10] for line in lines}
    if len(processes) != workers:
        raise WrongReplyError(f"{len(processes)} of {workers} processes were asked: nothing is proved of the others")
    slowest = max(line["duration_ms"] for line in lines)
    return Reloading(workers, changes, sent, seconds, len(seen), len(processes), slowest)


@dataclass(frozen=True, slots=True)
class _Generation:
    """When a set can have been in force, in seconds since the epoch."""

    number: int
    written_at: float
    replaced_at: float
    """By then the service had told that the next one was in force."""


class _Changer(threading.Thread):
    """Changes the policy again and again, each time once the last change is in force."""

    def __init__(self, policy: Path, log: Path, pid: int, changes: int) -> None:
        super().__init__(name="changer")
        self.failure: WrongReplyError | None = None
        self._policy = policy
        self._log = log
        self._pid = pid
        self._changes = changes
        self._written_at = [0.0]

    def run(self) -> None:
        for number in range(1, self._changes + 1):
            self._written_at.append(time.time())  # noqa: TID251 - compared with the clocks of other processes
            _write(self._policy, number)
            os.kill(self._pid, signal.SIGHUP)
            deadline = time.monotonic() + _CHANGE_SECONDS
            while len(self._loads()) <= number:
                if time.monotonic() > deadline:
                    self.failure = WrongReplyError(f"change {number} did not come into force:\n{self._log.read_text()}")
                    return
                time.sleep(_POLL_SECONDS)

    def generations(self) -> Mapping[str, _Generation]:
        """By revision."""
        loads = self._loads()
        told_at = [*loads.values(), float("inf")]
        return {
            revision: _Generation(number, self._written_at[number], told_at[number + 1])
            for number, revision in enumerate(loads)
        }

    def _loads(self) -> dict[str, float]:
        """When each revision was first told to be in force, in order."""
        loads: dict[str, float] = {}
        for line in self._log.read_text().splitlines():
            if line.startswith("{") and '"policy_loaded"' in line:
                event = json.loads(line)
                loads.setdefault(event["revision"], _epoch(event["timestamp"]))
        return loads


def _write(policy: Path, number: int) -> None:
    """Put a generation in the place of the one before, at once."""
    fillers = "".join(f"  - {{name: filler-{each}, path: /f/{each}, public: true}}\n" for each in range(_FILLERS))
    text = (
        f"version: 1\nname: reloaded\nupstream_headers: {{set: {{x-generation: g{number}}}}}\nroutes:\n"
        f"  - {{name: g{number}, path: {_PATH}, authentication: none, "
        f"allow: [{{name: a{number}, anyone: true, when: \"request.path == '{_PATH}'\"}}]}}\n"
    )
    fresh = policy.parent / "fresh.yaml"
    fresh.write_text(text + fillers)
    fresh.replace(policy / "policy.yaml")


def _bootstrap(policy: Path, authorizer_address: str, access_log: Path) -> dict[str, Any]:
    policy_set = load([str(policy)]).parsed.policy_set
    log_fields = {"generation": "%REQ(X-GENERATION)%"}
    fields = connection_manager_fields(access_log=str(access_log), log_fields=log_fields)
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    filters: list[Any] = check_filters(policy_set)
    filters[-1]["typed_config"]["grpc_service"]["timeout"] = f"{2 * _DEADLINE_MS / 1000}s"
    front = listener("front", TcpAddress("127.0.0.1", 0), filters, fields, routes=routes)
    authorizer_cluster = cluster(
        AUTHORIZER_CLUSTER, parse_address(authorizer_address), http2={"max_concurrent_streams": _STREAMS}
    )
    (options,) = authorizer_cluster["typed_extension_protocol_options"].values()
    options["common_http_protocol_options"] = {"max_requests_per_connection": _REQUESTS_PER_CONNECTION}
    return {"static_resources": {"clusters": [authorizer_cluster], "listeners": [front]}}


def _send(address: str, requests: int) -> None:
    command = ["h2load", "-t1", "-c4", "-m8", f"-n{requests}", f"http://{address}{_PATH}"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False)
    succeeded, statuses = _SUCCEEDED.search(ran.stdout), _STATUSES.search(ran.stdout)
    if succeeded is None or statuses is None or (succeeded[1], statuses[1]) != (str(requests), str(requests)):
        raise WrongReplyError(f"not every request was let in:\n{ran.stdout}{ran.stderr}")


def _lines(access_log: Path, wanted: int) -> Sequence[Mapping[str, Any]]:
    """Envoy's lines about all requests; it writes them a moment after the responses."""
    deadline = time.monotonic() + _LOG_SECONDS
    while access_log.read_bytes().count(b"\n") < wanted:
        if time.monotonic() > deadline:
            raise WrongReplyError(f"Envoy's access log does not have {wanted} lines")
        time.sleep(_POLL_SECONDS)
    return list(_parsed(access_log))


def _parsed(access_log: Path) -> Iterator[Mapping[str, Any]]:
    with access_log.open("rb") as lines:
        for line in lines:
            yield json.loads(line)


def _check(line: Mapping[str, Any], generations: Mapping[str, _Generation]) -> int:
    """The generation that decided a request; raises if it was not one, or not in force then."""
    generation = generations.get(line["revision"])
    if generation is None:
        raise WrongReplyError(f"a revision that never was: {line}")
    number = generation.number
    if (line["route"], line["policies"], line["generation"]) != (
        f"g{number}",
        [f"g{number}.allow.a{number}"],
        f"g{number}",
    ):
        raise WrongReplyError(f"decided by a mix, the revision is that of g{number}: {line}")
    began = _epoch(line["time"])
    ended = began + line["duration_ms"] / 1000
    if ended < generation.written_at - _CLOCK_SECONDS or began > generation.replaced_at + _CLOCK_SECONDS:
        raise WrongReplyError(f"decided by a set not in force then ({generation}): {line}")
    return number


def _epoch(time_text: str) -> float:
    return dt.datetime.fromisoformat(time_text).timestamp()
