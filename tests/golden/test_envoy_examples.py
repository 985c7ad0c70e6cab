import os
import subprocess
from pathlib import Path

import pytest

from extauthz.cli import run
from extauthz.demo.assets import policies_dir
from extauthz.demo.envoy import envoy_binary

FRONT_PROXY = Path(__file__).parents[2] / "envoy" / "front-proxy.json"
SHOP = [str(policies_dir() / "shop"), "--values", str(policies_dir() / "shop.values.yaml")]


def test_the_front_proxy_example_is_what_the_command_prints(tmp_path):
    """envoy/front-proxy.json is the output of the command in envoy/README.md."""
    output = FRONT_PROXY if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") else tmp_path / "front-proxy.json"
    flags = ["--authz", "extauthz:9000", "--upstream", "upstream:8080", "--listen", "0.0.0.0:8080", "-o", str(output)]
    assert run(["envoy", "config", *SHOP, *flags]) == 0
    assert output.read_text() == FRONT_PROXY.read_text()


@pytest.mark.envoy
def test_the_front_proxy_example_is_valid():
    """The real binary accepts it."""
    command = [str(envoy_binary()), "--mode", "validate", "-c", str(FRONT_PROXY)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
