"""How long a policy set takes to be loaded, and what memory that takes: in a process of its own.

`python -m bench.loading PATH` loads it as `extauthz serve` does and prints one JSON line.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.process import Placement, peak_resident_mb, running_on
from extauthz.authn.authenticator import KeySets, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.errors import EnvironmentUnfitError
from extauthz.model.policy import When
from extauthz.sources.policy_files import load


@dataclass(frozen=True, slots=True)
class Loading:
    """What loading took."""

    seconds: float
    """From the names of the files to a snapshot that decides, by the clock on the wall."""
    cpu_seconds: float
    """The same in CPU time: what the wall clock says on a machine that does nothing else."""
    routes: int
    conditions: int
    peak_resident_mb: float
    """Of the process, from its start."""


def measure_loading(policy: Path, placement: Placement) -> Loading:
    """Load a set in a new process."""
    with running_on(placement.server):
        ran = subprocess.run(
            [sys.executable, "-m", "bench.loading", str(policy)], capture_output=True, text=True, check=False
        )
    if ran.returncode != 0:
        raise EnvironmentUnfitError(f"loading {policy} failed:\n{ran.stderr}")
    return Loading(**json.loads(ran.stdout))


def load_here(policy: str) -> Loading:
    """Load a set in this process."""
    started, cpu_started = time.perf_counter(), time.process_time()
    policy_set = load([policy]).parsed.policy_set
    snapshot = build_snapshot(policy_set, KeySets(), VerifiedTokens())
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
    routes = snapshot.policy_set.routes
    conditions = sum(isinstance(each, When) for route in routes for rule in route.allow for each in rule.conditions)
    return Loading(seconds, cpu_seconds, len(routes), conditions, peak_resident_mb())


if __name__ == "__main__":
    print(json.dumps(asdict(load_here(sys.argv[1]))))
