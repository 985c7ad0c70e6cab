"""`python -m bench envoy`: what authorization costs at a real Envoy, by way to enforce it.

The load goes to Envoy, which answers what it lets through by itself. CPU time is that of Envoy's process and of the
authorizer's. Each Envoy is seen to allow who may, with the right header for the upstream, and to deny who may not,
before its load; every answer under load must be a 200.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import Final, TypeAlias

from bench.load import require_tools
from bench.policy import write_policy
from bench.process import Placement, choose_placement, cpu_seconds, listening_process, running_on
from bench.progress import tell
from bench.proxies import DEADLINE_MS, NONE, SIZES, Proxy, bootstrap, proxies
from bench.servers import RunningServer, authorizer
from bench.table import describe_machine
from bench.workloads import HEALTH, LARGE, ORDER, SMALL, WrongReplyError, mint
from extauthz.demo.envoy import EmbeddedEnvoy, envoy_binary
from extauthz.demo.issuer import generate_key

_REQUESTS: Final = 10_000
_ROUNDS: Final = 3
_QUICK_REQUESTS: Final = 200
_CALL_SECONDS: Final = 10.0
_LOAD_SECONDS: Final = 300.0
_START_SECONDS: Final = 60.0
_STATUSES: Final = re.compile(r"^status codes: ([0-9]+) 2xx", re.MULTILINE)
_NOBODY: Final = "127.0.0.1:1"
"""Where the authorizer would be of an Envoy that must not ask it: who asks there gets no answer."""
_CALLS: Final = {"token": ORDER, "public": HEALTH}
"""What is asked for: a route that a role opens, with its holder's token; a public one, without."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one load."""

    per_second: float
    envoy_us: float
    """CPU time a request."""
    authorizer_us: float
    """Likewise; 0 where it is not asked."""


_Costs: TypeAlias = Mapping[tuple[Proxy, str], Sequence[Cost]]


def envoy(arguments: Sequence[str]) -> str:
    """Measure; the table and the goals, in Markdown.

    Raises:
        EnvironmentUnfitError: there is no Envoy or no h2load.
        WrongReplyError: an Envoy answered something else than it should.
    """
    given = _parse(arguments)
    require_tools()
    envoy_binary()
    requests, rounds, sizes = (_QUICK_REQUESTS, 1, (SMALL,)) if given.quick else (given.requests, given.rounds, SIZES)
    placement = choose_placement()
    compared = proxies(sizes)
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as temporary, running_on(placement.load):
        costs = _measure(compared, requests, rounds, Path(temporary), placement)
    lines = [f"{name}: {value}" for name, value in describe_machine(placement).items()]
    lines += ["", f"{rounds} rounds of {requests:,} requests, medians.", "", *_rows(compared, costs)]
    lines += ["", *_goals(costs)]
    return "\n".join(lines) + "\n"


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench envoy", description="What authorization costs at Envoy.")
    parser.add_argument("--requests", type=int, default=_REQUESTS, help="for each row and round [%(default)s]")
    parser.add_argument("--rounds", type=int, default=_ROUNDS, help="[%(default)s]")
    parser.add_argument("--quick", action="store_true", help="one short round of 10 routes: does it work at all?")
    given = parser.parse_args(arguments)
    if given.requests < 1 or given.rounds < 1:
        parser.error("--requests and --rounds must be at least 1")
    return given


def _measure(compared: Sequence[Proxy], requests: int, rounds: int, directory: Path, placement: Placement) -> _Costs:
    """One Envoy at a time, and its authorizer: what idles would take memory and time of the others."""
    key = generate_key("RS256")
    token = mint(key, time.time(), "alice")  # noqa: TID251 - this program's composition root
    policies = {
        size: write_policy(directory / f"{size}-routes", key, routes=size) for size in {each.size for each in compared}
    }
    costs: dict[tuple[Proxy, str], list[Cost]] = defaultdict(list)
    for proxy in compared:
        tell(f"{proxy.name}; {proxy.size:,} routes")
        place = directory / f"{proxy.name}-{proxy.size}"
        place.mkdir()
        with ExitStack() as running:
            server = None
            if proxy.transport is not None:
                settings = {"EXTAUTHZ_DEADLINE_MS": str(DEADLINE_MS)}
                server = running.enter_context(
                    authorizer(policies[proxy.size], proxy.transport, place, placement, settings=settings)
                )
            configured = bootstrap(proxy, policies[proxy.size], _NOBODY if server is None else server.address)
            with running_on(placement.server):
                started = running.enter_context(EmbeddedEnvoy(configured, place, start_seconds=_START_SECONDS))
            address = str(started.addresses["front"])
            check_answers(proxy, address, token)
            for _ in range(rounds):
                for call, path in _CALLS.items():
                    header = token if call == "token" else None
                    costs[proxy, call].append(_load(address, server, path, header, requests))
    tell("")
    return costs


