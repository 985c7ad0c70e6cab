from __future__ import annotations

import datetime as dt
import io

import pytest
import yaml

from extauthz.cli import EXIT_WRONG_INPUT, run
from tests.harness.certificates import CertificateAuthority

PODS = """\
apiVersion: v1
kind: Pod
metadata: {name: web}
spec: {containers: [{name: app, image: "x:1"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: agent}
spec: {hostNetwork: true, containers: [{name: app, image: "x:1"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, creationTimestamp: 2026-01-01T00:00:00Z}
"""


@pytest.fixture
def pods(tmp_path):
    file = tmp_path / "pods.yaml"
    file.write_text(PODS)
    return file


def test_every_pod_of_a_file_is_injected_or_told_why_not(pods, capsys):
    """The rest comes out as it is; the output can be injected again."""
    assert run(["mesh", "inject", "-f", str(pods)]) == 0
    captured = capsys.readouterr()
    web, agent, service = yaml.load_all(captured.out, yaml.BaseLoader)
    assert [each["name"] for each in web["spec"]["initContainers"]] == ["istio-init", "istio-proxy"]
    assert "initContainers" not in agent["spec"]
    assert service["metadata"]["creationTimestamp"] == "2026-01-01T00:00:00Z"
    assert captured.err == (
        "Pod web: injected: the policy is enabled\nPod agent: left as it is: it uses the host's network\n"
    )
    pods.write_text(captured.out)
    assert run(["mesh", "inject", "-f", str(pods)]) == 0
    assert capsys.readouterr().out == captured.out


def test_settings_namespace_and_output_are_files_and_flags(pods, tmp_path, monkeypatch, capsys):
    """Standard input, too."""
    settings, out = tmp_path / "settings.yaml", tmp_path / "out.yaml"
    settings.write_text("image: registry.example/e:1\nnative_sidecar: false\n")
    monkeypatch.setattr("sys.stdin", io.StringIO(PODS))
    assert run(["mesh", "inject", "-f", "-", "--config", str(settings), "-o", str(out)]) == 0
    assert yaml.safe_load_all(out.read_text()).__next__()["spec"]["containers"][1]["image"] == "registry.example/e:1"
    assert run(["mesh", "inject", "-f", str(pods), "--namespace", "kube-system"]) == 0
    assert "namespace kube-system is ignored" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "there is no document"),
        ("a: b: c", "no YAML"),
        ("a: 1", "no Kubernetes object"),
        ("kind: Pod\nmetadata: {name: a}\nspec: {}", "Pod a: this is no pod"),
        (
            "kind: Pod\nspec: {containers: []}\nmetadata: {annotations: {sidecar.istio.io/logLevel: loud}}",
            "unknown level",
        ),
    ],
)
def test_what_cannot_be_injected_is_one_line(pods, capsys, text, said):
    """Nothing is printed then."""
    pods.write_text(text)
    assert run(["mesh", "inject", "-f", str(pods)]) == EXIT_WRONG_INPUT
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_missing_file_is_one_line(tmp_path, capsys):
    """The manifest's, and the authority's."""
    assert run(["mesh", "inject", "-f", str(tmp_path / "absent")]) == EXIT_WRONG_INPUT
    assert run(["mesh", "manifests", "--ca", str(tmp_path / "absent")]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().err.count("\n") == 2


def test_manifests_are_written_for_an_authority(tmp_path, capsys):
    """Only its certificates, whatever else the file holds."""
    authority = CertificateAuthority(tmp_path, dt.datetime(2026, 1, 1, tzinfo=dt.UTC))
    pem = authority.certificate.read_text()
    authority.certificate.write_text(f"comment\n{pem}")
    assert run(["mesh", "manifests", "--ca", str(authority.certificate), "--namespace", "mesh", "--reinvoked"]) == 0
    text = capsys.readouterr().out
    assert "reinvocationPolicy: IfNeeded" in text
    assert "namespace: mesh" in text
    out = tmp_path / "out.yaml"
    assert run(["mesh", "manifests", "--cert-manager", "-o", str(out)]) == 0
    assert "cert-manager.io/v1" in out.read_text()


@pytest.mark.parametrize(
    "flags",
    [
        [],
        ["--cert-manager", "--ca", "x"],
        ["--cert-manager", "--namespace", "No_Name"],
        ["--cert-manager", "--replicas", "0"],
    ],
)
def test_manifests_need_somebody_to_trust(flags, capsys):
    """And names that Kubernetes takes."""
    assert run(["mesh", "manifests", *flags]) == EXIT_WRONG_INPUT
    assert capsys.readouterr().out == ""
