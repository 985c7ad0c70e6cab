from __future__ import annotations

import json
import socket

import pytest

from extauthz.errors import ConfigurationError
from extauthz.mesh.injection import consider
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.pod_environment import Scrape, read_environment
from extauthz.mesh.template import Origin


def test_nothing_said():
    """A pod of the default namespace, on the loopback address, without a policy."""
    pod = read_environment({})
    assert (pod.name, pod.address, pod.policy) == (socket.gethostname(), "127.0.0.1", ())
    assert pod.identity == "spiffe://cluster.local/ns/default/sa/default"
    assert (pod.wildcard, pod.loopback) == ("0.0.0.0", "127.0.0.1")


def test_an_injected_pod_is_understood():
    """What the injector writes is what is read here."""
    container = {
        "name": "app",
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "timeoutSeconds": 2},
    }
    metadata = {
        "name": "orders-1",
        "annotations": {
            "extauthz.io/policy": "orders-policy",
            "prometheus.io/scrape": "true",
            "prometheus.io/port": "9090",
            "sidecar.istio.io/interceptionMode": "TPROXY",
        },
    }
    outcome = consider({"metadata": metadata, "spec": {"containers": [container]}}, InjectorSettings(), Origin("shop"))
    assert outcome.injected is not None
    (proxy,) = (each for each in outcome.injected["spec"]["initContainers"] if each["name"] == "istio-proxy")
    variables = {each["name"]: each["value"] for each in proxy["env"] if "value" in each}
    pod = read_environment(
        {**variables, "INSTANCE_IP": "fd00::2", "SERVICE_ACCOUNT": "orders", "POD_NAMESPACE": "shop"}
    )
    assert pod.identity == "spiffe://cluster.local/ns/shop/sa/orders"
    assert pod.is_transparent
    assert pod.policy == ("/etc/extauthz/policy",)
    assert pod.probes["/app-health/app/readyz"] == {"httpGet": {"path": "/ready", "port": 8080}, "timeoutSeconds": 2}
    assert pod.scrape == Scrape(9090)
    assert (pod.wildcard, pod.loopback) == ("::", "::1")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"INSTANCE_IP": "pod"}, "INSTANCE_IP: 'pod' is no address"),
        ({"TRUST_DOMAIN": "A B"}, "TRUST_DOMAIN: 'A B' is no trust domain"),
        ({"ISTIO_META_INTERCEPTION_MODE": "SOME"}, "unknown mode 'SOME'"),
        ({"ISTIO_KUBE_APP_PROBERS": "["}, "ISTIO_KUBE_APP_PROBERS: expected a map"),
        ({"ISTIO_KUBE_APP_PROBERS": json.dumps({"/a": 1})}, "/a: expected a probe"),
        ({"ISTIO_PROMETHEUS_ANNOTATIONS": json.dumps({"port": "x"})}, "'x' is no port"),
    ],
)
def test_what_cannot_be_meant(variables, said):
    """The variable is named."""
    with pytest.raises(ConfigurationError, match=said.replace("[", r"\[")):
        read_environment(variables)
