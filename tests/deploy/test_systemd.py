"""The systemd unit: what `systemd-analyze` thinks of it, and settings that the service takes."""

import shutil
import subprocess
import sys

import pytest

from extauthz.cli import EXIT_WRONG_INPUT
from extauthz.settings import load_settings

EXPOSURE_LIMIT = 20
"""Tenths, as systemd-analyze counts them: from 0, locked in, to 100, free."""


@pytest.fixture
def unit(deploy, tmp_path):
    """The unit, with the program where it is here: systemd looks for it."""
    text = (deploy / "systemd" / "extauthz.service").read_text()
    program = tmp_path / "extauthz"
    program.write_text(f"#!{sys.executable}\n")
    program.chmod(0o755)
    assert "/opt/extauthz/bin/extauthz serve" in text
    copy = tmp_path / "extauthz.service"
    copy.write_text(text.replace("/opt/extauthz/bin/extauthz", str(program)))
    return copy


def analyze(*arguments):
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not there")
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False)


def test_systemd_takes_the_unit(unit):
    """Without a complaint."""
    found = analyze("verify", unit)
    assert (found.returncode, found.stdout + found.stderr) == (0, "")


def test_the_service_is_locked_in(unit):
    """By systemd's own measure."""
    found = analyze("security", "--offline=true", f"--threshold={EXPOSURE_LIMIT}", unit)
    assert found.returncode == 0, found.stdout


def test_the_settings_are_ones_that_the_service_takes(deploy, unit):
    """And every folder that they name is one that the unit makes, or that the operator fills."""
    settings = load_settings({}, str(deploy / "systemd" / "extauthz.yaml"))
    assert (settings.paths, settings.state) == (("/etc/extauthz/policy",), "/var/lib/extauthz/keys")
    assert settings.decision_log == "/var/log/extauthz/decisions.log"
    lines = unit.read_text().splitlines()
    assert {f"{kind}Directory=extauthz" for kind in ("State", "Logs", "Runtime")} <= set(lines)
    assert f"RestartPreventExitStatus={EXIT_WRONG_INPUT}" in lines


def test_stopping_leaves_time_to_drain(deploy, unit):
    """Otherwise requests in flight are cut off."""
    settings = load_settings({}, str(deploy / "systemd" / "extauthz.yaml"))
    seconds = settings.drain_delay_seconds + settings.drain_timeout_seconds
    (line,) = [each for each in unit.read_text().splitlines() if each.startswith("TimeoutStopSec=")]
    assert seconds < float(line.partition("=")[2])
