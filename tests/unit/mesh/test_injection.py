from __future__ import annotations

import copy
import json
from typing import Any

import kubernetes_validate
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from extauthz.errors import ConfigurationError
from extauthz.mesh import names
from extauthz.mesh.injection import consider, inject, without_injection
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.template import Origin

ORIGIN = Origin("shop")
NATIVE = InjectorSettings()
CLASSIC = InjectorSettings(native_sidecar=False)
KUBERNETES = "1.33"


def pod(**spec):
    """A pod of one application with a probe and an init container."""
    app = {"name": "app", "image": "app:1", "readinessProbe": {"httpGet": {"path": "/r", "port": 8080}}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "app", "labels": {"app": "web"}},
        "spec": {"initContainers": [{"name": "migrate", "image": "m:1"}], "containers": [app], **spec},
    }


def order(found):
    """The names of init containers and of the others."""
    return [[each["name"] for each in found["spec"].get(field, [])] for field in ("initContainers", "containers")]


def of_name(found, name):
    """A container, of either sort."""
    both = [*found["spec"].get("initContainers", []), *found["spec"]["containers"]]
    return next(each for each in both if each["name"] == name)


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        (NATIVE, [["istio-init", "istio-proxy", "migrate"], ["app"]]),
        (CLASSIC, [["migrate", "istio-init"], ["app", "istio-proxy"]]),
        (CLASSIC.model_copy(update={"hold_application": True}), [["migrate", "istio-init"], ["istio-proxy", "app"]]),
        (NATIVE.model_copy(update={"cni": True}), [["istio-validation", "istio-proxy", "migrate"], ["app"]]),
    ],
)
def test_where_the_containers_stand(chosen, expected):
    """Captured traffic needs a running proxy: so capture comes last, or the proxy before the others."""
    assert order(inject(pod(), chosen, ORIGIN)) == expected


def test_the_pod_given_stays_as_it_is():
    """And what is given back has an account of what was done."""
    before = pod()
    injected = inject(before, NATIVE, ORIGIN)
    assert before == pod()
    status = json.loads(injected["metadata"]["annotations"][names.STATUS])
    assert status["initContainers"] == ["istio-init", "istio-proxy"]
    assert status["volumes"] == [each["name"] for each in injected["spec"]["volumes"]]
    assert injected["metadata"]["labels"][names.TLS_MODE] == "istio"
    assert injected["metadata"]["annotations"][names.DEFAULT_CONTAINER] == "app"
    assert injected["metadata"]["annotations"][names.REVISION] == "default"


def test_what_is_not_to_be_injected_is_left():
    """With a reason for each."""
    assert consider(pod(), NATIVE, ORIGIN).injected is not None
    left = consider(pod(hostNetwork=True), NATIVE, ORIGIN)
    assert left.injected is None
    assert left.because == "it uses the host's network"
    with pytest.raises(ConfigurationError, match="this is no pod"):
        consider({"spec": 1}, NATIVE, ORIGIN)


def test_probes_go_through_the_sidecar_unless_the_pod_refuses():
    """The originals are in the proxy's environment."""
    injected = inject(pod(), NATIVE, ORIGIN)
    assert of_name(injected, "app")["readinessProbe"]["httpGet"]["port"] == 15020
    kept = next(each for each in of_name(injected, "istio-proxy")["env"] if each["name"] == "ISTIO_KUBE_APP_PROBERS")
    assert json.loads(kept["value"]) == {"/app-health/app/readyz": {"httpGet": {"path": "/r", "port": 8080}}}
    refusing = pod()
    refusing["metadata"]["annotations"] = {names.REWRITE_PROBES: "false"}
    assert of_name(inject(refusing, NATIVE, ORIGIN), "app") == of_name(refusing, "app")


def test_scraping_goes_through_the_sidecar_unless_the_pod_refuses():
    """What was there is in the proxy's environment; a pod that is not to be scraped is not."""
    scraped = pod()
    scraped["metadata"]["annotations"] = {names.SCRAPE: "true", names.SCRAPE_PORT: "9090"}
    injected = inject(scraped, NATIVE, ORIGIN)
    found = injected["metadata"]["annotations"]
    assert (found[names.SCRAPE_PORT], found[names.SCRAPE_PATH]) == ("15020", "/stats/prometheus")
    env = {each["name"]: each.get("value") for each in of_name(injected, "istio-proxy")["env"]}
    assert json.loads(env["ISTIO_PROMETHEUS_ANNOTATIONS"]) == {"scrape": "true", "port": "9090"}
    scraped["metadata"]["annotations"] = {names.SCRAPE: "false"}
    assert inject(scraped, NATIVE, ORIGIN)["metadata"]["annotations"][names.SCRAPE] == "false"
    scraped["metadata"]["annotations"] = {names.MERGE_METRICS: "false"}
    assert names.SCRAPE not in inject(scraped, NATIVE, ORIGIN)["metadata"]["annotations"]


