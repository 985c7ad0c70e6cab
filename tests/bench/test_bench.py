import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.load import check_replies
from bench.process import Placement, choose_placement, running_on
from bench.servers import empty_server
from bench.streams import Turn, ask_in_turn
from bench.workloads import WrongReplyError, build_workloads
from extauthz.demo.issuer import generate_key

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def workloads():
    return {each.name: each for each in build_workloads(generate_key("RS256"), time.time())}  # noqa: TID251


def test_quick_run(h2load, tmp_path, workloads):
    """`python -m bench --quick` gets the right reply to every request of every workload and prints one table."""
    command = [sys.executable, "-m", "bench", "--quick", "--json", str(tmp_path / "results.json")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, check=False)
    assert ran.returncode == 0, ran.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in results["workloads"]] == list(workloads)
    assert all(f"| {name} | " in ran.stdout for name in workloads)
    assert results["workloads"][0]["ratio_to_empty"] == 1.0
    assert all(row["cpu_us_per_check"] > 0 for row in results["workloads"])
    assert len(results["goals"]) == 6
    assert len(results["rego"]) == 5


def test_only_measures_what_was_asked_for_and_what_that_is_compared_with(h2load, tmp_path):
    """`--only` brings the empty handler along, without which there is no ratio, and nothing else."""
    command = [sys.executable, "-m", "bench", "--quick", "--only", "deny-403", "--json", str(tmp_path / "results.json")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert [row["name"] for row in results["workloads"]] == ["empty", "deny-403"]
    assert results["goals"] == []


def test_an_empty_reply_is_no_allow(tmp_path, workloads):
    """An empty CheckResponse allows, as Envoy reads it, and is fast; the check before the load does not take it."""
    with (
        empty_server(tmp_path, Placement(None, None)) as server,
        pytest.raises(WrongReplyError, match="response is None"),
    ):
        check_replies(server, workloads["allow"])


def test_a_reply_meant_for_another_is_found_under_load(tmp_path):
    """The client that takes turns looks into every reply."""
    with empty_server(tmp_path, Placement(None, None)) as server:
        ask_in_turn(server.address, [Turn(b"hello", b"")], 500)
        with pytest.raises(WrongReplyError, match="does not hold b'user-0001'"):
            ask_in_turn(server.address, [Turn(b"hello", b""), Turn(b"hello", b"user-0001")], 500)


def test_every_workload_has_the_empty_handler_to_compare_with(workloads):
    """A ratio is taken against the empty handler under the same client, which serves no policy."""
    assert all(workloads[each.base].served.is_empty for each in workloads.values())
    assert all(workloads[each.base].base == each.base for each in workloads.values())


def test_running_on_is_undone():
    """The CPU that servers are started on is left again."""
    before = os.sched_getaffinity(0)
    with running_on(choose_placement().server):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
