"""The application's probes, sent through the sidecar.

A kubelet has no identity in the mesh, so the proxy would turn it away where mutual TLS is required, and answer for an
application that is not there where it is not. So the kubelet asks the sidecar's status port, which capture leaves
alone, and the sidecar asks the application. What was there before is kept in the sidecar's environment, by the path.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from extauthz.mesh.pod import Container

ORIGINALS: Final = "ISTIO_KUBE_APP_PROBERS"
"""The variable: a JSON map of paths to probes and hooks."""

_PROBES: Final = {"readinessProbe": "readyz", "livenessProbe": "livez", "startupProbe": "startupz"}
_HOOKS: Final = {"preStop": "prestopz", "postStart": "poststartz"}
_HANDLERS: Final = ("httpGet", "tcpSocket", "grpc")


def rewrite_probes(containers: Sequence[Container], status_port: int) -> dict[str, Any]:
    """Point probes and hooks at the sidecar, in place; returns the originals by path, named ports resolved."""
    originals: dict[str, Any] = {}
    for container in containers:
        ports = {
            port["name"]: port["containerPort"]
            for port in container.get("ports") or ()
            if "name" in port and "containerPort" in port
        }
        for path, holder in _handlers(container):
            original = _original(holder, ports)
            if original is not None and original["port"] != status_port:
                originals[path] = original["kept"]
                for kind in _HANDLERS:
                    holder.pop(kind, None)
                holder["httpGet"] = {"path": path, "port": status_port, "scheme": "HTTP"}
    return originals


def restore_probes(containers: Sequence[Container], originals: Mapping[str, Any]) -> None:
    """Undo `rewrite_probes`, in place, for what still is as it was left."""
    for container in containers:
        for path, holder in _handlers(container):
            kept = originals.get(path)
            if isinstance(kept, dict) and (holder.get("httpGet") or {}).get("path") == path:
                del holder["httpGet"]
                holder.update({kind: kept[kind] for kind in _HANDLERS if kind in kept})


def encode_originals(originals: Mapping[str, Any]) -> str:
    """For the environment."""
    return json.dumps(originals, sort_keys=True, separators=(",", ":"))


def decode_originals(text: str) -> Mapping[str, Any]:
    """From the environment; nothing if it was not written by `encode_originals`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _handlers(container: Container) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every probe and hook, with the path by which the sidecar knows it."""
    name = container.get("name")
    for field, last in _PROBES.items():
        if isinstance(container.get(field), dict):
            yield f"/app-health/{name}/{last}", container[field]
    lifecycle = container.get("lifecycle")
    for field, last in _HOOKS.items():
        if isinstance(lifecycle, dict) and isinstance(lifecycle.get(field), dict):
            yield f"/app-lifecycle/{name}/{last}", lifecycle[field]


def _original(holder: Mapping[str, Any], ports: Mapping[str, int]) -> dict[str, Any] | None:
    """A probe over the network, with its port as a number; None for others, and for names of no port."""
    for kind in _HANDLERS:
        handler = holder.get(kind)
        if isinstance(handler, dict):
            port = handler.get("port")
            number = ports.get(port) if isinstance(port, str) else port
            if number is None:
                return None
            kept = {kind: {**copy.deepcopy(handler), "port": number}}
            if "timeoutSeconds" in holder:
                kept["timeoutSeconds"] = holder["timeoutSeconds"]
            return {"port": number, "kept": kept}
    return None
