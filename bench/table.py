"""The results for people, in Markdown, and for programs, in JSON, with the machine and the goals.

A row's figures are medians over the rounds. A ratio is taken within each round, against the empty handler of that
round: absolute figures move by a fifth from one minute to the next, ratios hardly.
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.load import Measurement
from bench.loading import Loading
from bench.process import Placement
from bench.rego import ENTRIES, RULES, RegoFigure
from bench.workloads import Workload

_LIBRARIES: Final = ("extauthz", "h2corn", "grpcio", "uvloop", "protobuf", "pyjwt", "cel-expr-python")


@dataclass(frozen=True, slots=True)
class Row:
    """One workload's measurements, a round each, beside those of the empty handler."""

    workload: Workload
    rounds: Sequence[Measurement]
    base: Sequence[Measurement]

    @property
    def per_second(self) -> float:
        """Checks a second, the server having one CPU."""
        return median(each.per_second for each in self.rounds)

    @property
    def cpu_us(self) -> float:
        """CPU time a Check, in microseconds."""
        return median(each.cpu_us for each in self.rounds)

    @property
    def ratio(self) -> float:
        """CPU time as a multiple of the empty handler's."""
        return ratio(self.rounds, self.base)

    @property
    def resident_mb(self) -> float:
        """The most memory after any round."""
        return max(each.resident_mb for each in self.rounds)


def ratio(rounds: Sequence[Measurement], base: Sequence[Measurement]) -> float:
    """How many times the CPU time of `base`, round by round."""
    return median(mine.cpu_us / other.cpu_us for mine, other in zip(rounds, base, strict=True))


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure and what it should not exceed."""

    what: str
    figure: float
    limit: float
    unit: str

    @property
    def is_met(self) -> bool:
        return self.figure <= self.limit


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    machine: Mapping[str, str]
    requests: int
    rounds: int
    rows: Sequence[Row]
    loading: Loading | None
    rego: Sequence[RegoFigure] = ()

    def goals(self) -> Iterator[Goal]:
        """The goals whose figures were measured."""
        by_name = {row.workload.name: row for row in self.rows}
        small, large = by_name.get("allow"), by_name.get("allow-10000-routes")
        if small is not None:
            yield Goal("a whole decision, against the empty handler", small.ratio, 4.0, "x")
        if small is not None and large is not None:
            yield Goal("10,000 routes, against 10", ratio(large.rounds, small.rounds), 1.2, "x")
        go, lean = by_name.get("empty-go"), by_name.get("allow-lean")
        if small is not None and go is not None:
            yield Goal("a whole decision, against an empty server of grpc-go", ratio(small.rounds, go.rounds), 1.7, "x")
        if lean is not None and go is not None:
            yield Goal("the same without a decision log", ratio(lean.rounds, go.rounds), 1.3, "x")
        yield from self._rego_goals()
        if self.loading is not None:
            what = f"loading {self.loading.routes:,} routes, {self.loading.conditions:,} with a CEL condition"
            yield Goal(f"{what}: CPU time", self.loading.cpu_seconds, 5.0, "s")
            yield Goal(f"{what}: peak memory", self.loading.peak_resident_mb, 400.0, "MB")

    def _rego_goals(self) -> Iterator[Goal]:
        figures = {each.name: each.us for each in self.rego}
        if figures:
            slowest = max(figures[f"rbac-{entries}"] for entries in ENTRIES)
            yield Goal("a Rego decision alone, over 10 to 10,000 entries", slowest, 20.0, "us")
            few, many = (figures[f"rules-{rules}"] for rules in (min(RULES), max(RULES)))
            yield Goal("1,000 Rego rules on distinct paths, against 10", many / few, 3.0, "x")


def describe_machine(placement: Placement) -> dict[str, str]:
    """What the figures depend on."""
    h2load = subprocess.run(["h2load", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    return {
        "cpu": _cpu_model(),
        "cpus": str(os.cpu_count()),
        "placement": str(placement),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": h2load,
        **{name: version(name) for name in _LIBRARIES},
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":  # x86; others do not name it here
            return value.strip()
    return platform.machine()


def render_markdown(results: Results) -> str:
    """The table."""
    lines = [f"{name}: {value}" for name, value in results.machine.items()]
    if results.rows:
        lines += [
            "",
            f"{results.requests:,} requests a workload in each of {results.rounds} rounds, medians.",
            "",
        ]
        lines += ["| workload | what | Check/s | CPU us/Check | x empty | RSS MB |", "|-|-|-:|-:|-:|-:|"]
    lines += [
        f"| {row.workload.name} | {row.workload.what} | {row.per_second:,.0f} | {_shown(row.cpu_us, 1)} "
        f"| {_shown(row.ratio, 2)} | {_shown(row.resident_mb, 0)} |"
        for row in results.rows
    ]
    if results.rego:
        lines += ["", "| Rego alone, generated Python | CPU us |", "|-|-:|"]
        lines += [f"| {each.what} | {each.us:.1f} |" for each in results.rego]
    goals = list(results.goals())
    if goals:
        lines += ["", "| goal | figure | limit | |", "|-|-:|-:|-|"]
        lines += [
            f"| {goal.what} | {goal.figure:.2f} {goal.unit} | {goal.limit:g} {goal.unit} "
            f"| {'met' if goal.is_met else 'missed'} |"
            for goal in goals
        ]
    if results.rounds == 1:
        lines += ["", "A single round: it says whether everything works, not how fast."]
    return "\n".join(lines) + "\n"


def _shown(figure: float, digits: int) -> str:
    """A dash where it is not known: a peer whose process is not ours to look at."""
    return "-" if math.isnan(figure) else f"{figure:.{digits}f}"


def as_json(results: Results) -> dict[str, Any]:
    """Everything in the table, and each round."""
    return {
        "machine": dict(results.machine),
        "requests": results.requests,
        "rounds": results.rounds,
        "workloads": [_row_as_json(row) for row in results.rows],
        "loading": None if results.loading is None else asdict(results.loading),
        "rego": [asdict(each) for each in results.rego],
        "goals": [
            {"what": goal.what, "figure": goal.figure, "limit": goal.limit, "unit": goal.unit, "met": goal.is_met}
            for goal in results.goals()
        ],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    return {
        "name": row.workload.name,
        "what": row.workload.what,
        "checks_per_second": row.per_second,
        "cpu_us_per_check": _known(row.cpu_us),
        "ratio_to_empty": _known(row.ratio),
        "resident_mb": _known(row.resident_mb),
        "rounds": [
            {"cpu_us_per_check": _known(each.cpu_us), "checks_per_second": each.per_second} for each in row.rounds
        ],
    }


def _known(figure: float) -> float | None:
    """JSON has no number that is none."""
    return None if math.isnan(figure) else figure
