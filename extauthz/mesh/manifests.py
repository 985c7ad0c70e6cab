"""What a cluster needs for the webhook: the configurations that call it, and the deployment that answers.

The default revision is asked for by `istio-injection: enabled` on a namespace, by `sidecar.istio.io/inject: "true"`
on a pod, or by `istio.io/rev: default` on either. Another revision is asked for by `istio.io/rev` alone, so that
several injectors, of ours or Istio's, can serve one cluster.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.names import INJECT, POLICY_SET, REVISION
from extauthz.mesh.yaml_text import dump_documents

Json = dict[str, Any]

WEBHOOK_PORT: Final = 15017
_NAMESPACE_LABEL: Final = "istio-injection"
_DOMAIN: Final = "extauthz.io"
_CERTIFICATES: Final = "/etc/extauthz/tls"
_SETTINGS: Final = "/etc/extauthz/injector"
_TIMEOUT_SECONDS: Final = 10
_USER: Final = 65532


class Reinvocation(StrEnum):
    """Whether the API server calls again when a later webhook has changed the pod."""

    NEVER = "Never"
    IF_NEEDED = "IfNeeded"


@dataclass(frozen=True, slots=True)
class Installation:
    """Where and how the webhook is installed."""

    namespace: str
    settings: InjectorSettings
    settings_text: str | None = None
    """The settings file as it was written; it becomes a ConfigMap."""
    authority: bytes | None = None
    """PEM: who signed the webhook's certificate; None: cert-manager issues one and says so."""
    replicas: int = 2
    reinvocation: Reinvocation = Reinvocation.NEVER

    @property
    def name(self) -> str:
        """Of every object."""
        revision = self.settings.revision
        return "extauthz-injector" if revision == "default" else f"extauthz-injector-{revision}"

    @property
    def secret(self) -> str:
        """Of the type kubernetes.io/tls."""
        return f"{self.name}-tls"


def render_manifests(installation: Installation) -> str:
    """Every object, as YAML that kubectl applies."""
    return dump_documents(build_manifests(installation))


def build_manifests(installation: Installation) -> list[Json]:
    """Every object, in the order in which they are to be applied: who calls comes after who answers."""
    objects = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": installation.namespace}},
        _object(installation, "v1", "ServiceAccount", {"automountServiceAccountToken": False}),
    ]
    if installation.settings_text is not None:
        objects.append(
            _object(installation, "v1", "ConfigMap", {"data": {"settings.yaml": installation.settings_text}})
        )
    if installation.authority is None:
        objects += _certificate(installation)
    return [
        *objects,
        _service(installation),
        _deployment(installation),
        _object(
            installation,
            "policy/v1",
            "PodDisruptionBudget",
            {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": _labels(installation)}}},
        ),
        _configuration(installation, "MutatingWebhookConfiguration", _injecting(installation)),
        _configuration(installation, "ValidatingWebhookConfiguration", [_validating(installation)]),
    ]


def _injecting(installation: Installation) -> Sequence[Json]:
    """One entry for each way to ask for injection; no pod is selected by two of them."""
    revision = installation.settings.revision
    in_revision = _expression(REVISION, "In", revision)
    no_revision = _expression(REVISION, "DoesNotExist")
    no_namespace_word = _expression(_NAMESPACE_LABEL, "DoesNotExist")
    not_refused = _expression(INJECT, "NotIn", "false")
    entries = {
        "rev.namespace": ([in_revision, no_namespace_word], [not_refused]),
        "rev.object": ([no_revision, no_namespace_word], [not_refused, in_revision]),
    }
    if revision == "default":
        entries["namespace"] = ([_expression(_NAMESPACE_LABEL, "In", "enabled")], [not_refused])
        entries["object"] = ([no_namespace_word, no_revision], [_expression(INJECT, "In", "true"), no_revision])
    return [
        {
            "name": f"{name}.sidecar-injector.{_DOMAIN}",
            **_call(installation, "/inject"),
            "rules": [_rule("pods", "CREATE")],
            "namespaceSelector": {"matchExpressions": of_namespace},
            "objectSelector": {"matchExpressions": of_object},
            "reinvocationPolicy": installation.reinvocation.value,
        }
        for name, (of_namespace, of_object) in entries.items()
    ]


def _validating(installation: Installation) -> Json:
    return {
        "name": f"policy-set.{_DOMAIN}",
        **_call(installation, "/validate"),
        "rules": [_rule("configmaps", "CREATE", "UPDATE")],
        "objectSelector": {"matchLabels": {POLICY_SET: "true"}},
    }


def _call(installation: Installation, path: str) -> Json:
    service = {"name": installation.name, "namespace": installation.namespace, "path": path, "port": 443}
    authority = installation.authority
    bundle = {} if authority is None else {"caBundle": base64.b64encode(authority).decode()}
    return {
        "clientConfig": {"service": service, **bundle},
        # A pod that should have a sidecar must not run without one, nor a policy set that is not served be stored.
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "sideEffects": "None",
        "timeoutSeconds": _TIMEOUT_SECONDS,
        "admissionReviewVersions": ["v1", "v1beta1"],
    }


def _rule(resource: str, *operations: str) -> Json:
    return {"apiGroups": [""], "apiVersions": ["v1"], "operations": list(operations), "resources": [resource]}


def _expression(key: str, operator: str, *values: str) -> Json:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


def _configuration(installation: Installation, kind: str, webhooks: Sequence[Json]) -> Json:
    name = f"{installation.name}-{installation.namespace}"
    metadata: Json = {"name": name, "labels": _labels(installation)}
    if installation.authority is None:
        certificate = f"{installation.namespace}/{installation.name}"
        metadata["annotations"] = {"cert-manager.io/inject-ca-from": certificate}
    version = "admissionregistration.k8s.io/v1"
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "webhooks": list(webhooks)}


