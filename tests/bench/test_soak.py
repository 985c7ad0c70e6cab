import subprocess
import sys
from pathlib import Path

from bench.soak import GROWTH_MB, Sample, judge

ROOT = Path(__file__).parents[2]


def test_a_short_soak():
    """`python -m bench soak` prints the memory of each process and its verdict."""
    command = [sys.executable, "-m", "bench", "soak", "--minutes", "0.05", "--part", "0.1", "--workers", "2"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "No error, and memory is flat." in ran.stdout
    (head,) = [line for line in ran.stdout.splitlines() if line.startswith("| s |")]
    assert head.count("MB of") == 3, "the supervisor and two workers"


def samples(*resident_mb, problem=None):
    return [Sample(float(second), 100, problem, 1.0, {7: each}) for second, each in enumerate(resident_mb)]


def test_memory_that_reaches_its_height_is_flat():
    """In the first third of the time."""
    assert not list(judge(samples(50.0, 70.0, 69.0, 71.0, 70.0, 70.0 + GROWTH_MB)))


def test_memory_that_grows_is_said():
    """However slowly, if it is long enough."""
    (problem,) = judge(samples(*(50.0 + step for step in range(6))))
    assert problem == "Process 7 grew by 4.0 MB after the first third of the time."


def test_what_was_not_answered_is_said():
    """And in which stretch of the time."""
    assert list(judge(samples(50.0, 50.0, 50.0, problem="no reply")))[1] == "After 1 s: no reply"


def test_a_process_that_was_replaced_is_said():
    """Its memory tells nothing about the one before."""
    (problem,) = judge([*samples(50.0, 50.0), Sample(2.0, 100, None, 1.0, {8: 50.0})])
    assert problem == "Processes [7] became [8]."
