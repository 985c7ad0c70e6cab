"""`python -m bench compare A.json B.json`: two runs side by side, as a Markdown table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from extauthz.errors import ConfigurationError


def compare(arguments: Sequence[str]) -> str:
    """What became of each workload.

    Raises:
        ConfigurationError: a file is none that `--json` wrote.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench compare",
        description="Two runs side by side. Ratios to the empty handler of the same run hold between machines; CPU "
        "time and rates do not.",
    )
    parser.add_argument("before", type=Path, metavar="A.json")
    parser.add_argument("after", type=Path, metavar="B.json")
    given = parser.parse_args(arguments)
    return "\n".join(_lines(_read(given.before), _read(given.after))) + "\n"


def _read(file: Path) -> Mapping[str, Any]:
    try:
        run = json.loads(file.read_bytes())
        names = [workload["name"] for workload in run["workloads"]]
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}: name a file that `python -m bench --json` wrote") from None
    except (ValueError, LookupError, TypeError):
        raise ConfigurationError(f"{file}: not what `python -m bench --json` writes") from None
    if len(set(names)) != len(names):
        raise ConfigurationError(f"{file}: a workload stands there twice")
    return {**run, "workloads": dict(zip(names, run["workloads"], strict=True))}


def _lines(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    machines = before.get("machine", {}), after.get("machine", {})
    for name in dict.fromkeys([*machines[0], *machines[1]]):
        was, now = (machine.get(name, "-") for machine in machines)
        yield f"{name}: {was}" if was == now else f"{name}: {was} -> {now}"
    yield ""
    yield "| workload | CPU us before | after | change | x empty before | after | change |"
    yield "|-|-:|-:|-:|-:|-:|-:|"
    for name in dict.fromkeys([*before["workloads"], *after["workloads"]]):
        rows = [run["workloads"].get(name, {}) for run in (before, after)]
        yield f"| {name} | {_change(rows, 'cpu_us_per_check', 1)} | {_change(rows, 'ratio_to_empty', 2)} |"
    goals = [{goal["what"]: goal for goal in run.get("goals", [])} for run in (before, after)]
    both = [what for what in goals[0] if what in goals[1]]
    if both:
        yield ""
        yield "| goal | before | after | change | limit |"
        yield "|-|-:|-:|-:|-:|"
    for what in both:
        limit = f"{goals[1][what]['limit']:g} {goals[1][what]['unit']}"
        yield f"| {what} | {_change([goal[what] for goal in goals], 'figure', 2)} | {limit} |"


def _change(rows: Sequence[Mapping[str, Any]], key: str, digits: int) -> str:
    """Three cells."""
    figures = [row.get(key) for row in rows]
    cells = ["-" if figure is None else f"{figure:.{digits}f}" for figure in figures]
    was, now = figures
    cells.append("-" if not was or now is None else f"{(now / was - 1) * 100:+.0f} %")
    return " | ".join(cells)