def _certificate(installation: Installation) -> list[Json]:
    """cert-manager's objects: an issuer that signs with a key of its own, and the webhook's certificate."""
    host = f"{installation.name}.{installation.namespace}.svc"
    spec = {
        "secretName": installation.secret,
        "dnsNames": [host, f"{host}.cluster.local"],
        "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
        "issuerRef": {"name": installation.name, "kind": "Issuer"},
    }
    version = "cert-manager.io/v1"
    return [
        _object(installation, version, "Issuer", {"spec": {"selfSigned": {}}}),
        _object(installation, version, "Certificate", {"spec": spec}),
    ]


def _service(installation: Installation) -> Json:
    port = {"name": "https-webhook", "port": 443, "targetPort": WEBHOOK_PORT, "protocol": "TCP"}
    return _object(installation, "v1", "Service", {"spec": {"selector": _labels(installation), "ports": [port]}})


def _deployment(installation: Installation) -> Json:
    # Its own pods get no sidecar: the first could not start before the webhook answers.
    template = {
        "metadata": {"labels": {**_labels(installation), INJECT: "false"}},
        "spec": _pod(installation),
    }
    spec = {
        "replicas": installation.replicas,
        "selector": {"matchLabels": _labels(installation)},
        "template": template,
    }
    return _object(installation, "apps/v1", "Deployment", {"spec": spec})


def _pod(installation: Installation) -> Json:
    arguments = ["mesh", "webhook", "--listen", f"0.0.0.0:{WEBHOOK_PORT}"]
    arguments += ["--tls-cert", f"{_CERTIFICATES}/tls.crt", "--tls-key", f"{_CERTIFICATES}/tls.key"]
    # By group: the file's owner is root, and it is nobody else's to read.
    secret = {"secretName": installation.secret, "defaultMode": 0o440}
    volumes: list[Json] = [{"name": "tls", "secret": secret}]
    mounts: list[Json] = [{"name": "tls", "mountPath": _CERTIFICATES, "readOnly": True}]
    if installation.settings_text is not None:
        arguments += ["--config", f"{_SETTINGS}/settings.yaml"]
        volumes.append({"name": "settings", "configMap": {"name": installation.name}})
        mounts.append({"name": "settings", "mountPath": _SETTINGS, "readOnly": True})
    health = {"httpGet": {"path": "/healthz", "port": WEBHOOK_PORT, "scheme": "HTTPS"}}
    pull = installation.settings.image_pull_policy
    container: Json = {
        "name": "webhook",
        "image": installation.settings.image,
        **({"imagePullPolicy": pull} if pull else {}),
        "args": arguments,
        "ports": [{"name": "https-webhook", "containerPort": WEBHOOK_PORT, "protocol": "TCP"}],
        "readinessProbe": {**health, "periodSeconds": 5},
        "livenessProbe": {**health, "periodSeconds": 10, "failureThreshold": 6},
        "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": mounts,
    }
    secrets = [{"name": name} for name in installation.settings.image_pull_secrets]
    return {
        "serviceAccountName": installation.name,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": volumes,
        **({"imagePullSecrets": secrets} if secrets else {}),
    }


def _object(installation: Installation, version: str, kind: str, content: Mapping[str, Any]) -> Json:
    metadata = {"name": installation.name, "namespace": installation.namespace, "labels": _labels(installation)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


def _labels(installation: Installation) -> Mapping[str, str]:
    return {"app.kubernetes.io/name": "extauthz-injector", REVISION: installation.settings.revision}
