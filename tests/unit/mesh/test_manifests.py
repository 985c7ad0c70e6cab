from __future__ import annotations

import base64

import kubernetes_validate
import pytest
import yaml

from extauthz.cli import run
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.manifests import Installation, Reinvocation, build_manifests, render_manifests
from extauthz.mesh.selector import LabelSelector


def installation(**changes):
    """An installation whose certificate somebody else signed."""
    settings = InjectorSettings.model_validate(changes.pop("settings", {}))
    return Installation("mesh", settings, **{"authority": b"PEM", **changes})


def objects(found):
    """By kind."""
    return {each["kind"]: each for each in build_manifests(found)}


@pytest.mark.parametrize(
    "found",
    [
        installation(),
        installation(settings_text="image: x\n", settings={"image_pull_secrets": ["a"], "revision": "canary"}),
        installation(authority=None),
    ],
)
def test_the_api_server_takes_every_object(found):
    """By its own schema, unknown fields refused; cert-manager's objects are its own."""
    for each in yaml.safe_load_all(render_manifests(found)):
        if not each["apiVersion"].startswith("cert-manager.io/"):
            kubernetes_validate.validate(each, "1.33", strict=True)


def test_how_the_webhooks_are_called():
    """A pod that should have a sidecar never runs without; both versions are understood; nothing else is changed."""
    entries = objects(installation())["MutatingWebhookConfiguration"]["webhooks"]
    for entry in entries:
        assert (entry["failurePolicy"], entry["sideEffects"], entry["reinvocationPolicy"]) == ("Fail", "None", "Never")
        assert entry["admissionReviewVersions"] == ["v1", "v1beta1"]
        assert entry["clientConfig"]["caBundle"] == base64.b64encode(b"PEM").decode()
        assert entry["rules"] == [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ]
    assert len({entry["name"] for entry in entries}) == len(entries) == 4
    again = objects(installation(reinvocation=Reinvocation.IF_NEEDED))["MutatingWebhookConfiguration"]["webhooks"]
    assert {entry["reinvocationPolicy"] for entry in again} == {"IfNeeded"}
    (validating,) = objects(installation())["ValidatingWebhookConfiguration"]["webhooks"]
    assert (validating["failurePolicy"], validating["objectSelector"]) == (
        "Fail", {"matchLabels": {"extauthz.io/policy-set": "true"}}
    )  # fmt: skip


def callers(found, namespace, pod):
    """The entries that select a pod with these labels in a namespace with those."""
    return [
        entry["name"].partition(".sidecar")[0]
        for entry in objects(found)["MutatingWebhookConfiguration"]["webhooks"]
        if LabelSelector.model_validate(entry["namespaceSelector"]).matches(namespace)
        and LabelSelector.model_validate(entry["objectSelector"]).matches(pod)
    ]


INJECT, REV, NS = "sidecar.istio.io/inject", "istio.io/rev", "istio-injection"


@pytest.mark.parametrize(
    ("namespace", "pod", "expected"),
    [
        ({}, {}, []),
        ({NS: "enabled"}, {}, ["namespace"]),
        ({NS: "enabled"}, {INJECT: "false"}, []),
        ({NS: "enabled"}, {INJECT: "true"}, ["namespace"]),
        ({NS: "disabled"}, {}, []),
        ({NS: "disabled"}, {INJECT: "true"}, []),
        ({REV: "default"}, {}, ["rev.namespace"]),
        ({REV: "default"}, {INJECT: "false"}, []),
        ({REV: "canary"}, {INJECT: "true"}, []),
        ({}, {INJECT: "true"}, ["object"]),
        ({}, {REV: "default"}, ["rev.object"]),
        ({}, {REV: "default", INJECT: "true"}, ["rev.object"]),
        ({}, {REV: "canary", INJECT: "true"}, []),
    ],
)
def test_which_pods_are_asked_about(namespace, pod, expected):
    """Labels of namespace and pod; none is asked about twice."""
    assert callers(installation(), namespace, pod) == expected


def test_another_revision_is_asked_for_by_name_alone():
    """So that injectors, ours or Istio's, do not serve the same pods."""
    canary = installation(settings={"revision": "canary"})
    assert callers(canary, {NS: "enabled"}, {INJECT: "true"}) == []
    assert callers(canary, {REV: "canary"}, {}) == ["rev.namespace"]
    assert callers(canary, {}, {REV: "canary"}) == ["rev.object"]
    assert objects(canary)["Service"]["metadata"]["name"] == "extauthz-injector-canary"


def test_the_deployment_runs_the_command_that_there_is(tmp_path, capsys):
    """Its arguments are understood, as far as the missing certificate; its pods have no privileges and no sidecar."""
    template = objects(installation(settings_text="image: x\n"))["Deployment"]["spec"]["template"]
    assert template["metadata"]["labels"][INJECT] == "false"
    (container,) = template["spec"]["containers"]
    settings = tmp_path / "settings.yaml"
    settings.write_text("image: x\n")
    arguments = [str(settings) if each.endswith("settings.yaml") else each for each in container["args"]]
    assert run(arguments) == 3
    assert "tls.crt cannot be read" in capsys.readouterr().err
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert template["spec"]["securityContext"]["runAsNonRoot"]


def test_cert_manager_issues_the_certificate_that_is_mounted():
    """And says to API servers whom to trust."""
    found = objects(installation(authority=None))
    assert found["Certificate"]["spec"]["secretName"] == "extauthz-injector-tls"
    assert (
        found["Deployment"]["spec"]["template"]["spec"]["volumes"][0]["secret"]["secretName"] == "extauthz-injector-tls"
    )
    assert "extauthz-injector.mesh.svc" in found["Certificate"]["spec"]["dnsNames"]
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        assert found[kind]["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": "mesh/extauthz-injector"}
        assert "caBundle" not in found[kind]["webhooks"][0]["clientConfig"]


def test_who_calls_comes_after_who_answers():
    """Applied in this order, no pod waits for a webhook that is not there."""
    kinds = [each["kind"] for each in build_manifests(installation())]
    assert kinds.index("Deployment") < kinds.index("MutatingWebhookConfiguration")
    assert kinds[0] == "Namespace"
