"""The Kubernetes manifests: valid by the API server's schemas, locked down, with settings that the service takes."""

import os
import subprocess

import kubernetes_validate
import pytest
import yaml

from extauthz.cli import run
from extauthz.settings import load_settings
from extauthz.sources.policy_files import load

FLAVOURS = ["central", "sidecar"]


@pytest.fixture(params=FLAVOURS)
def folder(request, deploy):
    return deploy / "kubernetes" / request.param


def kustomization(folder):
    return yaml.safe_load((folder / "kustomization.yaml").read_text())


def resources(folder):
    """Every manifest of a folder, generated ConfigMaps included."""
    customized = kustomization(folder)
    for name in customized["resources"]:
        yield from yaml.safe_load_all((folder / name).read_text())
    for generated in customized["configMapGenerator"]:
        data = {name: (folder / name).read_text() for name in generated["files"]}
        yield {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": generated["name"]}, "data": data}


def pods(folder):
    for resource in resources(folder):
        if resource["kind"] == "Deployment":
            yield resource["spec"]["template"]["spec"]


def containers(folder):
    for pod in pods(folder):
        yield from (*pod.get("initContainers", ()), *pod["containers"])


def authorizer(folder):
    (found,) = [each for each in containers(folder) if each["name"] == "extauthz"]
    return found


def test_manifests_are_valid(folder):
    """By the schemas of the latest Kubernetes, unknown fields refused."""
    checked = list(resources(folder))
    for resource in checked:
        kubernetes_validate.validate(resource, kubernetes_validate.latest_version(), strict=True)
    assert {"Deployment", "Service", "NetworkPolicy", "ConfigMap"} <= {resource["kind"] for resource in checked}


def test_pods_are_locked_down(folder):
    """Nobody's user, nothing writable but what is mounted for it, no privileges, no token of the API server."""
    for pod in pods(folder):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
    for container in containers(folder):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


def test_the_settings_are_ones_that_the_service_takes(folder, monkeypatch):
    """Each variable; and the private listener's API is off, since the port is reachable from the cluster."""
    for variable in authorizer(folder)["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = load_settings({})
    assert settings.paths == ("/etc/extauthz/policy",)
    assert settings.admin_api is False
    assert settings.decision_log == "stdout"


def test_draining_fits_into_the_grace_period(folder, monkeypatch):
    """Otherwise requests in flight are cut off."""
    for variable in authorizer(folder)["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = load_settings({})
    for pod in pods(folder):
        assert settings.drain_delay_seconds + settings.drain_timeout_seconds < pod["terminationGracePeriodSeconds"]


def test_probes_ask_the_private_listener(folder, monkeypatch):
    """At the port where it is, for what is there."""
    container = authorizer(folder)
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    settings = {variable["name"]: variable["value"] for variable in container["env"]}
    assert settings["EXTAUTHZ_ADMIN"] == f"0.0.0.0:{ports['metrics']}"
    for probe, path in (("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/livez")):
        assert container[probe]["httpGet"] == {"path": path, "port": "metrics"}


def test_what_is_mounted_is_there(folder):
    """Volumes, ConfigMaps and files go by the same names."""
    maps = {each["metadata"]["name"] for each in resources(folder) if each["kind"] == "ConfigMap"}
    for pod in pods(folder):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        used = {mount["name"] for each in containers(folder) for mount in each.get("volumeMounts", ())}
        assert used == set(volumes)
        assert {volume["configMap"]["name"] for volume in volumes.values() if "configMap" in volume} == maps
    assert kustomization(folder)["generatorOptions"] == {"disableNameSuffixHash": True}, "or a change is a rollout"


def test_the_policy_can_be_served(folder):
    """Without a warning."""
    loaded = load([str(folder / "policy.yaml")])
    assert loaded.parsed.warnings == ()
    assert {route.name for route in loaded.parsed.policy_set.routes} == {"health", "api"}


def test_envoys_configuration_is_what_the_command_prints(deploy, tmp_path):
    """The command that the kustomization names, flag for flag."""
    folder = deploy / "kubernetes" / "sidecar"
    lines = (folder / "kustomization.yaml").read_text().splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("#   extauthz envoy config"))
    words = " ".join(line.strip("#\\ ") for line in lines[start : start + 2]).split()
    assert words[0] == "extauthz"
    arguments = [word.replace("deploy/", f"{deploy}/") for word in words[1:]]
    written = folder / "envoy.json" if os.environ.get("EXTAUTHZ_REFRESH_GOLDEN") else tmp_path / "envoy.json"
    arguments[arguments.index("--output") + 1] = str(written)
    assert run(arguments) == 0
    assert (folder / "envoy.json").read_text() == written.read_text()


@pytest.mark.envoy
def test_envoy_takes_its_configuration(deploy, envoy):
    """As it is mounted."""
    file = deploy / "kubernetes" / "sidecar" / "envoy.json"
    checked = subprocess.run([envoy, "--mode", "validate", "-c", file], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


def test_the_sidecar_listens_where_envoy_asks(deploy):
    """At the socket that both mount, under one user."""
    folder = deploy / "kubernetes" / "sidecar"
    settings = {variable["name"]: variable["value"] for variable in authorizer(folder)["env"]}
    path = settings["EXTAUTHZ_LISTEN"].removeprefix("unix:")
    assert f'"path": "{path}"' in (folder / "envoy.json").read_text()
    for container in containers(folder):
        if container["name"] in {"extauthz", "envoy"}:
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert path.startswith(f"{mounts['socket']}/")
