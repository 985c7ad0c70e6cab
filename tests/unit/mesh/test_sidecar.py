from __future__ import annotations

import io
import json
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.lowering.mode import Mode
from extauthz.mesh import sidecar as sidecar_room
from extauthz.mesh.inbound import MutualTls
from extauthz.mesh.outbound import Unknown
from extauthz.mesh.peer_tls import FileCertificates
from extauthz.mesh.pod_environment import read_environment
from extauthz.mesh.services import EMPTY
from extauthz.mesh.sidecar import (
    Policies,
    Proxy,
    inbound_side,
    listeners_path,
    outbound_side,
    run_sidecar,
    write_configuration,
    write_file,
)
from extauthz.mesh.sidecar_bootstrap import Sidecar, policy_clusters
from extauthz.settings import Settings
from extauthz.sources.policy_files import load
from extauthz.telemetry.logging import LogFormat, LogLevel, build_logger

POLICY = """
version: 1
name: orders
routes: [{name: all, path: "/**", public: true}]
"""


@pytest.fixture
def policy_file(tmp_path):
    """A policy."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)
    return str(file)


def sidecar(tmp_path, mutual_tls=MutualTls.STRICT):
    """With certificates in files."""
    certificates = FileCertificates(tmp_path / "certs", tmp_path)
    return Sidecar(read_environment({}), mutual_tls, certificates, EMPTY, None, Unknown.REFUSE)


def test_what_envoy_reads_is_nobody_elses(tmp_path):
    """The node's secret stands in it."""
    write_configuration(sidecar(tmp_path), [None, None], tmp_path)
    files = {each.name: each for each in tmp_path.iterdir()}
    assert files.keys() == {"envoy.json", "listeners.json", "secret-own.json", "secret-authority.json"}
    assert all(stat.S_IMODE(each.stat().st_mode) == 0o600 for each in files.values())
    assert json.loads(files["envoy.json"].read_text())["node"]["id"].startswith("sidecar~127.0.0.1~")


def test_a_folder_that_cannot_be_written(tmp_path):
    """Told with what to do."""
    with pytest.raises(EnvironmentUnfitError, match="--directory"):
        write_file(tmp_path / "none" / "file", {})


def test_each_side_has_its_own_authorizer(tmp_path, policy_file):
    """The caller's policy is never asked about what comes in."""
    policy_set = load([policy_file]).parsed.policy_set
    sides = [inbound_side(policy_set, Mode.CHECK, tmp_path), outbound_side(policy_set, tmp_path)]
    assert [each["name"] for each in policy_clusters(sides)] == ["extauthz", "extauthz_outbound"]
    text = json.dumps([sides[1].enforcement.filters])
    assert '"cluster_name": "extauthz_outbound"' in text
    assert sides[0].authorizer != sides[1].authorizer


def settings(policy_file, folder):
    return Settings(
        paths=(policy_file,),
        listen=(sidecar_room.authorizer_address(folder, "inbound"),),
        admin=sidecar_room.authorizer_admin(folder, "inbound"),
    )


def start(tmp_path, policy_file, log):
    """Run the sidecar with `envoy` of the folder in Envoy's place."""
    logger = build_logger(log, log_format=LogFormat.JSON, level=LogLevel.INFO)
    proxy = Proxy(tmp_path / "envoy", tmp_path, "warning", 1, 0.0)
    policies = Policies(settings(policy_file, tmp_path), None, Mode.CHECK)
    run_sidecar(sidecar(tmp_path), policies, proxy, logger)


def run(tmp_path, policy_file, script):
    """Run the sidecar with a program in Envoy's place; its log."""
    program = tmp_path / "envoy"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    log = io.StringIO()
    start(tmp_path, policy_file, log)
    return log.getvalue()


def await_true(condition):
    """Wait until it holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(process):
    """Whether it has not ended; one that nobody has asked about yet has."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_sidecar_ends_with_envoy(tmp_path, policy_file):
    """By an error, so that both are started again; and nothing stays behind."""
    with pytest.raises(EnvironmentUnfitError, match="Envoy ended with status 3"):
        run(tmp_path, policy_file, "exit 3")
    assert not (tmp_path / "inbound.sock").exists()


def test_it_ends_in_order_when_asked_to(tmp_path, policy_file):
    """SIGTERM drains, then ends Envoy, and is no failure."""
    log = run(
        tmp_path, policy_file, f"trap 'echo ended > {tmp_path}/seen; exit 0' TERM\nkill -TERM $PPID\nsleep 30 & wait"
    )
    assert (tmp_path / "seen").read_text() == "ended\n"
    assert "draining" in log


def test_a_changed_policy_gets_new_listeners(tmp_path, policy_file):
    """Envoy reads them when the file is replaced; the authorizer has the policy already."""
    changed = POLICY + 'upstream_headers: {set: {x-added: "{principal.subject}"}}\n'
    script = f"""
sleep 1
cat > {policy_file}.new <<'END'
{changed}
END
mv {policy_file}.new {policy_file}
for i in $(seq 100); do grep -q x-added {listeners_path(tmp_path)} && break; sleep 0.1; done
kill -INT $PPID
sleep 30 & wait
"""
    assert "listeners_replaced" in run(tmp_path, policy_file, script)
    assert "x-added" in listeners_path(tmp_path).read_text()


def test_envoy_ends_when_the_sidecar_is_killed(tmp_path, policy_file):
    """Nobody would watch over it, and its successor would share the ports with it."""
    program, told = tmp_path / "envoy", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {told}.new\nmv {told}.new {told}\nexec sleep 60\n")
    program.chmod(0o755)
    script = (
        f"import sys, pathlib\nfrom tests.unit.mesh.test_sidecar import start\n"
        f"start(pathlib.Path({str(tmp_path)!r}), {policy_file!r}, sys.stderr)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[3])
    await_true(told.exists)
    proxy = int(told.read_text())
    assert is_running(proxy)
    process.kill()
    process.wait()
    await_true(lambda: not is_running(proxy))
