"""The containers and volumes that are injected, as Kubernetes takes them.

The init container has the two capabilities that iptables needs, and root's id. The proxy has neither, and a root file
system that is read-only; in TPROXY mode it needs NET_ADMIN, and root's id, to take connections as they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from extauthz.mesh import names
from extauthz.mesh.capture import PROXY_ID
from extauthz.mesh.injector_settings import InjectorSettings, Mode
from extauthz.mesh.pod import Container, Pod, annotations_of, containers, labels_of, metadata
from extauthz.mesh.wishes import DEFAULT_STATUS_PORT, Wishes

HEALTH_PORT: Final = 15021
PROMETHEUS_PORT: Final = 15090
POLICY_VOLUME: Final = "extauthz-policy"

_OUTBOUND_PORT: Final = 15001
_INBOUND_PORT: Final = 15006
_TOKEN_SECONDS: Final = 43200
_READY: Final = f"http://127.0.0.1:{HEALTH_PORT}/healthz/ready"
_POLICY_FOLDER: Final = "/etc/extauthz/policy"
_MOUNTS: Final = {
    "istio-envoy": "/etc/istio/proxy",
    "istio-data": "/var/lib/istio/data",
    "istio-podinfo": "/etc/istio/pod",
    "istio-token": "/var/run/secrets/tokens",
    "istiod-ca-cert": "/var/run/secrets/istio",
}
VOLUME_NAMES: Final = frozenset({*_MOUNTS, POLICY_VOLUME})


@dataclass(frozen=True, slots=True)
class Origin:
    """What is known of a pod besides its own text."""

    namespace: str
    environment: Mapping[str, str] = field(default_factory=dict)
    """Further variables of the proxy, as the webhook's address names them."""
    owner: tuple[str, str] | None = None
    """Kind and name of what the pod will be made by, if it does not say so itself."""


def init_container(wishes: Wishes, settings: InjectorSettings) -> Container | None:
    """The container that captures traffic, or that checks that it is captured; None if it is not to be."""
    if wishes.mode is Mode.NONE:
        return None
    checks = ["--skip-rule-apply", "--run-validation"] if settings.cni else []
    return {
        "name": names.VALIDATION_CONTAINER if settings.cni else names.INIT_CONTAINER,
        **_image(wishes, settings),
        "args": ["mesh", "init", *_capture_flags(wishes), *checks],
        "resources": settings.init_resources.model_dump(exclude_none=True),
        "securityContext": _unprivileged(PROXY_ID, PROXY_ID) if settings.cni else _capturing(),
    }


def proxy_container(pod: Pod, wishes: Wishes, settings: InjectorSettings, origin: Origin) -> Container:
    """The proxy, as the native form or the classic one has it."""
    level = ["--log-level", wishes.log_level] if wishes.log_level else []
    port = ["--status-port", str(wishes.status_port)] if wishes.status_port != DEFAULT_STATUS_PORT else []
    ready = {"httpGet": {"path": "/healthz/ready", "port": HEALTH_PORT}, "timeoutSeconds": 3}
    container: Container = {
        "name": names.PROXY_CONTAINER,
        **_image(wishes, settings),
        "args": ["mesh", "sidecar", *level, *port, *settings.proxy_arguments],
        "env": _environment(pod, wishes, settings, origin),
        "ports": [{"name": "http-envoy-prom", "containerPort": PROMETHEUS_PORT, "protocol": "TCP"}],
        "resources": wishes.resources,
        "readinessProbe": {**ready, **wishes.readiness},
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 600},
        "securityContext": _proxy_security(wishes),
        "volumeMounts": _mounts(wishes),
    }
    if wishes.is_native:
        container["restartPolicy"] = "Always"
    elif wishes.holds_application:
        # The kubelet starts the next container when this has returned.
        wait = f"until extauthz probe {_READY}; do sleep 1; done"
        container["lifecycle"] = {"postStart": {"exec": {"command": ["sh", "-c", wait]}}}
    return container


