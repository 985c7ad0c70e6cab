"""Where the pods are in what people write: pods themselves, templates of workloads, lists of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from extauthz.errors import ConfigurationError
from extauthz.mesh.injection import Outcome, consider
from extauthz.mesh.injector_settings import InjectorSettings
from extauthz.mesh.pod import copy_json
from extauthz.mesh.template import Origin

_TEMPLATES: Final[Mapping[str, tuple[str, ...]]] = {
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "DaemonSet": ("spec", "template"),
    "Deployment": ("spec", "template"),
    "Job": ("spec", "template"),
    "ReplicaSet": ("spec", "template"),
    "ReplicationController": ("spec", "template"),
    "StatefulSet": ("spec", "template"),
}


def inject_document(
    document: object, settings: InjectorSettings, namespace: str, told: Callable[[str, Outcome], None]
) -> Any:
    """A document of a manifest with every pod in it injected; other kinds come back as they are.

    Args:
        document: as it was read.
        settings: what to inject.
        namespace: of what names none.
        told: is told what became of each pod, by its kind and name.

    Raises:
        ConfigurationError: it is no object of Kubernetes', or a pod cannot be injected.
    """
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ConfigurationError("a document is no Kubernetes object: it has no kind")
    kind = document["kind"]
    if kind.endswith("List") and isinstance(document.get("items"), list):
        return {**document, "items": [inject_document(each, settings, namespace, told) for each in document["items"]]}
    if kind != "Pod" and kind not in _TEMPLATES:
        return document
    metadata = document.get("metadata") or {}
    if not isinstance(metadata, dict):
        raise ConfigurationError(f"{kind}: metadata is no map")
    name = f"{kind} {metadata.get('name') or metadata.get('generateName') or '(without a name)'}"
    owner = None if kind == "Pod" else (kind, str(metadata.get("name")))
    origin = Origin(str(metadata.get("namespace") or namespace), owner=owner)
    copied: dict[str, Any] = copy_json(document)
    holder, key = _holder(copied, name)
    try:
        outcome = consider(holder[key], settings, origin)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from None
    told(name, outcome)
    if outcome.injected is not None:
        holder[key] = outcome.injected
    return copied if kind != "Pod" else holder[key]


def _holder(document: dict[str, Any], name: str) -> tuple[dict[str, Any], str]:
    """What holds the pod, and under which key."""
    if document["kind"] == "Pod":
        return {"": document}, ""
    *path, key = _TEMPLATES[document["kind"]]
    holder: Any = document
    for each in path:
        holder = holder.get(each) if isinstance(holder, dict) else None
    if not isinstance(holder, dict) or not isinstance(holder.get(key), dict):
        raise ConfigurationError(f"{name}: {'.'.join([*path, key])} is no map")
    return holder, key
