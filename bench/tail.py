"""`python -m bench tail`: latency at fixed rates, of the authorizer alone and through a real Envoy.

The rates are parts of the peak that the same client reaches on the same machine just before. Latency counts from when a
request was due.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.http2 import grpc_headers
from bench.open_loop import Request, latencies, peak_rate
from bench.plot import plot
from bench.policy import write_policy
from bench.process import choose_placement, running_on
from bench.progress import tell
from bench.servers import authorizer
from bench.table import describe_machine
from bench.workloads import ORDER, SMALL, build_workloads, mint
from extauthz.demo.envoy import EmbeddedEnvoy
from extauthz.demo.issuer import SigningKey, generate_key
from extauthz.errors import ConfigurationError
from extauthz.lowering.address import TcpAddress, parse_address
from extauthz.lowering.bootstrap import cluster, listener
from extauthz.lowering.connection_manager import connection_manager_fields
from extauthz.lowering.ext_authz import AUTHORIZER_CLUSTER, check_filters
from extauthz.server.check_method import CHECK_PATH
from extauthz.sources.policy_files import load

PERCENTILES: Final = (50.0, 90.0, 99.0, 99.9)
_PARTS: Final = (0.1, 0.25, 0.5, 0.75)
_SECONDS: Final = 10.0
_PEAK_REQUESTS: Final = 20_000
_WARM_UP: Final = 2_000
_DEADLINE_MS: Final = 5_000
"""Of a decision; Envoy waits twice as long. A request that has to wait is to be seen, not refused."""


@dataclass(frozen=True, slots=True)
class Level:
    """What one rate gave."""

    part: float
    """Of the peak."""
    rate: int
    """Requests a second."""
    milliseconds: Mapping[float, float]
    """Latency by percentile."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is measured."""

    name: str
    address: str
    request: Request


def tail(arguments: Sequence[str]) -> str:
    """Measure what the arguments ask for; the table, in Markdown.

    Raises:
        EnvironmentUnfitError: there is no Envoy.
        WrongReplyError: an answer is wrong, or does not come.
    """
    given = _parse(arguments)
    key = generate_key("RS256")
    placement = choose_placement()
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as temporary, running_on(placement.load):
        found = {
            subject.name: list(_levels(subject, given.seconds, given.part))
            for subject in _subjects(key, Path(temporary))
        }
    machine = describe_machine(placement)
    if given.json is not None:
        given.json.write_text(json.dumps(_as_json(machine, given.seconds, found), indent=2) + "\n")
    if given.svg is not None:
        given.svg.write_text(_picture(found))
    return "\n".join(_lines(machine, given.seconds, found)) + "\n"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench tail", description="Latency at fixed rates.")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="at each rate [%(default)s]")
    parser.add_argument("--part", type=float, action="append", metavar="PART", help="of the peak rate; repeatable")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--svg", type=Path, metavar="FILE", help="write a plot there")
    given = parser.parse_args(arguments)
    given.part = given.part or list(_PARTS)
    if given.seconds <= 0 or any(not 0 < part <= 1 for part in given.part):
        parser.error("--seconds is positive, and --part is more than 0 and at most 1")
    for file in (given.json, given.svg):
        if file is not None and not file.parent.is_dir():
            raise ConfigurationError(f"{file}: its folder does not exist")
    return given


