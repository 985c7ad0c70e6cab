"""What rules look at: each HttpConnectionManager of a configuration, with its filters, routes and clusters.

Envoy reads protobuf's JSON mapping, so a field may be written in snake case or in camel case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from extauthz.languages.policy_yaml.nodes import AnyNode, Fields, Items, Scalar

AUTHORIZING = frozenset({"ExtAuthz", "RBAC"})
"""Message types of HTTP filters that decide requests."""
GUARDING = AUTHORIZING | {"JwtAuthentication"}
"""And of one that they rely on."""
_ROUTE_TYPES = {"ExtAuthzPerRoute": "ExtAuthz", "RBACPerRoute": "RBAC", "PerRouteConfig": "JwtAuthentication"}
"""Whose configuration for a route it is, by message type."""


def get(node: AnyNode | None, *names: str) -> AnyNode | None:
    """The value at a path of fields, given in snake case; None when it is not there."""
    for name in names:
        if not isinstance(node, Fields):
            return None
        camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
        found = node.entries.get(name) or node.entries.get(camel)
        node = found[1] if found is not None else None
    return node


def text(node: AnyNode | None, *names: str) -> str:
    """The text at a path of fields; empty when there is none."""
    found = get(node, *names)
    return found.text if isinstance(found, Scalar) and found.value is not None else ""


def is_on(node: AnyNode | None, *names: str) -> bool:
    """Whether a boolean field is true; `BoolValue` is one, too."""
    found = get(node, *names)
    return isinstance(found, Scalar) and found.value is True


def items(node: AnyNode | None, *names: str) -> Sequence[AnyNode]:
    """The items of a list; none when there is none."""
    found = get(node, *names)
    return found.items if isinstance(found, Items) else ()


def members(node: AnyNode | None, *names: str) -> Mapping[str, AnyNode]:
    """The entries of a map."""
    found = get(node, *names)
    return {name: value for name, (_, value) in found.entries.items()} if isinstance(found, Fields) else {}


def message_type(node: AnyNode | None) -> str:
    """The short name of a `google.protobuf.Any`: `ExtAuthz`."""
    return text(node, "@type").rpartition(".")[2]


def below(node: AnyNode) -> Iterator[Fields]:
    """Every mapping in a value, itself included; one that aliases share once."""
    todo, seen = [node], set()
    while todo:
        each = todo.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, Fields):
            yield each
            todo += [value for _, value in reversed(each.entries.values())]
        elif isinstance(each, Items):
            todo += reversed(each.items)


def mentions(node: AnyNode | None, *words: str) -> bool:
    """Whether one of these texts stands somewhere in a value."""
    mappings = () if node is None else below(node)
    values = [value for mapping in mappings for _, value in mapping.entries.values()]
    listed = [item for value in values if isinstance(value, Items) for item in value.items]
    return any(isinstance(each, Scalar) and each.text in words for each in (*values, *listed))


@dataclass(frozen=True, slots=True)
class Filter:
    """An HTTP filter."""

    node: Fields
    name: str
    type: str
    """Of its configuration, short; empty when that comes by discovery."""
    config: AnyNode | None


@dataclass(frozen=True, slots=True)
class Scope:
    """A virtual host or a route with configuration of its own for a filter."""

    label: str
    node: AnyNode
    """That configuration."""
    filter_type: str
    """Whose it is; empty when that cannot be told."""
    filter_name: str


@dataclass(slots=True)
class Manager:
    """An HttpConnectionManager."""

    node: Fields
    clusters: Mapping[str, Fields] = field(default_factory=dict)
    """Of the same configuration, by name."""

    @property
    def filters(self) -> list[Filter]:
        """Its HTTP filters, in order."""
        found = []
        for node in items(self.node, "http_filters"):
            if isinstance(node, Fields):
                config = _unwrapped(get(node, "typed_config"))
                found.append(Filter(node, text(node, "name"), message_type(config), config))
        return found

    def of_type(self, *types: str) -> list[Filter]:
        """The filters of these types."""
        return [each for each in self.filters if each.type in types]

    @property
    def virtual_hosts(self) -> list[Fields]:
        """Those written here."""
        return [each for each in items(self.node, "route_config", "virtual_hosts") if isinstance(each, Fields)]

    @property
    def scopes(self) -> list[Scope]:
        """All configuration of filters by virtual hosts, routes and clusters of routes."""
        names = {each.name: each.type for each in self.filters}
        found = []
        for node in [each for host in self.virtual_hosts for each in below(host)]:
            for name, config in members(node, "typed_per_filter_config").items():
                own = _ROUTE_TYPES.get(message_type(get(config, "config") or config), "")
                label = text(node, "name") or text(node, "match", "path") or text(node, "match", "prefix")
                found.append(Scope(label or "without a name", config, names.get(name, own), name))
        return found


def managers(root: AnyNode) -> list[Manager]:
    """Every HttpConnectionManager in a configuration: a bootstrap, listeners, or the manager alone."""
    everything = list(below(root))
    named = [each for each in everything if text(each, "name") and _is_cluster(each)]
    clusters = {text(each, "name"): each for each in named}
    return [Manager(each, clusters) for each in everything if message_type(each) == "HttpConnectionManager"]


def _is_cluster(node: Fields) -> bool:
    return message_type(node) == "Cluster" or get(node, "load_assignment") is not None


def _unwrapped(config: AnyNode | None) -> AnyNode | None:
    """The configuration of a filter that is wrapped in a matcher (`ExtensionWithMatcher`)."""
    if message_type(config) == "ExtensionWithMatcher":
        return get(config, "extension_config", "typed_config")
    return config
