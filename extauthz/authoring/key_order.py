"""The order of keys: that in which the language describes them; their comments go with them.

The sections of a file stand in the order that their author chose to tell them in; lists, and mappings from names of
the author's choice, stay as they are, too. So does everything in a file with anchors, where an alias must come after
what it repeats.
"""

from __future__ import annotations

from extauthz.authoring.layout import Branch, Entry, Layout, Node
from extauthz.languages.policy_yaml.records import RecordOf
from extauthz.languages.policy_yaml.shapes import ByKey, ListOf, MapOf, OneOf, OneOrMany, Shape


def order_keys(layout: Layout, shape: Shape[object]) -> None:
    """Put the keys of the records below the file's sections in order."""
    if not layout.has_anchors:
        _order(layout.root.value, shape, is_root=True)


def _order(node: Node, shape: Shape[object], *, is_root: bool = False) -> None:
    if not isinstance(node, Branch):
        return
    match shape:
        case RecordOf(record=record) if node.is_mapping:
            keys = record().keys
            for entry in node.entries:
                key = keys.get(_name(entry))
                if key is not None:
                    _order(entry.value, key.shape)
            if not is_root:
                ranks = {name: rank for rank, name in enumerate(keys)}
                node.entries.sort(key=lambda entry: ranks.get(_name(entry), len(ranks)))  # what is unknown comes last
        case MapOf(value=inner) if node.is_mapping:
            _order_each(node, inner)
        case ListOf(item=inner) if not node.is_mapping:
            _order_each(node, inner)
        case OneOrMany(item=inner):
            _order(node, inner) if node.is_mapping else _order_each(node, inner)
        case OneOf(other=inner):
            _order(node, inner)
        case ByKey(key=name, present=present, absent=absent):
            _order(node, present if any(_name(entry) == name for entry in node.entries) else absent)
        case _:
            pass  # a value without keys, or of any content


def _order_each(branch: Branch, shape: Shape[object]) -> None:
    for entry in branch.entries:
        _order(entry.value, shape)


def _name(entry: Entry) -> str:
    """The key's text; keys of the language need no escapes."""
    return entry.key.source.strip("'\"") if entry.key is not None else ""
