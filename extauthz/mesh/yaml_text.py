"""YAML as Kubernetes reads it: what becomes JSON, and nothing else."""

from __future__ import annotations

import math
from typing import Any, Final

import yaml

_MAX_NODES: Final = 200_000


class _Loader(yaml.SafeLoader):
    """Refuses duplicate keys; leaves dates text, since JSON has none."""


def _construct_map(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node)
        if not isinstance(key, str):
            raise yaml.constructor.ConstructorError(None, None, "a key is no string", key_node.start_mark)
        if key in seen:
            raise yaml.constructor.ConstructorError(None, None, f"duplicate key '{key}'", key_node.start_mark)
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_map)
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


class _Dumper(yaml.SafeDumper):
    """Writes what occurs twice twice: nobody reads aliases."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as the base class has it
        return True


def load_documents(text: str) -> list[Any]:
    """The documents of a file, empty ones left out; no part of them is there twice. Raises yaml.YAMLError."""
    budget = _Budget()
    try:
        return [_expand(each, budget) for each in yaml.load_all(text, _Loader) if each is not None]
    except RecursionError:
        raise yaml.YAMLError("nested too deeply") from None


class _Budget:
    """What aliases may expand to: a short text can stand for more than any machine holds."""

    left = _MAX_NODES


def _expand(value: Any, budget: _Budget) -> Any:
    budget.left -= 1
    if budget.left < 0:
        raise yaml.YAMLError(f"more than {_MAX_NODES} values, aliases expanded")
    if isinstance(value, dict):
        return {key: _expand(each, budget) for key, each in value.items()}
    if isinstance(value, list):
        return [_expand(each, budget) for each in value]
    if isinstance(value, str | int | None) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise yaml.YAMLError("a value is none that JSON has")


def dump_documents(documents: list[Any]) -> str:
    """The documents, keys in the order that they have."""
    return yaml.dump_all(documents, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