def injected_volumes(wishes: Wishes, settings: InjectorSettings) -> Sequence[dict[str, Any]]:
    """What the proxy mounts."""
    fields = [("labels", "metadata.labels"), ("annotations", "metadata.annotations")]
    items = [{"path": path, "fieldRef": {"fieldPath": where}} for path, where in fields]
    token = {"audience": "istio-ca", "expirationSeconds": _TOKEN_SECONDS, "path": "istio-token"}
    volumes: list[dict[str, Any]] = [
        {"name": "istio-envoy", "emptyDir": {"medium": "Memory"}},
        {"name": "istio-data", "emptyDir": {}},
        {"name": "istio-podinfo", "downwardAPI": {"items": items}},
        {"name": "istio-token", "projected": {"sources": [{"serviceAccountToken": token}]}},
        # Optional: a pod must start where the authority has not yet published its certificate.
        {"name": "istiod-ca-cert", "configMap": {"name": settings.ca_config_map, "optional": True}},
    ]
    if wishes.policy is not None:
        # Not optional: a proxy without the policy that was asked for must not start.
        volumes.append({"name": POLICY_VOLUME, "configMap": {"name": wishes.policy}})
    return [*volumes, *({**volume, "name": name} for name, volume in wishes.user_volumes.items())]


def _workload(pod: Pod, origin: Origin) -> tuple[str, str] | None:
    """Kind and name of what made the pod; a ReplicaSet of a Deployment counts as that."""
    owner = next((each for each in metadata(pod).get("ownerReferences") or () if each.get("controller")), None)
    if owner is None:
        return origin.owner
    kind, name = str(owner["kind"]), str(owner["name"])
    suffix = labels_of(pod).get("pod-template-hash")
    if kind == "ReplicaSet" and suffix and name.endswith(f"-{suffix}"):
        return "Deployment", name.removesuffix(f"-{suffix}")
    return kind, name


def _workload_name(pod: Pod, origin: Origin) -> str:
    """What the pod is one of; its own name if nothing made it."""
    owner = _workload(pod, origin)
    if owner is not None:
        return owner[1]
    named = metadata(pod)
    return str(named.get("name") or str(named.get("generateName") or "").removesuffix("-"))


def _image(wishes: Wishes, settings: InjectorSettings) -> dict[str, str]:
    policy = {"imagePullPolicy": settings.image_pull_policy} if settings.image_pull_policy else {}
    return {"image": wishes.image, **policy}


def _capture_flags(wishes: Wishes) -> list[str]:
    excluded = [each.strip() for each in (wishes.exclude_inbound_ports or "").split(",") if each.strip()]
    if str(wishes.status_port) not in excluded:
        excluded.append(str(wishes.status_port))
    # A proxy that runs as root is told apart by its group; the user must not be, or nothing of root's is captured.
    uid = PROXY_ID if wishes.mode is Mode.TPROXY or wishes.proxy_uid == 0 else wishes.proxy_uid
    flags = {
        "-p": str(_OUTBOUND_PORT),
        "-z": str(_INBOUND_PORT),
        "-u": str(uid),
        "-m": wishes.mode.value,
        "-i": "*" if wishes.include_outbound_ranges is None else wishes.include_outbound_ranges,
        "-x": wishes.exclude_outbound_ranges or "",
        "-b": "*" if wishes.include_inbound_ports is None else wishes.include_inbound_ports,
        "-d": ",".join([str(PROMETHEUS_PORT), str(HEALTH_PORT), *excluded]),
        "-o": wishes.exclude_outbound_ports,
        "-q": wishes.include_outbound_ports,
        "-k": wishes.virtual_interfaces,
        "-c": wishes.excluded_interfaces,
    }
    words = [word for flag, value in flags.items() if value is not None for word in (flag, value)]
    return [*words, *(["--redirect-dns"] if wishes.redirects_dns else [])]