@pytest.mark.parametrize("chosen", [NATIVE, CLASSIC])
def test_the_pods_own_istio_proxy_says_how_the_injected_one_differs(chosen):
    """Its user is the one whose traffic is left alone; root's never is."""
    own: dict[str, Any] = {"name": "istio-proxy", "image": "auto", "securityContext": {"runAsUser": 2000}, "tty": True}
    customised = pod()
    customised["spec"]["containers"].append(own)
    injected = inject(customised, chosen, ORIGIN)
    proxy = of_name(injected, "istio-proxy")
    assert (proxy["image"], proxy["tty"], proxy["securityContext"]["runAsUser"]) == (chosen.image, True, 2000)
    assert "-u 2000 " in " ".join(of_name(injected, "istio-init")["args"])
    assert inject(injected, chosen, ORIGIN) == injected
    own["securityContext"]["runAsUser"] = 0
    assert "-u 1337 " in " ".join(of_name(inject(customised, chosen, ORIGIN), "istio-init")["args"])


def test_names_that_the_sidecar_needs_are_not_shared():
    """A container or volume of the pod's own in its place would be run as the sidecar's."""
    for spec, said in (
        ({"volumes": [{"name": "istio-token", "emptyDir": {}}]}, "volume istio-token"),
        ({"initContainers": [{"name": "istio-init", "image": "x"}]}, "container istio-init"),
    ):
        with pytest.raises(ConfigurationError, match=said):
            inject(pod(**spec), NATIVE, ORIGIN)


def test_pull_secrets_are_added_once():
    """Those that the pod has stay."""
    chosen = InjectorSettings(image_pull_secrets=("ours", "both"))
    injected = inject(pod(imagePullSecrets=[{"name": "both"}]), chosen, ORIGIN)
    assert injected["spec"]["imagePullSecrets"] == [{"name": "both"}, {"name": "ours"}]
    assert inject(injected, chosen, ORIGIN) == injected


def test_what_others_add_after_the_first_injection_is_injected_too():
    """A later webhook's container gets its probes rewritten, and no container is there twice."""
    injected = inject(pod(), CLASSIC, ORIGIN)
    late = {"name": "late", "image": "l:1", "livenessProbe": {"tcpSocket": {"port": 7}}}
    injected["spec"]["containers"].append(late)
    again = inject(injected, CLASSIC, ORIGIN)
    assert order(again) == [["migrate", "istio-init"], ["app", "late", "istio-proxy"]]
    assert of_name(again, "late")["livenessProbe"]["httpGet"]["path"] == "/app-health/late/livez"


def test_a_forged_account_removes_nothing_of_the_pods_own():
    """Only what carries the sidecar's names is ever taken out."""
    forged = pod(volumes=[{"name": "data", "emptyDir": {}}])
    status = {"injector": "extauthz", "containers": ["app"], "initContainers": ["migrate"], "volumes": ["data"]}
    forged["metadata"]["annotations"] = {names.STATUS: json.dumps(status)}
    assert without_injection(forged)["spec"] == forged["spec"]


