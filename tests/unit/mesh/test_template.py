from __future__ import annotations

import json

import pytest

from extauthz.cli import run
from extauthz.mesh import names
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.template import Origin, canonical_labels, init_container, injected_volumes, proxy_container
from extauthz.mesh.wishes import read_wishes

POD = {
    "metadata": {"labels": {}},
    "spec": {"containers": [{"name": "app", "ports": [{"containerPort": 80}]}, {"name": "b"}]},
}
ORIGIN = Origin("shop")


def proxy(annotations=None, pod=POD, origin=ORIGIN, **settings):
    """The proxy's container for a pod with these annotations."""
    chosen = InjectorSettings.model_validate(settings)
    return proxy_container(pod, read_wishes(annotations or {}, chosen), chosen, origin)


def init(annotations=None, **settings):
    """The init container."""
    chosen = InjectorSettings.model_validate(settings)
    return init_container(read_wishes(annotations or {}, chosen), chosen)


def environment(container):
    """Its variables with values."""
    return {each["name"]: each.get("value") for each in container["env"]}


def flags(container):
    """What `mesh init` is given."""
    arguments = container["args"][2:]
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def test_the_standard_arguments():
    """Those for which the standard rules are."""
    arguments = init()["args"]
    assert " ".join(map(repr, arguments)) == (
        "'mesh' 'init' '-p' '15001' '-z' '15006' '-u' '1337' '-m' 'REDIRECT' '-i' '*' '-x' '' '-b' '*' "
        "'-d' '15090,15021,15020'"
    )


@pytest.mark.parametrize(
    "annotations",
    [
        {},
        {names.INTERCEPTION_MODE: "TPROXY", names.INCLUDE_OUTBOUND_RANGES: "", names.EXCLUDE_INBOUND_PORTS: "22, 23"},
        {names.INCLUDE_OUTBOUND_PORTS: "53", names.EXCLUDE_OUTBOUND_PORTS: "22", names.EXCLUDE_INTERFACES: "eth1"},
    ],
)
def test_the_init_container_is_given_what_the_command_takes(annotations, capsys):
    """Every flag, with every value that an annotation may have."""
    assert run([*init(annotations)["args"], "--dry-run"]) == 0
    assert capsys.readouterr().out.endswith("COMMIT\n")


def test_annotations_become_flags():
    """The status port is excluded with what the pod excludes, once."""
    given = flags(
        init({names.EXCLUDE_INBOUND_PORTS: "22", names.STATUS_PORT: "15999", names.INCLUDE_INBOUND_PORTS: "80"})
    )
    assert given["-d"] == "15090,15021,22,15999"
    assert given["-b"] == "80"
    assert flags(init({names.EXCLUDE_INBOUND_PORTS: "15020"}))["-d"] == "15090,15021,15020"
    assert init(redirect_dns=True)["args"][-1] == "--redirect-dns"


def test_no_interception_needs_no_init_container():
    """The application addresses the proxy itself."""
    assert init({names.INTERCEPTION_MODE: "NONE"}) is None


