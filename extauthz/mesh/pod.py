"""Reading a pod: JSON that claims to be one, looked at with care."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from extauthz.errors import ConfigurationError

Pod: TypeAlias = dict[str, Any]
Container: TypeAlias = dict[str, Any]

_INJECTOR: Final = "extauthz"


class _Part(BaseModel):
    """The fields that are looked at; there are many more."""

    model_config = ConfigDict(extra="allow", strict=True)


class _Port(_Part):
    name: str | None = None
    containerPort: int | None = None  # noqa: N815 - Kubernetes' spelling


class _Variable(_Part):
    name: str
    value: str | None = None


class _Handler(_Part):
    port: int | str | None = None


class _Check(_Part):
    """A probe, or a hook of the life cycle."""

    httpGet: _Handler | None = None  # noqa: N815
    tcpSocket: _Handler | None = None  # noqa: N815
    grpc: _Handler | None = None


class _Lifecycle(_Part):
    preStop: _Check | None = None  # noqa: N815
    postStart: _Check | None = None  # noqa: N815


class _Mount(_Part):
    mountPath: str  # noqa: N815


class _Device(_Part):
    devicePath: str  # noqa: N815


class _Container(_Part):
    name: str
    ports: list[_Port] | None = None
    env: list[_Variable] | None = None
    volumeMounts: list[_Mount] | None = None  # noqa: N815
    volumeDevices: list[_Device] | None = None  # noqa: N815
    readinessProbe: _Check | None = None  # noqa: N815
    livenessProbe: _Check | None = None  # noqa: N815
    startupProbe: _Check | None = None  # noqa: N815
    lifecycle: _Lifecycle | None = None
    securityContext: dict[str, Any] | None = None  # noqa: N815


class _Named(_Part):
    name: str | None = None


class _Spec(_Part):
    containers: list[_Container]
    initContainers: list[_Container] | None = None  # noqa: N815
    volumes: list[_Named] | None = None
    imagePullSecrets: list[_Named] | None = None  # noqa: N815
    hostNetwork: bool | None = None  # noqa: N815
    os: _Named | None = None


class _Owner(_Part):
    kind: str
    name: str
    controller: bool | None = None


class _Metadata(_Part):
    name: str | None = None
    generateName: str | None = None  # noqa: N815
    namespace: str | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    ownerReferences: list[_Owner] | None = None  # noqa: N815


class _Pod(_Part):
    metadata: _Metadata | None = None
    spec: _Spec


def check_pod(value: object) -> Pod:
    """The value, if it is of the form that Kubernetes gives to pods, as far as it is looked at here.

    Raises:
        ConfigurationError: it is not; the first problem.
    """
    try:
        _Pod.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "it"
        raise ConfigurationError(f"this is no pod: {where}: {first['msg']}") from None
    assert isinstance(value, dict)  # noqa: S101 - just validated
    return value


def copy_json(value: Any) -> Any:
    """A copy in which no part is there twice: changing one changes nothing else."""
    if isinstance(value, dict):
        return {key: copy_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [copy_json(each) for each in value]
    return value


def spec(pod: Mapping[str, Any]) -> dict[str, Any]:
    """What is to run."""
    found: dict[str, Any] = pod["spec"]
    return found


def metadata(pod: Mapping[str, Any]) -> dict[str, Any]:
    """Its names."""
    return pod.get("metadata") or {}


def labels_of(pod: Mapping[str, Any]) -> Mapping[str, str]:
    """By name."""
    return metadata(pod).get("labels") or {}


def annotations_of(pod: Mapping[str, Any]) -> Mapping[str, str]:
    """By name."""
    return metadata(pod).get("annotations") or {}


def containers(pod: Mapping[str, Any]) -> Sequence[Container]:
    """The ordinary ones."""
    return spec(pod).get("containers") or []


def init_containers(pod: Mapping[str, Any]) -> Sequence[Container]:
    """Those that run first, sidecars included."""
    return spec(pod).get("initContainers") or []


def volumes(pod: Mapping[str, Any]) -> Sequence[dict[str, Any]]:
    """What may be mounted."""
    return spec(pod).get("volumes") or []


def find(items: Sequence[dict[str, Any]], name: str) -> dict[str, Any] | None:
    """The item of this name."""
    return next((each for each in items if each.get("name") == name), None)


def own_status(revision: str, injected: Mapping[str, Sequence[str]]) -> str:
    """The annotation that says what was injected."""
    return json.dumps({"injector": _INJECTOR, "revision": revision, **injected}, separators=(",", ":"))


def parse_own_status(text: str) -> Mapping[str, Sequence[str]]:
    """What was injected, by the field of the spec; nothing if that was not us."""
    try:
        status = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(status, dict) or status.get("injector") != _INJECTOR:
        return {}
    return {
        field: names
        for field, names in status.items()
        if isinstance(names, list) and all(isinstance(name, str) for name in names)
    }


def is_own_status(text: str) -> bool:
    """Whether this injector wrote it."""
    return bool(parse_own_status(text))
