"""A container of the pod's own over the injected one: Kubernetes' strategic merge, as far as containers need it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

# `patchMergeKey` of core/v1 Container. Every other list is replaced.
_KEYS: Final = {"env": "name", "ports": "containerPort", "volumeMounts": "mountPath", "volumeDevices": "devicePath"}


def merge_container(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    """The injected container with what the pod's own says; the image `auto` is the injected one."""
    merged = _merge(base, overlay)
    if overlay.get("image") == "auto":
        merged["image"] = base["image"]
    return merged


def _merge(base: Mapping[str, Any], overlay: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for field, value in overlay.items():
        if isinstance(value, dict) and isinstance(base.get(field), dict):
            merged[field] = _merge(base[field], value)
        elif field in _KEYS and isinstance(value, list) and isinstance(base.get(field), list):
            merged[field] = _merge_lists(base[field], value, _KEYS[field])
        else:
            merged[field] = value
    return merged


def _merge_lists(base: list[Any], overlay: list[Any], key: str) -> list[Any]:
    """Items of the same key are merged; the others follow."""
    merged = {item[key]: item for item in base}
    for item in overlay:
        merged[item.get(key)] = {**merged.get(item.get(key), {}), **item}
    return list(merged.values())
