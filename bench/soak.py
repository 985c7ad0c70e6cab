"""`python -m bench soak`: half of the peak rate for a long time. Is every request answered, and does memory stay flat?

The peak is what the same client reaches on the same machine just before. Memory is that of each process, beside what
was answered until then; at a steady rate it has reached its height after a third of the time, and what comes on top is
growth. The first error ends it.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.http2 import grpc_headers
from bench.open_loop import Request, latencies, peak_rate
from bench.policy import write_policy
from bench.process import choose_placement, resident_mb_by_process, running_on
from bench.progress import tell
from bench.servers import RunningServer, Telemetry, authorizer
from bench.table import describe_machine
from bench.workloads import SMALL, Workload, WrongReplyError, build_workloads
from extauthz.demo.issuer import generate_key
from extauthz.model.decision import Reason
from extauthz.server.check_method import CHECK_PATH

GROWTH_MB: Final = 3.0
"""What a process may gain between the first third and the last: heaps are settled, and not of one size."""

_MINUTES: Final = 10.0
_PART: Final = 0.5
_SAMPLES: Final = 30
_PEAK_REQUESTS: Final = 10_000
_DEADLINE_MS: Final = 5_000
"""Of a decision: a request that has to wait, as for a machine that does something else, is to be seen, not refused."""
_IN_FLIGHT: Final = 1_024
"""As many as Envoy's circuit breaker lets be."""
_PROBLEM_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Sample:
    """What came of a stretch of the time, and how things stand at its end."""

    seconds: float
    """Since the start."""
    answered: int
    """As the server counts, and rightly."""
    problem: str | None
    """What was not answered as it should be, or not logged."""
    slowest_ms: float
    """From when a request was due; not a number where there was a problem."""
    resident_mb: Mapping[int, float]
    """By process; the first is the one that was started."""


def soak(arguments: Sequence[str]) -> str:
    """Ask for as long as the arguments say; the table and the verdict, in Markdown.

    Raises:
        WrongReplyError: a request was not answered as it should be, or memory grew; it says the same.
    """
    given = _parse(arguments)
    key = generate_key("RS256")
    placement = choose_placement()
    now = time.time()  # noqa: TID251 - this program's composition root
    workload = next(each for each in build_workloads(key, now) if each.name == "allow")
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as temporary, running_on(placement.load):
        directory = Path(temporary)
        policy = write_policy(directory / "policy", key, routes=SMALL)
        settings = {"EXTAUTHZ_DEADLINE_MS": str(_DEADLINE_MS)}
        with authorizer(
            policy, given.transport, directory, placement, workers=given.workers, settings=settings
        ) as server:
            peak, rate, samples = _run(server, workload, given.minutes * 60, given.part)
    problems = list(judge(samples))
    lines = [f"{name}: {value}" for name, value in describe_machine(placement).items()]
    lines += ["", f"{given.transport}, {rate:,} requests a second, {given.part:.0%} of the peak ({peak:,.0f}).", ""]
    lines += _rows(samples)
    lines += ["", *(problems or ["No error, and memory is flat."])]
    report = "\n".join(lines) + "\n"
    if problems:
        raise WrongReplyError(report)
    return report


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description="A steady rate for a long time.")
    parser.add_argument("--minutes", type=float, default=_MINUTES, help="[%(default)s]")
    parser.add_argument("--part", type=float, default=_PART, help="of the peak rate [%(default)s]")
    parser.add_argument("--transport", choices=("h2corn", "grpcio"), default="h2corn", help="[%(default)s]")
    parser.add_argument("--workers", type=int, default=1, help="[%(default)s]")
    given = parser.parse_args(arguments)
    if given.minutes <= 0 or not 0 < given.part <= 1 or given.workers < 1:
        parser.error("--minutes and --workers are positive, and --part is more than 0 and at most 1")
    return given


def _run(server: RunningServer, workload: Workload, seconds: float, part: float) -> tuple[float, int, Sequence[Sample]]:
    """The peak rate, the rate that was asked at, and what came of it."""
    (question,) = workload.questions
    message = b"\0" + len(question.message).to_bytes(4, "big") + question.message
    request = Request(grpc_headers(server.address, CHECK_PATH), message, b"alice")
    tell("peak")
    peak = peak_rate(server.address, request, _PEAK_REQUESTS)
    _telemetry(server).await_log(_PEAK_REQUESTS)
    rate = max(1, int(peak * part))
    samples = list(_samples(server, request, rate, seconds))
    tell("")
    return peak, rate, samples


def _samples(server: RunningServer, request: Request, rate: int, seconds: float) -> Iterator[Sample]:
    assert server.pid is not None
    requests = max(1, int(rate * seconds / _SAMPLES))
    started = time.perf_counter()
    for number in range(1, _SAMPLES + 1):
        tell(f"{number} of {_SAMPLES}: {rate:,} requests a second")
        before = _allowed(server)
        problem, slowest = None, math.nan
        try:
            took = latencies(server.address, request, rate=rate, requests=requests, in_flight=_IN_FLIGHT)
            slowest = took[-1] * 1000
            _telemetry(server).await_log(requests)
        except WrongReplyError as error:
            problem = str(error)[:_PROBLEM_CHARACTERS]
        elapsed = time.perf_counter() - started
        yield Sample(elapsed, _allowed(server) - before, problem, slowest, resident_mb_by_process(server.pid))
        if problem is not None:
            return  # not all of what was sent is answered yet: it would be counted with the next


def _telemetry(server: RunningServer) -> Telemetry:
    assert server.telemetry is not None
    return server.telemetry


def _allowed(server: RunningServer) -> int:
    return _telemetry(server).decisions().get(str(Reason.ALLOWED), 0)


def judge(samples: Sequence[Sample]) -> Iterator[str]:
    """What is wrong, a line each."""
    for sample in samples:
        if sample.problem is not None:
            yield f"After {sample.seconds:.0f} s: {sample.problem}"
    first, last = samples[0].resident_mb.keys(), samples[-1].resident_mb.keys()
    if first != last:
        yield f"Processes {sorted(first)} became {sorted(last)}."
    third = max(1, len(samples) // 3)
    for process in first & last:
        settled = max(sample.resident_mb[process] for sample in samples[:third])
        growth = max(sample.resident_mb[process] for sample in samples[-third:]) - settled
        if growth > GROWTH_MB:
            yield f"Process {process} grew by {growth:.1f} MB after the first third of the time."


def _rows(samples: Sequence[Sample]) -> Iterator[str]:
    processes = list(samples[0].resident_mb)
    yield "| s | requests | slowest ms | " + " | ".join(f"MB of {each}" for each in processes) + " |"
    yield "|-:|-:|-:|" + "-:|" * len(processes)
    answered = 0
    for sample in samples:
        answered += sample.answered
        memory = " | ".join(f"{sample.resident_mb.get(each, math.nan):.1f}" for each in processes)
        yield f"| {sample.seconds:.0f} | {answered:,} | {sample.slowest_ms:.1f} | {memory} |"