def check_answers(proxy: Proxy, address: str, token: str) -> None:
    """Who may is let in, by name, and who may not is not."""
    is_open = proxy.kind == NONE
    expected = {
        (ORDER, token): (200, None if is_open else "alice"),
        (ORDER, None): (200 if is_open else 401, None),
        ("/nowhere", token): (200 if is_open else 403, None),
        (HEALTH, None): (200, None),
    }
    for (path, sent), answer in expected.items():
        got = _ask(address, path, sent)
        if got != answer:
            raise WrongReplyError(f"{proxy.name}, {proxy.size} routes: {path} was answered with {got}, not {answer}")


def _ask(address: str, path: str, token: str | None) -> tuple[int, str | None]:
    """The status, and whom an upstream would take for the caller where the request was let in."""
    connection = HTTPConnection(address, timeout=_CALL_SECONDS)
    try:
        connection.request("GET", path, headers={} if token is None else {"authorization": f"Bearer {token}"})
        response = connection.getresponse()
        response.read()
        user = response.headers.get("x-seen-user")
    finally:
        connection.close()
    return response.status, user if response.status == 200 and user not in {"", "-"} else None


def _load(address: str, server: RunningServer | None, path: str, token: str | None, requests: int) -> Cost:
    process = listening_process(address)
    assert process is not None, "Envoy runs, and is ours"
    envoy_before, server_before, started = cpu_seconds(process), _cpu_seconds(server), time.perf_counter()
    _run_h2load(address, path, token, requests)
    seconds = time.perf_counter() - started
    return Cost(
        requests / seconds,
        (cpu_seconds(process) - envoy_before) / requests * 1e6,
        (_cpu_seconds(server) - server_before) / requests * 1e6,
    )


def _cpu_seconds(server: RunningServer | None) -> float:
    if server is None:
        return 0.0
    assert server.pid is not None, "it is a child of ours"
    return cpu_seconds(server.pid)


def _run_h2load(address: str, path: str, token: str | None, requests: int) -> None:
    headers = [] if token is None else ["-H", f"authorization: Bearer {token}"]
    command = ["h2load", "-t1", "-c2", "-m16", f"-n{requests}", *headers, f"http://{address}{path}"]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise WrongReplyError(f"h2load did not get {requests} answers in {_LOAD_SECONDS:.0f} s") from None
    succeeded = _STATUSES.search(ran.stdout)
    if ran.returncode != 0 or succeeded is None or int(succeeded[1]) != requests:
        raise WrongReplyError(f"not every request was let in:\n{ran.stdout}{ran.stderr}")


def _rows(compared: Sequence[Proxy], costs: _Costs) -> Iterator[str]:
    yield "| who decides | routes | asked | requests/s | Envoy, us of CPU | authorizer, us of CPU |"
    yield "|-|-:|-|-:|-:|-:|"
    for proxy in compared:
        routes = "-" if proxy.kind == NONE else f"{proxy.size:,}"
        for call in _CALLS:
            rounds = costs[proxy, call]
            rate = median(each.per_second for each in rounds)
            authorizer_us = f"{median(each.authorizer_us for each in rounds):.1f}" if proxy.transport else "-"
            envoy_us = f"{_envoy_us(costs, proxy, call):.1f}"
            yield f"| {proxy.name} | {routes} | {call} | {rate:,.0f} | {envoy_us} | {authorizer_us} |"


def _envoy_us(costs: _Costs, proxy: Proxy, call: str) -> float:
    return median(each.envoy_us for each in costs[proxy, call])


def _goals(costs: _Costs) -> Iterator[str]:
    """Ratios of Envoy's CPU time, of those that were measured."""
    goals = [
        ("native, as a multiple of filters by hand, 10 routes", Proxy("native"), Proxy("by hand"), 1.1),
        ("wasm at 10,000 routes, as a multiple of wasm at 10", Proxy("wasm", LARGE), Proxy("wasm"), 1.3),
    ]
    for what, proxy, base, limit in goals:
        if (proxy, "token") in costs and (base, "token") in costs:
            figure = _envoy_us(costs, proxy, "token") / _envoy_us(costs, base, "token")
            yield f"- {what}: {figure:.2f} (goal: {limit}) {'met' if figure <= limit else 'missed'}"
