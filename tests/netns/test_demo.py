"""The demo, as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.netns.namespaces import require_namespaces

pytestmark = [pytest.mark.netns, pytest.mark.envoy]

ROOT = Path(__file__).parents[2]


def test_every_step_comes_out_as_expected():
    """Exit 0, and nothing of it is left: no namespace, no process of its proxies."""
    require_namespaces()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("EXTAUTHZ_")}
    command = [sys.executable, "-m", "extauthz", "mesh", "demo", "--format", "json"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    out, err = process.communicate(timeout=180)
    assert process.returncode == 0, out.decode() + err.decode()
    told = json.loads(out)
    assert told["ok"]
    assert len(told["steps"]) == 13
    namespaces = subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout
    assert f"extauthz-demo-{process.pid}-" not in namespaces
