from __future__ import annotations

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.manifest_pods import inject_document

TEMPLATE = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "app", "image": "x:1"}]}}


def run(document):
    """The document that comes out, and what was told."""
    told = []
    result = inject_document(document, InjectorSettings(), "shop", lambda name, outcome: told.append((name, outcome)))
    return result, told


@pytest.mark.parametrize(
    "kind", ["DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet"]
)
def test_templates_of_workloads_are_injected(kind):
    """The proxy is told what will have made its pod; the document given stays as it is."""
    document = {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": {"template": TEMPLATE}}
    result, told = run(document)
    proxy = result["spec"]["template"]["spec"]["initContainers"][1]
    values = {each["name"]: each.get("value") for each in proxy["env"]}
    assert values["ISTIO_META_OWNER"].endswith(f"/namespaces/shop/{kind.lower()}s/web")
    assert document["spec"]["template"] == TEMPLATE
    assert [name for name, _ in told] == [f"{kind} web"]


def test_a_cron_job_has_its_pod_deeper():
    """In the template of its jobs."""
    spec = {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": TEMPLATE}}}
    result, _ = run({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": spec})
    assert "initContainers" in result["spec"]["jobTemplate"]["spec"]["template"]["spec"]


def test_lists_hold_pods_and_others():
    """Each item is looked at; what has no pod comes back as it is."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"generateName": "a-", "namespace": "kube-system"},
        "spec": TEMPLATE["spec"],
    }
    service = {"apiVersion": "v1", "kind": "Service", "spec": {"ports": []}}
    result, told = run({"apiVersion": "v1", "kind": "List", "items": [service, pod]})
    assert result["items"] == [service, pod]
    ((name, outcome),) = told
    assert (name, outcome.injected) == ("Pod a-", None)
    assert "kube-system" in outcome.because


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("text", "no Kubernetes object"),
        ({"apiVersion": "v1"}, "no Kubernetes object"),
        ({"kind": "Deployment", "metadata": {"name": "web"}, "spec": {}}, "Deployment web: spec.template is no map"),
        ({"kind": "Deployment", "metadata": ["x"]}, "metadata is no map"),
        ({"kind": "Pod", "metadata": {"name": "a"}, "spec": {}}, "Pod a: this is no pod: spec.containers"),
    ],
)
def test_what_cannot_be_injected_is_named(document, said):
    """Kind and name, so that it is found in a long file."""
    with pytest.raises(ConfigurationError, match=said):
        run(document)