PROBES = st.sampled_from(
    [
        {},
        {"readinessProbe": {"httpGet": {"path": "/r", "port": "http"}}},
        {"livenessProbe": {"tcpSocket": {"port": 8080}, "timeoutSeconds": 2}},
        {"startupProbe": {"grpc": {"port": 9000}}, "lifecycle": {"preStop": {"httpGet": {"port": 8080}}}},
        {"readinessProbe": {"exec": {"command": ["true"]}}},
    ]
)
CONTAINERS = st.builds(
    lambda probes, ports: {"image": "x:1", **({"ports": ports} if ports else {}), **probes},
    PROBES,
    st.sampled_from([[], [{"name": "http", "containerPort": 8080}]]),
)
ANNOTATIONS = st.fixed_dictionaries(
    {},
    optional={
        names.INTERCEPTION_MODE: st.sampled_from(["REDIRECT", "TPROXY", "NONE"]),
        names.NATIVE_SIDECAR: st.sampled_from(["true", "false"]),
        names.REWRITE_PROBES: st.sampled_from(["true", "false"]),
        names.STATUS_PORT: st.sampled_from(["15020", "15999"]),
        names.SCRAPE: st.sampled_from(["true", "false"]),
        names.SCRAPE_PORT: st.just("9090"),
        names.SCRAPE_PATH: st.just("/metrics"),
        names.USER_VOLUME: st.just('{"cache": {"emptyDir": {}}}'),
        names.USER_VOLUME_MOUNT: st.just('{"cache": {"mountPath": "/cache"}}'),
        names.PROXY_CONFIG: st.just("holdApplicationUntilProxyStarts: true"),
        names.POLICY: st.just("shop-policy"),
        names.PROXY_CPU: st.just("50m"),
        names.STATUS: st.sampled_from(["", "{}", '{"injector":"extauthz","containers":["app-0"]}']),
    },
)


@st.composite
def pods(draw):
    """Pods that Kubernetes would take, of many forms."""
    containers = [
        {"name": f"app-{n}", **each} for n, each in enumerate(draw(st.lists(CONTAINERS, min_size=1, max_size=3)))
    ]
    if draw(st.booleans()):
        containers.append({"name": "istio-proxy", "image": "auto", "env": [{"name": "A", "value": "b"}]})
    inits = [{"name": f"init-{n}", "image": "x:1"} for n in range(draw(st.integers(0, 2)))]
    spec = {"containers": containers, **({"initContainers": inits} if inits else {})}
    if draw(st.booleans()):
        spec["volumes"] = [{"name": "data", "emptyDir": {}}]
    metadata = {"name": "app", **({"annotations": draw(ANNOTATIONS)} if draw(st.booleans()) else {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


@settings(deadline=None)
@given(pods(), st.sampled_from([NATIVE, CLASSIC, InjectorSettings(cni=True, image_pull_secrets=("s",))]))
def test_twice_is_once(before, chosen):
    """For pods of any form; and what the sidecar replaced is found again."""
    once = inject(before, chosen, ORIGIN)
    assert inject(copy.deepcopy(once), chosen, ORIGIN) == once
    undone = without_injection(once)
    assert inject(undone, chosen, ORIGIN) == once
    assert {each["name"] for each in undone["spec"]["containers"]} == {
        each["name"] for each in before["spec"]["containers"]
    }


@settings(deadline=None, max_examples=15)
@given(pods(), st.sampled_from([NATIVE, CLASSIC]))
def test_the_api_server_takes_what_comes_out(before, chosen):
    """By its own schema, unknown fields refused."""
    kubernetes_validate.validate(inject(before, chosen, ORIGIN), KUBERNETES, strict=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 9) | st.sampled_from(["", "app", "istio-proxy", "[]", "{}", "{"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "env", "port", "x"]), inner),
    max_leaves=4,
)


@st.composite
def damaged(draw):
    """An injected pod of which one part, at any depth, is something else."""
    found = copy.deepcopy(draw(pods()))  # parts of it are shared with other examples
    if draw(st.booleans()):
        found = inject(found, draw(st.sampled_from([NATIVE, CLASSIC])), ORIGIN)
    part = found
    while True:
        keys = list(part) if isinstance(part, dict) else list(range(len(part)))
        key = draw(st.sampled_from(keys))
        deeper = isinstance(part[key], dict | list) and part[key] and draw(st.booleans())
        if not deeper:
            part[key] = draw(JSON)
            return found
        part = part[key]


@settings(deadline=None, max_examples=300)
@example({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": {"containers": []}}, CLASSIC)
@given(damaged(), st.sampled_from([NATIVE, CLASSIC]))
def test_whatever_a_pod_holds_nothing_else_is_raised(before, chosen):
    """Its own error, or a pod that can be injected again; accounts of earlier injections are not trusted either."""
    try:
        once = consider(before, chosen, ORIGIN).injected
    except ConfigurationError as error:
        assert "\n" not in str(error)  # noqa: PT017 - whether there is one is open
        return
    if once is not None:
        assert inject(once, chosen, ORIGIN) == once
