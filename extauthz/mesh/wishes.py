"""What a pod wants of its sidecar: its annotations over the settings, every one checked.

A value that cannot be meant fails the injection, with all that is wrong in one message: a sidecar other than the one
asked for could let traffic past.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from extauthz.errors import ConfigurationError
from extauthz.mesh import names
from extauthz.mesh.capture import PROXY_ID, parse_interfaces, parse_port, parse_ports, parse_ranges
from extauthz.mesh.injector_settings import InjectorSettings, Mode, Resources, check_image, check_quantity
from extauthz.mesh.yaml_text import load_documents

DEFAULT_STATUS_PORT: Final = 15020
"""Where the sidecar answers for the application's probes and metrics."""

_LEVELS: Final = ("trace", "debug", "info", "warning", "error", "critical", "off")
_UNSUPPORTED: Final = {
    names.BOOTSTRAP_OVERRIDE: "the proxy's bootstrap is not replaced here",
    names.TEMPLATES: "there are no templates here but the sidecar's",
}
_BOOLEANS: Final = {"true": True, "false": False}
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wishes:
    """A sidecar, as it is to be."""

    mode: Mode
    include_outbound_ranges: str | None
    """As the pod writes it, checked; None: it says nothing. So are the next ones."""
    exclude_outbound_ranges: str | None
    include_inbound_ports: str | None
    exclude_inbound_ports: str | None
    include_outbound_ports: str | None
    exclude_outbound_ports: str | None
    virtual_interfaces: str | None
    excluded_interfaces: str | None
    redirects_dns: bool
    status_port: int
    image: str
    log_level: str | None
    resources: Mapping[str, Mapping[str, str]]
    is_native: bool
    holds_application: bool
    rewrites_probes: bool
    merges_metrics: bool
    binds_low_ports: bool
    readiness: Mapping[str, int]
    user_volumes: Mapping[str, Mapping[str, Any]]
    user_mounts: Mapping[str, Mapping[str, Any]]
    proxy_config: str | None
    proxy_metadata: Mapping[str, str]
    policy: str | None
    """The ConfigMap with the policy set."""
    proxy_uid: int = PROXY_ID


def read_wishes(annotations: Mapping[str, str], settings: InjectorSettings) -> Wishes:
    """What the annotations say, and the settings where they say nothing.

    Raises:
        ConfigurationError: with everything that is wrong.
    """
    reader = _Reader(annotations)
    nothing: Mapping[str, Any] = {}
    config = reader.read(names.PROXY_CONFIG, _parse_proxy_config, nothing)
    metadata = {**settings.proxy_metadata, **config.get("proxyMetadata", {})}
    for name, reason in _UNSUPPORTED.items():
        if name in annotations and annotations[name] != "sidecar":
            reader.problems.append(f"{name}: {reason}")
    wishes = Wishes(
        mode=reader.read(names.INTERCEPTION_MODE, _parse_mode, settings.interception_mode),
        include_outbound_ranges=reader.checked(names.INCLUDE_OUTBOUND_RANGES, _parse_all_or_ranges),
        exclude_outbound_ranges=reader.checked(names.EXCLUDE_OUTBOUND_RANGES, parse_ranges),
        include_inbound_ports=reader.checked(names.INCLUDE_INBOUND_PORTS, _parse_all_or_ports),
        exclude_inbound_ports=reader.checked(names.EXCLUDE_INBOUND_PORTS, parse_ports),
        include_outbound_ports=reader.checked(names.INCLUDE_OUTBOUND_PORTS, parse_ports),
        exclude_outbound_ports=reader.checked(names.EXCLUDE_OUTBOUND_PORTS, parse_ports),
        virtual_interfaces=reader.checked(_virtual_interfaces_name(annotations), parse_interfaces),
        excluded_interfaces=reader.checked(names.EXCLUDE_INTERFACES, parse_interfaces),
        redirects_dns=settings.redirect_dns or metadata.get("ISTIO_META_DNS_CAPTURE") == "true",
        status_port=reader.read(names.STATUS_PORT, parse_port, DEFAULT_STATUS_PORT),
        image=reader.read(names.PROXY_IMAGE, lambda text, _: check_image(text), settings.image),
        log_level=reader.read(names.LOG_LEVEL, _parse_level, settings.log_level),
        resources=_resources(reader, settings.resources),
        is_native=reader.read(names.NATIVE_SIDECAR, _parse_boolean, settings.native_sidecar),
        holds_application=bool(config.get("holdApplicationUntilProxyStarts", settings.hold_application)),
        rewrites_probes=reader.read(names.REWRITE_PROBES, _parse_boolean, settings.rewrite_probes),
        merges_metrics=reader.read(names.MERGE_METRICS, _parse_boolean, settings.merge_metrics),
        binds_low_ports=reader.read(names.CAP_NET_BIND_SERVICE, _parse_boolean, False),  # noqa: FBT003 - a default
        readiness=_readiness(reader),
        user_volumes=reader.read(names.USER_VOLUME, _parse_named, {}),
        user_mounts=reader.read(names.USER_VOLUME_MOUNT, _parse_mounts, {}),
        proxy_config=json.dumps(config, separators=(",", ":")) if config else None,
        proxy_metadata=metadata,
        policy=reader.read(names.POLICY, _parse_object_name, None),
    )
    if reader.problems:
        raise ConfigurationError("; ".join(f"annotation {each}" for each in reader.problems))
    return wishes


