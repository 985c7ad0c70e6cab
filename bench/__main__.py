"""`python -m bench`: what a decision costs, beside an empty handler in the same run.

Every reply is checked before its workload is measured, and every answer is accounted for after: a server that answers
wrong is not fast. A missed goal is said and is no failure: it depends on the machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load import Measurement, apply_load, check_replies, require_tools
from bench.loading import measure_loading
from bench.policy import write_policy
from bench.process import Placement, choose_placement, running_on
from bench.reload import Reloading, reload_under_load
from bench.servers import RunningServer, authorizer, empty_server
from bench.table import Results, Row, as_json, describe_machine, render_markdown
from bench.workloads import LARGE, Workload, WrongReplyError, build_workloads
from extauthz.demo.envoy import envoy_binary
from extauthz.demo.issuer import generate_key
from extauthz.errors import EnvironmentUnfitError

LOADING: Final = "loading"
RELOAD: Final = "reload"
CONDITIONS: Final = {LARGE: 1_000}
"""CEL conditions in a set, where there are more than one."""

_QUICK_REQUESTS: Final = 300
_REQUESTS: Final = 30_000
_ROUNDS: Final = 3
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

    def wants(self, name: str) -> bool:
        return not self.only or name in self.only


def main() -> int:
    """Measure, print the table, and return the exit code: 1 when nothing could be measured, or a reply was wrong."""
    key = generate_key("RS256")
    workloads = build_workloads(key, time.time())  # noqa: TID251 - this program's composition root
    options = _parse_options([*(each.name for each in workloads), LOADING, RELOAD])
    try:
        require_tools()
        if options.wants(RELOAD):
            envoy_binary()
        with tempfile.TemporaryDirectory(prefix="extauthz-bench-") as temporary:
            directory = Path(temporary)
            policies = {
                size: write_policy(directory / f"{size}-routes", key, routes=size, conditions=CONDITIONS.get(size, 1))
                for size in {each.routes for each in workloads if each.routes}
            }
            results = _measure(options, workloads, policies, directory)
            reloading = list(_measure_reload(directory)) if options.wants(RELOAD) else []
        if options.json is not None:
            options.json.write_text(json.dumps(as_json(results), indent=2) + "\n")
    except (EnvironmentUnfitError, WrongReplyError, OSError) as error:
        _tell("")
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(render_markdown(results), end="")
    for each in reloading:
        print(f"\n{each.render()}")
    return 0


def _parse_options(names: Sequence[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m bench", description="What a decision costs.")
    parser.add_argument("--requests", type=int, default=_REQUESTS, help="for each workload and round [%(default)s]")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there as well")
    parser.add_argument("--only", action="append", default=[], choices=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--quick", action="store_true", help=f"one round of {_QUICK_REQUESTS}: does it work at all?")
    given = parser.parse_args()
    if given.requests < 1:
        parser.error("--requests must be at least 1")
    if given.json is not None and not given.json.parent.is_dir():
        parser.error(f"--json {given.json}: its folder does not exist")
    requests, rounds = (_QUICK_REQUESTS, 1) if given.quick else (given.requests, _ROUNDS)
    # The test suite changes policies under load by itself; here it takes minutes.
    only = given.only or ([name for name in names if name != RELOAD] if given.quick else [])
    return Options(requests, rounds, frozenset(only), given.json)


def _measure(options: Options, workloads: Sequence[Workload], policies: Mapping[int, Path], directory: Path) -> Results:
    placement = choose_placement()
    with running_on(placement.load):
        loading = measure_loading(policies[LARGE], placement) if options.wants(LOADING) else None
        wanted = [each for each in workloads if options.wants(each.name)]
        bases = {each.base for each in wanted}
        chosen = [each for each in workloads if each in wanted or each.name in bases]
        measured = _measure_workloads(options, chosen, policies, directory, placement)
    rows = [Row(each, measured[each.name], measured[each.base]) for each in chosen]
    return Results(describe_machine(placement), options.requests, options.rounds, rows, loading)


def _measure_workloads(
    options: Options, workloads: Sequence[Workload], policies: Mapping[int, Path], directory: Path, placement: Placement
) -> Mapping[str, Sequence[Measurement]]:
    """Each workload in each round; all servers stay up, and are idle but for the one under load."""
    measured: dict[str, list[Measurement]] = defaultdict(list)
    with ExitStack() as running:
        servers: dict[tuple[int, str], RunningServer] = {}
        for size, transport in sorted({each.server for each in workloads}):
            if size:
                server = authorizer(policies[size], transport, directory, placement)
            else:
                server = empty_server(directory, placement)
            servers[size, transport] = running.enter_context(server)
        for workload in workloads:
            if workload.routes:
                check_replies(servers[workload.server], workload)
        for number in range(1, options.rounds + 1):
            for workload in workloads:
                _tell(f"round {number} of {options.rounds}: {workload.name}")
                measured[workload.name].append(apply_load(servers[workload.server], workload, options.requests))
    _tell("")
    return measured


def _measure_reload(directory: Path) -> Iterator[Reloading]:
    """By one process, and by two workers."""
    for workers in (1, 2):
        _tell(f"policy changes under load, {workers} of 2")
        place = directory / f"reload-{workers}"
        place.mkdir()
        yield reload_under_load(place, changes=_RELOAD_CHANGES, requests=_RELOAD_REQUESTS, workers=workers)
    _tell("")


def _tell(progress: str) -> None:
    """Overwrite the line of progress, for people."""
    if sys.stderr.isatty():
        print(f"\r\033[K{progress}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
