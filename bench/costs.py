"""What a decision costs, beside an empty handler in the same run.

Every reply is checked before its workload is measured, and every answer is accounted for after: a server that answers
wrong is not fast. A missed goal is said and is no failure: it depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load import Measurement, apply_load, check_replies, require_tools
from bench.loading import measure_loading
from bench.peers import parse_peers, read_key
from bench.policy import write_policy, write_rego_policy
from bench.process import Placement, choose_placement, running_on
from bench.progress import tell
from bench.rego import measure_rego
from bench.reload import Reloading, reload_under_load
from bench.servers import RunningServer, authorizer, empty_go_server, empty_server, peer
from bench.table import Results, Row, as_json, describe_machine, render_markdown
from bench.workloads import LARGE, Kind, Served, Workload, build_workloads
from extauthz.demo.envoy import envoy_binary
from extauthz.demo.issuer import SigningKey, generate_key
from extauthz.errors import ConfigurationError

LOADING: Final = "loading"
REGO: Final = "rego"
RELOAD: Final = "reload"
CONDITIONS: Final = {LARGE: 1_000}
"""CEL conditions in a set, where there are more than one."""

_QUICK_REQUESTS: Final = 300
_REQUESTS: Final = 30_000
_ROUNDS: Final = 3
_REGO_DECISIONS: Final = 20_000
_RELOAD_CHANGES: Final = 100
_RELOAD_REQUESTS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and how often."""

    requests: int
    rounds: int
    only: frozenset[str]
    """Names; empty: everything."""
    json: Path | None
    is_quick: bool

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only


def costs(arguments: Sequence[str]) -> str:
    """Measure what the arguments ask for.

    Returns:
        The tables, in Markdown.

    Raises:
        ConfigurationError: the arguments fit nothing.
        EnvironmentUnfitError: something that measuring takes is missing.
        WrongReplyError: a server answered something else than it should.
    """
    given = _parse(arguments)
    key = generate_key("RS256") if given.key is None else read_key(given.key)
    # An empty server in Go takes half a minute to be built the first time.
    has_go = not given.quick and shutil.which("go") is not None
    now = time.time()  # noqa: TID251 - this program's composition root
    workloads = build_workloads(key, now, has_go=has_go, peers=parse_peers(given.peer))
    options = _options(given, [*(each.name for each in workloads), LOADING, REGO, RELOAD])
    require_tools()
    if options.wants(RELOAD):
        envoy_binary()
    with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as temporary:
        directory = Path(temporary)
        results = _measure(options, workloads, key, directory)
        reloading = list(_measure_reload(directory)) if options.wants(RELOAD) else []
    if options.json is not None:
        options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    return render_markdown(results) + "".join(f"\n{each.render()}\n" for each in reloading)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a decision costs.")
    parser.add_argument("--requests", type=int, default=_REQUESTS, help="for each workload and round [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="a workload, loading, rego, reload")
    parser.add_argument("--quick", action="store_true", help=f"one round of {_QUICK_REQUESTS}: does it work at all?")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="NAME=HOST:PORT",
        help="another ext_authz server that runs already, under what `peer-files` wrote; repeatable",
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="sign with the key that `peer-files` wrote")
    given = parser.parse_args(arguments)
    if given.requests < 1:
        parser.error("--requests must be at least 1")
    if given.json is not None and not given.json.parent.is_dir():
        parser.error(f"--json {given.json}: its folder does not exist")
    if given.peer and given.key is None:
        parser.error("--peer needs --key: a peer believes the key that `python -m bench peer-files DIR` wrote")
    return given


def _options(given: argparse.Namespace, names: Sequence[str]) -> Options:
    unknown = [name for name in given.only if name not in names]
    if unknown:
        raise ConfigurationError(f"--only {unknown[0]}: one of {', '.join(names)}")
    requests, rounds = (_QUICK_REQUESTS, 1) if given.quick else (given.requests, _ROUNDS)
    # The test suite changes policies under load by itself; here it takes minutes.
    only = given.only or ([name for name in names if name != RELOAD] if given.quick else [])
    return Options(requests, rounds, frozenset(only), given.json, given.quick)


def _measure(options: Options, workloads: Sequence[Workload], key: SigningKey, directory: Path) -> Results:
    placement = choose_placement()
    servers = _Servers(key, directory, placement)
    with running_on(placement.load):
        loading = measure_loading(servers.policy(LARGE), placement) if options.wants(LOADING) else None
        decisions = _QUICK_REQUESTS if options.is_quick else _REGO_DECISIONS
        rego = measure_rego(decisions) if options.wants(REGO) else []
        wanted = [each for each in workloads if options.wants(each.name)]
        bases = {each.base for each in wanted}
        chosen = [each for each in workloads if each in wanted or each.name in bases]
        measured = _measure_workloads(options, chosen, servers)
    rows = [Row(each, measured[each.name], measured[each.base]) for each in chosen]
    return Results(describe_machine(placement), options.requests, options.rounds, rows, loading, rego)


class _Servers:
    """Starts what workloads ask for."""

    def __init__(self, key: SigningKey, directory: Path, placement: Placement) -> None:
        self._key = key
        self._directory = directory
        self._placement = placement
        self._policies: dict[int, Path] = {}

    def policy(self, size: int) -> Path:
        """A set of so many routes, written at the first use."""
        if size not in self._policies:
            folder = self._directory / f"{size}-routes"
            self._policies[size] = write_policy(folder, self._key, routes=size, conditions=CONDITIONS.get(size, 1))
        return self._policies[size]

    def start(self, served: Served) -> AbstractContextManager[RunningServer]:
        """A server, until the block ends."""
        match served.kind:
            case Kind.EMPTY:
                return empty_server(self._directory, self._placement)
            case Kind.EMPTY_GO:
                return empty_go_server(self._directory, self._placement)
            case Kind.PEER:
                return peer(served.address)
            case Kind.REGO:
                return self._authorizer(write_rego_policy(self._directory / "rego", self._key), served)
            case Kind.ROUTES:
                return self._authorizer(self.policy(served.size), served)

    def _authorizer(self, policy: Path, served: Served) -> AbstractContextManager[RunningServer]:
        return authorizer(policy, served.transport, self._directory, self._placement, is_lean=served.is_lean)


def _measure_workloads(
    options: Options, workloads: Sequence[Workload], servers: _Servers
) -> Mapping[str, Sequence[Measurement]]:
    """Each workload in each round; all servers stay up, and are idle but for the one under load."""
    measured: dict[str, list[Measurement]] = defaultdict(list)
    with ExitStack() as running:
        started = {
            served: running.enter_context(servers.start(served)) for served in sorted({w.served for w in workloads})
        }
        for workload in workloads:
            if not workload.served.is_empty:
                check_replies(started[workload.served], workload)
        for number in range(1, options.rounds + 1):
            for workload in workloads:
                tell(f"round {number} of {options.rounds}: {workload.name}")
                measured[workload.name].append(apply_load(started[workload.served], workload, options.requests))
    tell("")
    return measured


def _measure_reload(directory: Path) -> Iterator[Reloading]:
    """By one process, and by two workers."""
    for workers in (1, 2):
        tell(f"policy changes under load, {workers} of 2")
        place = directory / f"reload-{workers}"
        place.mkdir()
        yield reload_under_load(place, changes=_RELOAD_CHANGES, requests=_RELOAD_REQUESTS, workers=workers)
    tell("")