class _ProxyConfig(BaseModel):
    """Of Istio's ProxyConfig, what is looked at here; the proxy gets all of it."""

    model_config = ConfigDict(extra="allow", strict=True)

    proxyMetadata: dict[str, str] = {}  # noqa: N815 - Istio's spelling
    holdApplicationUntilProxyStarts: bool = False  # noqa: N815


class _Reader:
    """Reads annotations and remembers what was wrong with them."""

    def __init__(self, annotations: Mapping[str, str]) -> None:
        self._annotations = annotations
        self.problems: list[str] = []

    def read(self, name: str, parse: Callable[[str, str], _T], default: _T) -> _T:
        """The value of an annotation, or the default."""
        text = self._annotations.get(name)
        if text is None:
            return default
        try:
            return parse(text, name)
        except ConfigurationError as error:
            self.problems.append(str(error))
        except ValueError as error:
            self.problems.append(f"{name}: {error}")
        return default

    def checked(self, name: str, parse: Callable[[str, str], object]) -> str | None:
        """The text of an annotation, which `parse` accepts; None if there is none."""

        def keep(text: str, where: str) -> str | None:
            parse(text, where)
            return text

        return self.read(name, keep, None)


def _resources(reader: _Reader, settings: Resources) -> Mapping[str, Mapping[str, str]]:
    """As Istio has it: a pod that names any amount names all of them."""
    fields = {
        "requests": {"cpu": names.PROXY_CPU, "memory": names.PROXY_MEMORY},
        "limits": {"cpu": names.PROXY_CPU_LIMIT, "memory": names.PROXY_MEMORY_LIMIT},
    }
    own = {
        field: {
            resource: amount
            for resource, name in resources.items()
            if (amount := reader.read(name, lambda text, _: check_quantity(text), None)) is not None
        }
        for field, resources in fields.items()
    }
    if any(own.values()):
        return {field: amounts for field, amounts in own.items() if amounts}
    return settings.model_dump(exclude_none=True)


def _readiness(reader: _Reader) -> Mapping[str, int]:
    fields = {
        "initialDelaySeconds": (names.READINESS_INITIAL_DELAY, 0),
        "periodSeconds": (names.READINESS_PERIOD, 15),
        "failureThreshold": (names.READINESS_FAILURES, 4),
    }
    return {field: reader.read(name, _parse_count, default) for field, (name, default) in fields.items()}


def _virtual_interfaces_name(annotations: Mapping[str, str]) -> str:
    return names.REROUTE_INTERFACES if names.REROUTE_INTERFACES in annotations else names.KUBEVIRT_INTERFACES


def _parse_all_or_ranges(text: str, name: str) -> object:
    return parse_ranges(text, name, takes_all=True)


def _parse_all_or_ports(text: str, name: str) -> object:
    return parse_ports(text, name, takes_all=True)


def _parse_mode(text: str, _: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise ValueError(f"unknown mode '{text}': give REDIRECT, TPROXY or NONE") from None


def _parse_boolean(text: str, _: str) -> bool:
    if text not in _BOOLEANS:
        raise ValueError(f"'{text}' is neither true nor false")
    return _BOOLEANS[text]


def _parse_level(text: str, _: str) -> str:
    if text not in _LEVELS:
        raise ValueError(f"unknown level '{text}': give one of {', '.join(_LEVELS)}")
    return text


def _parse_count(text: str, _: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError(f"'{text}' is no number of seconds or tries")
    return int(text)


def _parse_object_name(text: str, _: str) -> str:
    # RFC 1123, section 2.1, as Kubernetes applies it to names of objects.
    allowed = text.replace("-", "").replace(".", "")
    if not (text.isascii() and allowed.isalnum() and text == text.lower() and text.strip("-.") == text):
        raise ValueError(f"'{text}' is no name of an object")
    return text


def _parse_named(text: str, _: str) -> Mapping[str, Mapping[str, Any]]:
    try:
        value = json.loads(text)
    except RecursionError:
        value = None
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        raise ValueError('expected JSON, as {"name": {...}}')
    return value


def _parse_mounts(text: str, where: str) -> Mapping[str, Mapping[str, Any]]:
    mounts = _parse_named(text, where)
    if not all(isinstance(each.get("mountPath"), str) for each in mounts.values()):
        raise ValueError("every mount has a mountPath")
    return mounts


def _parse_proxy_config(text: str, _: str) -> Mapping[str, Any]:
    try:
        documents = load_documents(text)
    except yaml.YAMLError:
        raise ValueError("it is no YAML") from None
    try:
        checked = _ProxyConfig.model_validate(documents[0] if len(documents) == 1 else None)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ValueError(".".join(map(str, first["loc"])) + ": " + first["msg"]) from None
    return checked.model_dump(exclude_unset=True)
