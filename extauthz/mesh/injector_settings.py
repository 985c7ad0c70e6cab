"""What is injected where pods do not say otherwise: a YAML file, checked once, then frozen."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from extauthz import __version__
from extauthz.errors import ConfigurationError
from extauthz.mesh.selector import LabelSelector
from extauthz.mesh.yaml_text import load_documents

SYSTEM_NAMESPACES: Final = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")
"""Nothing is ever injected there: the cluster could not heal itself."""

_QUANTITY: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]+)?")


def check_quantity(text: str) -> str:
    """An amount as Kubernetes writes it (`resource.Quantity`). Raises ValueError."""
    if not _QUANTITY.fullmatch(text):
        raise ValueError(f"'{text}' is no quantity: write it as 100m, 0.5, 128Mi")
    return text


def check_image(text: str) -> str:
    """A reference of a container image. Raises ValueError."""
    if not text or any(character.isspace() for character in text):
        raise ValueError(f"'{text}' is no image")
    return text


Quantity = Annotated[str, AfterValidator(check_quantity)]
Image = Annotated[str, AfterValidator(check_image)]


class Policy(StrEnum):
    """What happens to pods that do not say whether they want a sidecar."""

    ENABLED = "enabled"
    DISABLED = "disabled"


class Mode(StrEnum):
    """How traffic reaches the proxy; NONE: not at all, the application has to address it."""

    REDIRECT = "REDIRECT"
    TPROXY = "TPROXY"
    NONE = "NONE"


class Amounts(BaseModel):
    """Of CPU and memory."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu: Quantity | None = None
    memory: Quantity | None = None


class Resources(BaseModel):
    """What a container is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests: Amounts = Amounts(cpu="100m", memory="128Mi")
    limits: Amounts = Amounts(cpu="2", memory="1Gi")


class InjectorSettings(BaseModel):
    """What is injected where pods do not say otherwise."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Image = f"extauthz:{__version__}"
    """Of both containers."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] | None = None
    image_pull_secrets: tuple[str, ...] = ()
    revision: str = Field(default="default", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Which injector this is, where there are several: the label istio.io/rev asks for it."""

    policy: Policy = Policy.ENABLED
    never_inject: tuple[LabelSelector, ...] = ()
    """Pods without a word on it that match one of these get no sidecar; this is asked before `always_inject`."""
    always_inject: tuple[LabelSelector, ...] = ()
    ignored_namespaces: tuple[str, ...] = SYSTEM_NAMESPACES

    interception_mode: Mode = Mode.REDIRECT
    cni: bool = False
    """A CNI plugin captures traffic: the init container needs no capability, and only checks."""
    native_sidecar: bool = True
    """As an init container that keeps running, which Kubernetes starts first and ends last (from 1.29 on)."""
    hold_application: bool = False
    """In the classic form: start the application only when the proxy is ready, as the native form does anyway."""
    rewrite_probes: bool = True
    merge_metrics: bool = True
    redirect_dns: bool = False

    log_level: str | None = None
    resources: Resources = Resources()
    init_resources: Resources = Resources()
    proxy_arguments: tuple[str, ...] = ("--mtls", "disable", "--unknown", "pass")
    """Further ones for `extauthz mesh sidecar`: without a source of certificates there is no mutual TLS, and without
    services every call of the application goes to somebody unknown."""
    proxy_metadata: dict[str, str] = Field(default_factory=dict)
    """Further environment variables of the proxy."""
    trust_domain: str = "cluster.local"
    cluster: str = "Kubernetes"
    ca_config_map: str = "istio-ca-root-cert"
    """The ConfigMap of each namespace with the authority's certificate; it may be missing."""

    @model_validator(mode="after")
    def _ignores_system_namespaces(self) -> Self:
        missing = [name for name in SYSTEM_NAMESPACES if name not in self.ignored_namespaces]
        if missing:
            raise ValueError(f"ignored_namespaces must hold {', '.join(missing)}")
        return self


def load_injector_settings(file: Path | None) -> InjectorSettings:
    """Read and check the file; the defaults without one.

    Raises:
        ConfigurationError: it cannot be read, or a setting is wrong: one line.
    """
    if file is None:
        return InjectorSettings()
    try:
        documents = load_documents(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file} is no YAML: {' '.join(str(error).split())}") from None
    document: Any = documents[0] if documents else {}
    if len(documents) > 1 or not isinstance(document, dict):
        raise ConfigurationError(f"{file}: expected one map of settings")
    try:
        return InjectorSettings.model_validate(document)
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc'])}: {each['msg'].removeprefix('Value error, ')}".lstrip(": ")
            for each in error.errors()
        )
        raise ConfigurationError(f"{file}: {problems}") from None