def _subjects(key: SigningKey, directory: Path) -> Iterator[Subject]:
    """Each while its servers run."""
    now = time.time()  # noqa: TID251 - this program's composition root
    workload = next(each for each in build_workloads(key, now) if each.name == "allow")
    policy = write_policy(directory / "policy", key, routes=SMALL)
    settings = {"EXTAUTHZ_DEADLINE_MS": str(_DEADLINE_MS)}
    with authorizer(policy, "h2corn", directory, choose_placement(), settings=settings) as server:
        (question,) = workload.questions
        message = b"\0" + len(question.message).to_bytes(4, "big") + question.message
        headers = grpc_headers(server.address, CHECK_PATH)
        yield Subject("authorizer alone", server.address, Request(headers, message, b"alice"))
        with EmbeddedEnvoy(_bootstrap(policy, server.address), directory) as envoy:
            front = str(envoy.addresses["front"])
            token = mint(key, now, "alice")
            through = {
                ":method": "GET",
                ":scheme": "http",
                ":path": ORDER,
                ":authority": "shop.example",
                "authorization": f"Bearer {token}",
            }
            yield Subject("through Envoy", front, Request(through, b"", b""))


def _bootstrap(policy: Path, authorizer_address: str) -> dict[str, Any]:
    policy_set = load([str(policy)]).parsed.policy_set
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": 200}}]
    fields = connection_manager_fields()
    filters: list[Any] = check_filters(policy_set)
    filters[-1]["typed_config"]["grpc_service"]["timeout"] = f"{2 * _DEADLINE_MS / 1000}s"
    front = listener("front", TcpAddress("127.0.0.1", 0), filters, fields, routes=routes)
    clusters = [cluster(AUTHORIZER_CLUSTER, parse_address(authorizer_address), http2={})]
    return {"static_resources": {"clusters": clusters, "listeners": [front]}}


def _levels(subject: Subject, seconds: float, parts: Sequence[float]) -> Iterator[Level]:
    tell(f"{subject.name}: peak")
    latencies(subject.address, subject.request, rate=_WARM_UP, requests=_WARM_UP)
    peak = peak_rate(subject.address, subject.request, _PEAK_REQUESTS)
    for part in sorted(parts):
        rate = max(1, int(peak * part))
        tell(f"{subject.name}: {rate:,} requests a second, {part:.0%} of the peak")
        took = latencies(subject.address, subject.request, rate=rate, requests=max(1, int(rate * seconds)))
        yield Level(part, rate, {each: _percentile(took, each) * 1000 for each in PERCENTILES})
    tell("")


def _percentile(took: Sequence[float], percent: float) -> float:
    """Nearest rank: a time that some request really took."""
    return took[min(len(took) - 1, int(len(took) * percent / 100))]


def _lines(machine: Mapping[str, str], seconds: float, found: Mapping[str, Sequence[Level]]) -> Iterator[str]:
    for name, value in machine.items():
        yield f"{name}: {value}"
    yield ""
    yield f"Open loop, {seconds:g} s at each rate, latency in ms from when a request was due."
    yield ""
    yield "| | of peak | requests/s | p50 | p90 | p99 | p99.9 | p99 / p50 |"
    yield "|-|-:|-:|-:|-:|-:|-:|-:|"
    for name, levels in found.items():
        for level in levels:
            cells = " | ".join(f"{level.milliseconds[each]:.2f}" for each in PERCENTILES)
            spread = level.milliseconds[99.0] / level.milliseconds[50.0]
            yield f"| {name} | {level.part:.0%} | {level.rate:,} | {cells} | {spread:.1f} |"


def _as_json(machine: Mapping[str, str], seconds: float, found: Mapping[str, Sequence[Level]]) -> dict[str, Any]:
    return {
        "machine": dict(machine),
        "seconds": seconds,
        "subjects": {
            name: [
                {
                    "part_of_peak": level.part,
                    "requests_per_second": level.rate,
                    "latency_ms": {f"p{each:g}": level.milliseconds[each] for each in PERCENTILES},
                }
                for level in levels
            ]
            for name, levels in found.items()
        },
    }


def _picture(found: Mapping[str, Sequence[Level]]) -> str:
    lines = {
        f"{name}, p{percent:g}": [(level.rate, level.milliseconds[percent]) for level in levels]
        for name, levels in found.items()
        for percent in (50.0, 99.0, 99.9)
    }
    return plot("Latency at fixed rates", "requests a second", "ms from when due", lines)
