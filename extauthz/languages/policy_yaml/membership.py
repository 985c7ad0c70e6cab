"""Which of the files given are policy: one that another names by `file:` (API keys, a JWK Set) is data, no part of it.

A folder of policy may so hold its key files. Decided on the text as read, before its shape is checked: a list of API
keys has no shape of a policy. Were a policy named by mistake, reading it as keys would fail: no rule is lost silently.
"""

from __future__ import annotations

import os.path
from collections.abc import Iterator, Mapping, Sequence

from extauthz.languages.policy_yaml.files import joined_path
from extauthz.languages.policy_yaml.nodes import AnyNode, Fields, Scalar


def named_by_file(roots: Sequence[AnyNode], values: Mapping[str, str]) -> frozenset[str]:
    """The paths, normalised, of all files that some provider names by `file:`."""
    return frozenset(
        os.path.normpath(_resolved(joined_path(name), values)) for root in roots for name in _file_names(root)
    )


def is_named(root: AnyNode, named: frozenset[str]) -> bool:
    """Whether the file that the value stands in is one of those."""
    return os.path.normpath(root.document.path) in named


def _file_names(root: AnyNode) -> Iterator[Scalar]:
    for provider in _children(_child(root, "providers")):
        for source in ("jwks", "api_keys"):
            name = _child(_child(provider, source), "file")
            if isinstance(name, Scalar):
                yield name


def _child(node: AnyNode | None, key: str) -> AnyNode | None:
    return node.entries[key][1] if isinstance(node, Fields) and key in node.entries else None


def _children(node: AnyNode | None) -> Iterator[AnyNode]:
    if isinstance(node, Fields):
        yield from (value for _, value in node.entries.values())


def _resolved(text: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        text = text.replace(f"${{{name}}}", value)
    return text