def _environment(pod: Pod, wishes: Wishes, settings: InjectorSettings, origin: Origin) -> list[dict[str, Any]]:
    references = {
        "POD_NAME": "metadata.name",
        "POD_NAMESPACE": "metadata.namespace",
        "INSTANCE_IP": "status.podIP",
        "SERVICE_ACCOUNT": "spec.serviceAccountName",
        "HOST_IP": "status.hostIP",
    }
    ports = [port for container in containers(pod) for port in container.get("ports") or ()]
    values = {
        "TRUST_DOMAIN": settings.trust_domain,
        "PROXY_CONFIG": wishes.proxy_config,
        "ISTIO_META_POD_PORTS": json.dumps(ports, separators=(",", ":")),
        "ISTIO_META_APP_CONTAINERS": ",".join(each["name"] for each in containers(pod)),
        "ISTIO_META_CLUSTER_ID": settings.cluster,
        "ISTIO_META_MESH_ID": settings.trust_domain,
        "ISTIO_META_INTERCEPTION_MODE": wishes.mode.value,
        "ISTIO_META_DNS_CAPTURE": "true" if wishes.redirects_dns else None,
        "ISTIO_META_WORKLOAD_NAME": _workload_name(pod, origin) or None,
        "ISTIO_META_OWNER": _owner(pod, origin),
        # Written out where there is no policy, too: the image says where `serve` finds one.
        "EXTAUTHZ_PATHS": _POLICY_FOLDER if wishes.policy is not None else "",
        **wishes.proxy_metadata,
        **origin.environment,
    }
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in references.items()),
        *({"name": name, "value": value} for name, value in values.items() if value is not None),
    ]


def _owner(pod: Pod, origin: Origin) -> str | None:
    owner = _workload(pod, origin)
    if owner is None:
        return None
    kind, name = owner
    group = "batch/v1" if kind in {"Job", "CronJob"} else "apps/v1"
    return f"kubernetes://apis/{group}/namespaces/{origin.namespace}/{kind.lower()}s/{name}"


def _mounts(wishes: Wishes) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = [{"name": name, "mountPath": path} for name, path in _MOUNTS.items()]
    if wishes.policy is not None:
        mounts.append({"name": POLICY_VOLUME, "mountPath": _POLICY_FOLDER, "readOnly": True})
    return [*mounts, *({**mount, "name": name} for name, mount in wishes.user_mounts.items())]


def _capturing() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]},
        "privileged": False,
        "readOnlyRootFilesystem": False,  # xtables keeps its lock in a file
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "runAsUser": 0,
    }


def _proxy_security(wishes: Wishes) -> dict[str, Any]:
    if wishes.mode is Mode.TPROXY:
        context = _unprivileged(0, PROXY_ID)
        context["capabilities"]["add"] = ["NET_ADMIN"]
    else:
        context = _unprivileged(PROXY_ID, PROXY_ID)
    if wishes.binds_low_ports:
        context["capabilities"].setdefault("add", []).append("NET_BIND_SERVICE")
    return context


def _unprivileged(uid: int, gid: int) -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "privileged": False,
        "readOnlyRootFilesystem": True,
        "runAsGroup": gid,
        "runAsNonRoot": uid != 0,
        "runAsUser": uid,
    }


def canonical_labels(pod: Pod, origin: Origin) -> Mapping[str, str]:
    """The labels that tell the mesh what a pod is, where it does not say so itself."""
    own = labels_of(pod)
    name = own.get("app.kubernetes.io/name") or own.get("app") or _workload_name(pod, origin)
    version = own.get("app.kubernetes.io/version") or own.get("version") or "latest"
    found = {names.TLS_MODE: "istio", names.CANONICAL_NAME: name, names.CANONICAL_REVISION: version}
    return {label: value for label, value in found.items() if label not in own and value}


def default_container(pod: Pod) -> Mapping[str, str]:
    """The annotation by which tools choose the application among the pod's containers."""
    if names.DEFAULT_CONTAINER in annotations_of(pod) or not containers(pod):
        return {}
    return {names.DEFAULT_CONTAINER: containers(pod)[0]["name"]}
