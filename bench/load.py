"""Asks a server as many questions as wanted, and says what that cost the server.

h2load sends one message as often as one likes. It cannot take turns among several, so those go through the client of
`bench.streams`, and are compared with the empty handler under that same client.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import grpc
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse

from bench.process import cpu_seconds, resident_mb
from bench.servers import RunningServer
from bench.streams import Turn, ask_in_turn
from bench.workloads import Kind, Question, Workload, WrongReplyError
from extauthz.errors import EnvironmentUnfitError
from extauthz.server.check_method import CHECK_PATH

CONNECTIONS: Final = 2
"""As many as an Envoy with two worker threads opens."""
STREAMS: Final = 32
"""Requests in flight on each."""

_CALL_SECONDS: Final = 10.0
_LOAD_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one load cost."""

    requests: int
    seconds: float
    cpu_seconds: float
    """Of the server's whole process tree, until its decision log was written; not a number where it is not known."""
    resident_mb: float
    """Of the same, after the load; likewise."""

    @property
    def cpu_us(self) -> float:
        """CPU time a Check, in microseconds."""
        return self.cpu_seconds / self.requests * 1e6

    @property
    def per_second(self) -> float:
        """Checks a second."""
        return self.requests / self.seconds


def require_tools() -> None:
    """Look for what measuring takes.

    Raises:
        EnvironmentUnfitError: something is missing.
    """
    if sys.platform != "linux":
        raise EnvironmentUnfitError("CPU time and memory of servers are read as Linux has them: run it there")
    if shutil.which("h2load") is None:
        raise EnvironmentUnfitError(
            "h2load was not found: install nghttp2-client (Debian) or nghttp2 (Homebrew, Fedora)"
        )


def check_replies(server: RunningServer, workload: Workload) -> None:
    """Ask each question once through gRPC's own client, and look at everything that the reply should say.

    Raises:
        WrongReplyError: it says something else.
    """
    questions = workload.questions
    with _each_accounted_for(server, workload, len(questions)), grpc.insecure_channel(server.address) as channel:
        call = channel.unary_unary(CHECK_PATH)
        for question in questions:
            try:
                reply = CheckResponse.FromString(call(question.message, timeout=_CALL_SECONDS))
            except grpc.RpcError as error:
                raise WrongReplyError(f"{workload.name}: no reply: {error}") from error
            wrong = _describe_wrong(reply, question, is_ours=workload.served.kind is not Kind.PEER)
            if wrong is not None:
                raise WrongReplyError(f"{workload.name}: {wrong}; the whole reply:\n{reply}")


def _describe_wrong(reply: CheckResponse, question: Question, *, is_ours: bool) -> str | None:
    expected = question.expected
    headers = {option.header.key: option.header.value for option in reply.ok_response.headers}
    seen = {
        "code": (reply.status.code, expected.code),
        "response": (reply.WhichOneof("http_response"), "denied_response" if expected.code else "ok_response"),
        "status": (reply.denied_response.status.code or 200, expected.status),
        "x-user": (headers.get("x-user"), expected.user),
    }
    if is_ours:
        seen["reason"] = (reply.dynamic_metadata.fields["reason"].string_value, str(expected.reason))
    return next((f"{what} is {was!r}, not {should!r}" for what, (was, should) in seen.items() if was != should), None)


def apply_load(server: RunningServer, workload: Workload, requests: int) -> Measurement:
    """Warm the server up, then measure.

    Raises:
        WrongReplyError: not every request was answered, or not as expected, or not logged.
    """
    warm_up = max(requests // 10, len(workload.questions))
    with _each_accounted_for(server, workload, warm_up):
        _ask(server.address, workload, warm_up)
    cpu_before = _cpu_seconds(server)
    with _each_accounted_for(server, workload, requests):
        started = time.perf_counter()
        _ask(server.address, workload, requests)
        seconds = time.perf_counter() - started
    resident = math.nan if server.pid is None else resident_mb(server.pid)
    return Measurement(requests, seconds, _cpu_seconds(server) - cpu_before, resident)


def _cpu_seconds(server: RunningServer) -> float:
    return math.nan if server.pid is None else cpu_seconds(server.pid)


@contextmanager
def _each_accounted_for(server: RunningServer, workload: Workload, requests: int) -> Iterator[None]:
    """Wait at the end until every decision is logged, which is part of its cost, and compare the server's own counts.

    This is what shows that no request was answered fast and wrong, as by refusing it under overload.
    """
    if server.telemetry is None:
        yield
        return
    before = server.telemetry.decisions()
    yield
    server.telemetry.await_log(requests)
    grown = {reason: count - before.get(reason, 0) for reason, count in server.telemetry.decisions().items()}
    answered = {reason: count for reason, count in grown.items() if count}
    if answered != {str(workload.questions[0].expected.reason): requests}:
        raise WrongReplyError(f"{workload.name}: {requests} requests were answered with {answered}")


def _ask(address: str, workload: Workload, requests: int) -> None:
    questions = workload.questions
    if not workload.takes_turns:
        _run_h2load(address, questions[0].message, requests)
    else:
        ask_in_turn(address, [Turn(each.message, _must_hold(workload, each)) for each in questions], requests)


def _must_hold(workload: Workload, question: Question) -> bytes:
    """The caller's own name must be in the reply, which no denial has; empty servers say nothing."""
    return question.expected.user.encode() if not workload.served.is_empty and question.expected.user else b""


def _run_h2load(address: str, message: bytes, requests: int) -> None:
    with tempfile.NamedTemporaryFile(suffix=".grpc") as frame:
        frame.write(b"\0" + len(message).to_bytes(4, "big") + message)
        frame.flush()
        command = ["h2load", "-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}", f"-n{requests}", "-d", frame.name]
        command += ["-H", "content-type: application/grpc", "-H", "te: trailers", f"http://{address}{CHECK_PATH}"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise WrongReplyError(f"h2load did not get {requests} replies in {_LOAD_SECONDS:.0f} s") from None
    succeeded = re.search(r"^status codes: ([0-9]+) 2xx", ran.stdout, re.MULTILINE)
    if ran.returncode != 0 or succeeded is None or int(succeeded[1]) != requests:
        raise WrongReplyError(f"h2load did not get {requests} replies:\n{ran.stdout}{ran.stderr}")