def test_privileges_are_the_least_that_work():
    """Capturing needs two capabilities and root's id; the proxy nothing at all, except in TPROXY mode."""
    security = init()["securityContext"]
    assert (security["runAsUser"], security["capabilities"]) == (0, {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]})
    assert not security["privileged"]
    security = proxy()["securityContext"]
    assert (security["runAsUser"], security["runAsNonRoot"], security["readOnlyRootFilesystem"]) == (1337, True, True)
    assert security["capabilities"] == {"drop": ["ALL"]}
    security = proxy({names.INTERCEPTION_MODE: "TPROXY", names.CAP_NET_BIND_SERVICE: "true"})["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["runAsNonRoot"]) == (0, 1337, False)
    assert security["capabilities"]["add"] == ["NET_ADMIN", "NET_BIND_SERVICE"]
    assert proxy()["securityContext"]["capabilities"] == {"drop": ["ALL"]}, "no pod inherits from another"


def test_with_a_cni_plugin_the_init_container_only_checks():
    """As the proxy's user, without any capability."""
    container = init(cni=True)
    assert container["name"] == "istio-validation"
    assert container["args"][-2:] == ["--skip-rule-apply", "--run-validation"]
    assert container["securityContext"]["runAsUser"] == 1337
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_native_form_keeps_running_and_the_classic_one_may_hold_the_application():
    """Kubernetes waits for a native sidecar anyway."""
    assert proxy()["restartPolicy"] == "Always"
    assert "restartPolicy" not in proxy({names.NATIVE_SIDECAR: "false"})
    held = proxy(native_sidecar=False, hold_application=True)
    assert (
        "extauthz probe http://127.0.0.1:15021/healthz/ready" in held["lifecycle"]["postStart"]["exec"]["command"][-1]
    )
    assert "lifecycle" not in proxy(hold_application=True)


def test_the_proxy_is_told_who_it_stands_beside():
    """The pod's containers, ports and maker; variables of the webhook's address win."""
    owners = [{"kind": "ReplicaSet", "name": "web-5d4f", "controller": True}]
    pod = {**POD, "metadata": {"labels": {"pod-template-hash": "5d4f"}, "ownerReferences": owners}}
    found = environment(proxy(pod=pod, origin=Origin("shop", {"ISTIO_META_CLUSTER_ID": "east"})))
    assert found["ISTIO_META_APP_CONTAINERS"] == "app,b"
    assert json.loads(found["ISTIO_META_POD_PORTS"]) == [{"containerPort": 80}]
    assert found["ISTIO_META_WORKLOAD_NAME"] == "web"
    assert found["ISTIO_META_OWNER"] == "kubernetes://apis/apps/v1/namespaces/shop/deployments/web"
    assert found["ISTIO_META_CLUSTER_ID"] == "east"
    job = environment(proxy(origin=Origin("shop", owner=("Job", "backup"))))
    assert job["ISTIO_META_OWNER"] == "kubernetes://apis/batch/v1/namespaces/shop/jobs/backup"


def test_a_policy_is_mounted_and_named():
    """A missing ConfigMap keeps the pod from starting: it must not run without its policy."""
    annotations = {names.POLICY: "shop-policy"}
    container = proxy(annotations)
    assert environment(container)["EXTAUTHZ_PATHS"] == "/etc/extauthz/policy"
    assert environment(proxy())["EXTAUTHZ_PATHS"] == ""  # the image would name one, for serve
    assert container["volumeMounts"][-1] == {
        "name": "extauthz-policy", "mountPath": "/etc/extauthz/policy", "readOnly": True
    }  # fmt: skip
    settings = InjectorSettings()
    volume = injected_volumes(read_wishes(annotations, settings), settings)[-1]
    assert volume == {"name": "extauthz-policy", "configMap": {"name": "shop-policy"}}


def test_every_mount_has_its_volume():
    """The pod's own ones included."""
    annotations = {
        names.USER_VOLUME: '{"cache": {"emptyDir": {}}}',
        names.USER_VOLUME_MOUNT: '{"cache": {"mountPath": "/c"}}',
    }
    settings = InjectorSettings()
    volumes = injected_volumes(read_wishes(annotations, settings), settings)
    assert {each["name"] for each in proxy(annotations)["volumeMounts"]} == {each["name"] for each in volumes}


def test_labels_that_say_what_a_pod_is():
    """From its application labels, else from what made it; its own are kept."""
    labels = {"app": "web", "version": "v2", names.TLS_MODE: "disabled"}
    found = canonical_labels({**POD, "metadata": {"labels": labels}}, ORIGIN)
    assert found == {names.CANONICAL_NAME: "web", names.CANONICAL_REVISION: "v2"}
    unnamed = {**POD, "metadata": {"generateName": "web-"}}
    assert canonical_labels(unnamed, ORIGIN)[names.CANONICAL_NAME] == "web"
    assert names.CANONICAL_NAME not in canonical_labels(POD, ORIGIN)


def test_the_sidecar_is_told_what_it_serves():
    """DNS where queries are sent to it, and another status port where the pod names one."""
    assert "ISTIO_META_DNS_CAPTURE" not in environment(proxy())
    assert environment(proxy(redirect_dns=True))["ISTIO_META_DNS_CAPTURE"] == "true"
    assert "--status-port" not in proxy()["args"]
    arguments = proxy({names.STATUS_PORT: "15030"})["args"]
    assert arguments[arguments.index("--status-port") + 1] == "15030"
