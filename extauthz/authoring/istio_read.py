"""Objects of Istio's security API, read strictly: RequestAuthentication and AuthorizationPolicy, v1 and v1beta1.

Source: https://istio.io/latest/docs/reference/config/security/ (authorization-policy, request_authentication). What
the API server or Istio's own validation refuses is refused here too: a key that was overlooked could be a condition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import yaml

from extauthz.errors import ConfigurationError

_VERSIONS: Final = ("security.istio.io/v1", "security.istio.io/v1beta1")
_ACTIONS: Final = ("ALLOW", "DENY", "AUDIT", "CUSTOM")
SOURCE_KEYS: Final = (
    "principals",
    "requestPrincipals",
    "namespaces",
    "serviceAccounts",
    "ipBlocks",
    "remoteIpBlocks",
)
OPERATION_KEYS: Final = ("hosts", "ports", "methods", "paths")
_JWT_KEYS: Final = (
    "issuer",
    "audiences",
    "jwksUri",
    "jwks_uri",
    "jwks",
    "fromHeaders",
    "fromParams",
    "fromCookies",
    "forwardOriginalToken",
    "outputPayloadToHeader",
    "outputClaimToHeaders",
    "timeout",
)


@dataclass(frozen=True, slots=True)
class Matching:
    """One attribute with the patterns of which one must match, and those of which none may."""

    key: str
    values: tuple[str, ...]
    not_values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IstioRule:
    """Each of `sources` and `operations` is one alternative; no alternative at all is no condition."""

    sources: tuple[tuple[Matching, ...], ...]
    operations: tuple[tuple[Matching, ...], ...]
    conditions: tuple[Matching, ...]


@dataclass(frozen=True, slots=True)
class IstioObject:
    """What both kinds have: where it stands, and which workloads it is for."""

    title: str
    """For messages, as in `AuthorizationPolicy shop/viewer (shop.yaml)`."""
    name: str
    namespace: str
    labels: Mapping[str, str]
    """The selector: labels that a workload must have; empty: any."""
    targets: tuple[str, ...]
    """The gateways and services that it is attached to, as Kind/name; empty: it is for workloads."""


@dataclass(frozen=True, slots=True)
class Authorization(IstioObject):
    """An AuthorizationPolicy. No rule: it never matches."""

    action: str
    is_enforced: bool
    """False: the annotation istio.io/dry-run makes it a mere log entry."""
    rules: tuple[IstioRule, ...]


@dataclass(frozen=True, slots=True)
class Authentication(IstioObject):
    """A RequestAuthentication: its jwtRules, of which only the names of the keys are checked yet."""

    jwt_rules: tuple[Mapping[str, Any], ...]


class _StrictLoader(yaml.CSafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = sorted({key for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"the key {twice[0]!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read_objects(name: str, content: bytes) -> Iterator[Authorization | Authentication]:
    """The objects of a file: of every document, and of lists (`kubectl get ... -o yaml`).

    Raises:
        ConfigurationError: it is no YAML, or an object is malformed or of another kind.
    """
    try:
        documents = list(yaml.load_all(content, Loader=_StrictLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{name} is no YAML that can be read: {' '.join(str(error).split())}") from None
    for document in documents:
        if document is not None:
            yield from _objects(document, name)


def _objects(document: object, file: str) -> Iterator[Authorization | Authentication]:
    if not isinstance(document, dict) or not isinstance(document.get("kind"), str):
        raise ConfigurationError(f"{file}: a document is no Kubernetes object: it has no kind")
    kind = document["kind"]
    if kind.endswith("List"):
        items = document.get("items")
        if not isinstance(items, list):
            raise ConfigurationError(f"{file}: {kind}: items is no list")
        for item in items:
            yield from _objects(item, file)
        return
    if kind not in ("AuthorizationPolicy", "RequestAuthentication") or document.get("apiVersion") not in _VERSIONS:
        shown = f"{document.get('apiVersion')} {kind}"
        raise ConfigurationError(
            f"{file}: {shown} is not read here: give it AuthorizationPolicy and RequestAuthentication of {_VERSIONS[0]}"
        )
    _fields(document, f"{file}: {kind}", ("apiVersion", "kind", "metadata", "spec", "status"))
    yield _object(document, kind, file)


def _object(document: Mapping[str, Any], kind: str, file: str) -> Authorization | Authentication:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str) or not metadata["name"]:
        raise ConfigurationError(f"{file}: {kind}: metadata.name is missing, or no text")
    name, namespace = metadata["name"], metadata.get("namespace", "default")
    if not isinstance(namespace, str) or not namespace:
        raise ConfigurationError(f"{file}: {kind} {name}: metadata.namespace is no text")
    title = f"{kind} {namespace}/{name} ({file})"
    is_policy = kind == "AuthorizationPolicy"
    own_keys = ("action", "provider", "rules") if is_policy else ("jwtRules",)
    spec = document.get("spec") or {}
    fields = _fields(spec, f"{title}: spec", ("selector", "targetRef", "targetRefs", *own_keys))
    common = (title, name, namespace, _labels(fields, title), _targets(fields, title))
    if not is_policy:
        return Authentication(*common, _jwt_rules(fields, title))
    action = fields.get("action", "ALLOW")
    if action not in _ACTIONS:
        raise ConfigurationError(f"{title}: action is one of {', '.join(_ACTIONS)}, not {action!r}")
    rules = fields.get("rules") or []
    if not isinstance(rules, list):
        raise ConfigurationError(f"{title}: rules is no list")
    annotations = metadata.get("annotations") or {}
    is_dry_run = isinstance(annotations, dict) and annotations.get("istio.io/dry-run") == "true"
    read = tuple(_rule(rule, f"{title}: rules[{i}]") for i, rule in enumerate(rules))
    return Authorization(*common, action, not is_dry_run, read)


def _labels(spec: Mapping[str, Any], title: str) -> Mapping[str, str]:
    place = f"{title}: selector"
    selector = _fields(spec.get("selector") or {}, place, ("matchLabels",))
    labels = selector.get("matchLabels") or {}
    if not isinstance(labels, dict) or not all(isinstance(x, str) for pair in labels.items() for x in pair):
        raise ConfigurationError(f"{place}.matchLabels is no map of texts")
    return labels


def _targets(spec: Mapping[str, Any], title: str) -> tuple[str, ...]:
    references = spec.get("targetRefs") or ([spec["targetRef"]] if spec.get("targetRef") else [])
    if not isinstance(references, list):
        raise ConfigurationError(f"{title}: targetRefs is no list")
    targets = []
    for i, reference in enumerate(references):
        fields = _fields(reference, f"{title}: targetRefs[{i}]", ("group", "kind", "name", "namespace"))
        targets.append(f"{fields.get('kind')}/{fields.get('name')}")
    return tuple(targets)


def _jwt_rules(spec: Mapping[str, Any], title: str) -> tuple[Mapping[str, Any], ...]:
    rules = spec.get("jwtRules") or []
    if not isinstance(rules, list):
        raise ConfigurationError(f"{title}: jwtRules is no list")
    return tuple(_fields(rule, f"{title}: jwtRules[{i}]", _JWT_KEYS) for i, rule in enumerate(rules))


def _rule(rule: object, place: str) -> IstioRule:
    fields = _fields(rule, place, ("from", "to", "when"))
    return IstioRule(
        _alternatives(fields, "from", "source", SOURCE_KEYS, place),
        _alternatives(fields, "to", "operation", OPERATION_KEYS, place),
        tuple(_condition(each, f"{place}.when[{i}]") for i, each in enumerate(_filled(fields, "when", place))),
    )


def _alternatives(
    rule: Mapping[str, Any], key: str, inner: str, known: Sequence[str], place: str
) -> tuple[tuple[Matching, ...], ...]:
    return tuple(
        _matchings(_fields(each, f"{place}.{key}[{i}]", (inner,)).get(inner), known, f"{place}.{key}[{i}].{inner}")
        for i, each in enumerate(_filled(rule, key, place))
    )


def _matchings(value: object, known: Sequence[str], place: str) -> tuple[Matching, ...]:
    negated = {key: f"not{key[0].upper()}{key[1:]}" for key in known}
    fields = _fields(value, place, (*negated, *negated.values()))
    if not fields:
        raise ConfigurationError(f"{place} is empty: Istio refuses it, too")
    return tuple(
        Matching(key, texts_of(fields, key, place), texts_of(fields, opposite, place))
        for key, opposite in negated.items()
        if key in fields or opposite in fields
    )


def _condition(value: object, place: str) -> Matching:
    fields = _fields(value, place, ("key", "values", "notValues"))
    key = fields.get("key")
    if not isinstance(key, str) or not key:
        raise ConfigurationError(f"{place}.key is missing")
    matching = Matching(key, texts_of(fields, "values", place), texts_of(fields, "notValues", place))
    if not matching.values and not matching.not_values:
        raise ConfigurationError(f"{place} has neither values nor notValues")
    return matching


def _filled(fields: Mapping[str, Any], key: str, place: str) -> list[Any]:
    if key not in fields:
        return []
    value = fields[key]
    if not isinstance(value, list) or not value:
        raise ConfigurationError(f"{place}.{key} is no list with an item: Istio refuses it, too")
    return value


def texts_of(fields: Mapping[str, Any], key: str, place: str) -> tuple[str, ...]:
    """The list of texts under a key, empty without the key.

    Raises:
        ConfigurationError: it is another thing, or empty.
    """
    values = _filled(fields, key, place)
    for value in values:
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{place}.{key}: {value!r} is no text: put it into quotes")
    return tuple(values)


def _fields(value: object, place: str, known: Collection[str]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"{place} is no map")
    unknown = [key for key in value if key not in known]
    if unknown:
        raise ConfigurationError(f"{place}: the key {str(unknown[0])!r} is unknown")
    return value
