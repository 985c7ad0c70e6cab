from __future__ import annotations

import subprocess
from contextlib import ExitStack
from typing import cast

import pytest

from extauthz.errors import EnvironmentUnfitError
from extauthz.mesh.demo import stage
from extauthz.mesh.demo.network import Network
from extauthz.mesh.demo.stage import OUTBOUND_POLICY, edge_policy, identity_of, orders_policy, services
from extauthz.mesh.services import parse_registry
from extauthz.sources.policy_files import load


@pytest.mark.parametrize("text", [orders_policy(), edge_policy("http://10.88.0.1:8090"), OUTBOUND_POLICY])
def test_the_policies_are_sound(tmp_path, text):
    """Without so much as a warning."""
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    assert not load([str(file)]).parsed.warnings


def test_the_registry_is_sound():
    """Every service shows the identity of the pod that answers for it."""
    registry = parse_registry(services("10.88.0.3"), "demo")
    assert {each.identities for each in registry.services.values()} == {(identity_of("orders"),)}
    assert len(registry.services["twins"].endpoints) == 2


def test_a_process_that_does_not_start_is_told_with_its_log(tmp_path):
    """Rather than waited for."""
    starting = stage._Start(stage.Stage(cast("Network", None), tmp_path), ExitStack())
    (tmp_path / "control.log").write_text("no such address\n")
    with subprocess.Popen(["true"]) as process:
        process.wait()
    with pytest.raises(EnvironmentUnfitError, match="control ended with status 0:\nno such address"):
        starting._await("control", process, "ready")
