from __future__ import annotations

import json
import os
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_NEGATIVE, run
from extauthz.mesh.demo import stage, steps
from extauthz.mesh.demo.steps import Outcome, Step

GOOD = Outcome(Step("may", "frontend", "orders", "/a", "200", "allowed a"), "200", "allowed a")
BAD = Outcome(Step("may not", "batch", "orders", "/a", "403", "no_route"), "200", "allowed a")


@pytest.fixture
def outcomes(monkeypatch):
    """What comes of a stage that costs nothing."""
    wanted = [GOOD]

    @contextmanager
    def running(_folder):
        yield SimpleNamespace(ready_seconds=1.25)

    monkeypatch.setattr(stage, "running_stage", running)
    monkeypatch.setattr(steps, "run_steps", lambda _stage: tuple(wanted))
    return wanted


def test_it_needs_root(monkeypatch, capsys):
    """Exit 1, in one line."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert run(["mesh", "demo"]) == EXIT_ENVIRONMENT
    assert "need root" in capsys.readouterr().err


def test_a_green_table(outcomes, capsys):
    """Exit 0; every step with what it expects and who decided."""
    assert run(["mesh", "demo"]) == 0
    out = capsys.readouterr().out
    assert "1 step, all as expected; ready after 1.2 s" in out
    assert "GET orders/a" in out


def test_a_table_that_is_not_green(outcomes, capsys):
    """Exit 2, and what was expected instead."""
    outcomes.append(BAD)
    assert run(["mesh", "demo"]) == EXIT_NEGATIVE
    out = capsys.readouterr().out
    assert "2 steps, 1 not as expected" in out
    assert "allowed a, not no_route" in out


def test_for_programs(outcomes, capsys):
    """The same as JSON."""
    outcomes.append(BAD)
    assert run(["mesh", "demo", "--format", "json"]) == EXIT_NEGATIVE
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], [each["ok"] for each in told["steps"]]) == (False, [True, False])
    assert told["steps"][1]["actual"] == {"statuses": "200", "decided": "allowed a"}
