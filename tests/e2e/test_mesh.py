"""A pod of the mesh in containers: as `mesh inject` writes it, with the image that is built for it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager

import pytest
import yaml

from extauthz.lowering.address import TcpAddress, UnixAddress
from extauthz.mesh.docker_instances import find_instances
from tests.e2e.images import build_mesh_image

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "orders", "namespace": "shop", "annotations": {"extauthz.io/policy": "orders-policy"}},
    "spec": {
        "containers": [
            {
                "name": "app",
                "image": "app:1",
                "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
            }
        ]
    },
}
POLICY = """
version: 1
name: orders
routes:
  - {name: open, path: /open, public: true}
  - {name: ready, path: /ready, public: true}
"""
ASK = """
import sys, urllib.request, urllib.error
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except urllib.error.HTTPError as error:
    print(error.code)
except OSError as error:
    print(error)
"""


def injected():
    """The containers that are put into the pod, by name."""
    command = [sys.executable, "-m", "extauthz", "mesh", "inject", "-f", "-"]
    done = subprocess.run(command, input=json.dumps(POD), capture_output=True, text=True, check=True)
    return {each["name"]: each for each in yaml.safe_load(done.stdout)["spec"]["initContainers"]}


def options(container, address, policy):
    """How Docker is told what Kubernetes was told: security, variables, volumes."""
    security = container["securityContext"]
    fields = {"metadata.name": "orders", "metadata.namespace": "shop", "status.podIP": address,
              "spec.serviceAccountName": "orders", "status.hostIP": "192.0.2.1"}  # fmt: skip
    variables = {}
    for each in container.get("env", ()):
        source = each.get("valueFrom")
        variables[each["name"]] = each.get("value", "") if source is None else fields[source["fieldRef"]["fieldPath"]]
    mounts = [each["mountPath"] for each in container.get("volumeMounts", ())]
    return {
        "command": container["args"],
        "environment": variables,
        "user": f"{security['runAsUser']}:{security['runAsGroup']}",
        "read_only": security["readOnlyRootFilesystem"],
        "cap_drop": security["capabilities"]["drop"],
        "cap_add": security["capabilities"].get("add"),
        "security_opt": ["no-new-privileges"],
        "tmpfs": {path: "mode=1777" for path in mounts if path != "/etc/extauthz/policy"},
        "volumes": {str(policy): {"bind": "/etc/extauthz/policy", "mode": "ro"}},
    }


@contextmanager
def running(client, image, **how):
    """A container, until the block ends."""
    container = client.containers.run(image, detach=True, **how)
    try:
        yield container
    finally:
        container.remove(force=True)


@pytest.fixture(scope="module")
def pod(client, images, tmp_path_factory):
    """What a kubelet would run: a network, the application, the init container to its end, the sidecar; the address."""
    policy = tmp_path_factory.mktemp("policy")
    (policy / "policy.yaml").write_text(POLICY)
    policy.chmod(0o755)
    mesh_image = build_mesh_image(client, images)
    with ExitStack() as stack:
        network = stack.enter_context(running(client, images.base, command=["sleep", "infinity"]))
        network.reload()
        address = next(iter(network.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
        shared = {"network_mode": f"container:{network.id}"}
        application = ["demo", "serve-upstream", "--listen", "0.0.0.0:8080"]
        stack.enter_context(running(client, images.extauthz, command=application, **shared))
        containers = injected()
        init = stack.enter_context(
            running(client, mesh_image, **options(containers["istio-init"], address, policy), **shared)
        )
        assert init.wait(timeout=60)["StatusCode"] == 0, init.logs().decode()
        proxy = stack.enter_context(
            running(client, mesh_image, **options(containers["istio-proxy"], address, policy), **shared)
        )
        yield address, proxy


def ask(client, images, url):
    """The status that another container gets."""
    said = client.containers.run(images.base, ["python3", "-c", ASK, url], remove=True)
    return said.decode().strip()


def test_the_pod_becomes_ready(client, images, pod):
    """By the probe that was injected, without a privilege and on a file system that cannot be written."""
    address, proxy = pod
    deadline = time.monotonic() + 60
    while (said := ask(client, images, f"http://{address}:15021/healthz/ready")) != "200":
        proxy.reload()
        assert proxy.status == "running", proxy.logs().decode()
        assert time.monotonic() < deadline, said + proxy.logs().decode()
    assert ask(client, images, f"http://{address}:15020/app-health/app/readyz") == "200"


def test_the_pods_policy_is_enforced(client, images, pod):
    """On what arrives over the network; what the policy does not name is refused."""
    address, _ = pod
    assert ask(client, images, f"http://{address}:8080/open") == "200"
    assert ask(client, images, f"http://{address}:8080/other") in {"401", "403"}


def test_instances_are_found_by_their_labels(client, environment, images):
    """As a running container says; one that has ended is none."""
    host = environment["DOCKER_HOST"]
    if not host.startswith("unix://"):
        pytest.skip("the control plane asks Docker at a Unix socket")
    docker = UnixAddress(host.removeprefix("unix://"))
    labels = {"extauthz.service": "orders", "extauthz.port": "8080"}
    with running(client, images.base, command=["sleep", "infinity"], labels=labels) as container:
        container.reload()
        address = next(iter(container.attrs["NetworkSettings"]["Networks"].values()))["IPAddress"]
        assert find_instances(docker).endpoints == {"orders": [TcpAddress(address, 8080)]}
        container.kill()
        assert not find_instances(docker).endpoints
