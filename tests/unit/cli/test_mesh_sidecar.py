from __future__ import annotations

import json

import pytest

from extauthz.cli import EXIT_WRONG_INPUT, run

TOKEN = "0123456789abcdef" * 2
POLICY = """
version: 1
name: orders
routes: [{name: all, path: "/**", public: true}]
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """Certificates, services, a policy and a token; no variable of a pod is set."""
    for name in ("EXTAUTHZ_PATHS", "INSTANCE_IP", "TRUST_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    certificates = tmp_path / "certs"
    certificates.mkdir()
    for name in ("cert-chain.pem", "key.pem", "root-cert.pem"):
        (certificates / name).touch()
    services = "services: {orders: {identities: ['spiffe://cluster.local/ns/shop/sa/orders']}}"
    (tmp_path / "services.yaml").write_text(services)
    (tmp_path / "policy.yaml").write_text(POLICY)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "ca.pem").touch()
    return tmp_path


def test_the_configuration_is_printed(files, capsys):
    """All of it, for the flags given; nothing is run and nothing written."""
    before = sorted(files.iterdir())
    words = ["--certs", f"{files}/certs", "--services", f"{files}/services.yaml", "--directory", str(files)]
    assert run(["mesh", "sidecar", f"{files}/policy.yaml", *words, "--print-config"]) == 0
    printed = json.loads(capsys.readouterr().out)
    names = [each["name"] for each in printed["envoy.json"]["static_resources"]["clusters"]]
    assert {"extauthz", "service_orders"} <= set(names)
    assert [each["name"] for each in printed["listeners.json"]["resources"]][:2] == ["inbound", "outbound"]
    assert sorted(files.iterdir()) == before


def test_the_policy_is_what_the_pod_says(files, monkeypatch, capsys):
    """EXTAUTHZ_PATHS, as the injector writes it; without it there is none, and a PATH comes first."""
    command = ["mesh", "sidecar", "--mtls", "disable", "--print-config"]
    assert run(command) == 0
    assert "ext_authz" not in capsys.readouterr().out.replace("envoy.filters.http.ext_authz:", "")
    monkeypatch.setenv("EXTAUTHZ_PATHS", f"{files}/policy.yaml")
    assert run(command) == 0
    assert "inbound.sock" in capsys.readouterr().out
    monkeypatch.setenv("EXTAUTHZ_PATHS", f"{files}/none.yaml")
    assert run(command) == EXIT_WRONG_INPUT


def test_services_and_certificates_of_a_control_plane(files, capsys):
    """By the discovery stream, with the node's secret."""
    control = ["--control", "10.0.0.9:15010", "--control-ca", f"{files}/ca.pem", "--control-token", f"{files}/token"]
    assert run(["mesh", "sidecar", *control, "--print-config"]) == 0
    assert f"Bearer {TOKEN}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "mutual TLS needs a certificate: give --certs FOLDER or --control ADDR, or --mtls disable"),
        (["--mtls", "disable", "--services", "{}/services.yaml"], "orders: called with mutual TLS"),
        (["--certs", "{}"], "there is no file cert-chain.pem"),
        (["--control", "10.0.0.9:1"], "--control-token FILE is missing"),
        (["--control", "10.0.0.9:1", "--control-token", "{}/token"], "--control-ca FILE goes with"),
        (
            ["--control", "unix:/s", "--control-token", "{}/token", "--control-ca", "{}/ca.pem"],
            "--control-ca FILE goes",
        ),
        (["--control", "unix:/s", "--control-token", "{}/ca.pem"], "--control-token {}/ca.pem: it holds no token"),
        (["--control", "unix:/s", "--control-token", "{}/none"], "--control-token {}/none: No such file"),
        (["--control", "nowhere", "--control-token", "{}/token"], "'nowhere' is no address"),
        (["--control-ca", "{}/ca.pem"], "go with --control ADDR"),
        (["--control", "unix:/s", "--control-token", "{}/token", "--certs", "{}/certs"], "give --certs or --control"),
        (["--control", "unix:/s", "--control-token", "{}/token", "--services", "{}/x"], "give --services or --control"),
        (["--log-level", "loud", "--mtls", "disable"], "--log-level: unknown level 'loud'"),
        (["--mtls", "maybe"], "'maybe' is not one of"),
    ],
)
def test_what_does_not_fit_together(files, capsys, flags, said):
    """One line, and nothing is run."""
    given = [flag.format(files) for flag in flags]
    assert run(["mesh", "sidecar", *given, "--directory", str(files)]) == EXIT_WRONG_INPUT
    assert said.format(files) in capsys.readouterr().err


def test_a_variable_that_cannot_be_meant(monkeypatch, capsys):
    """It is named."""
    monkeypatch.setenv("INSTANCE_IP", "pod")
    assert run(["mesh", "sidecar", "--mtls", "disable"]) == EXIT_WRONG_INPUT
    assert "INSTANCE_IP" in capsys.readouterr().err
