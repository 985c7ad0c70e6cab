from __future__ import annotations

import hashlib

import pytest

from extauthz.cli import EXIT_ENVIRONMENT, EXIT_WRONG_INPUT, run


@pytest.fixture
def words(tmp_path):
    """Flags that would do."""
    (tmp_path / "services.yaml").write_text("services: {}")
    digest = hashlib.sha256(b"x").hexdigest()
    (tmp_path / "nodes.yaml").write_text(f"nodes: [{{token_sha256: {digest}, identity: 'spiffe://cluster.local/a'}}]")
    return [
        *("mesh", "control", "--registry", f"{tmp_path}/services.yaml", "--nodes", f"{tmp_path}/nodes.yaml"),
        *("--ca", f"{tmp_path}/ca"),
    ]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--lifetime", "1d"], "'1d' is no duration"),
        (["--trust-domain", "a/b"], "'a/b' is no trust domain"),
        (["--listen", "nowhere"], "'nowhere' is no address"),
        (["--docker", "localhost:2375"], "give its Unix socket"),
        (["--registry", "/none.yaml"], "/none.yaml cannot be read"),
        (["--nodes", "/none.yaml"], "/none.yaml cannot be read"),
    ],
)
def test_what_is_wrong_is_told(words, capsys, flags, said):
    """One line, and nothing is served."""
    assert run([*words, *flags]) == EXIT_WRONG_INPUT
    assert said in capsys.readouterr().err


def test_what_the_machine_does_not_have(words, tmp_path, capsys):
    """An address that is not ours, a Docker that is not there."""
    assert run([*words, "--listen", "192.0.2.1:1"]) == EXIT_ENVIRONMENT
    assert "this machine has no such address" in capsys.readouterr().err
    assert run([*words, "--docker", f"unix:{tmp_path}/none"]) == EXIT_ENVIRONMENT
    assert "no answer" in capsys.readouterr().err


def test_what_has_to_be_said(capsys):
    """There is no default for services, nodes and authority."""
    assert run(["mesh", "control"]) == EXIT_WRONG_INPUT
    assert "Missing option '--registry'" in capsys.readouterr().err
