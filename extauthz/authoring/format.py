"""Policy and test files in one style, with the same meaning.

The text is laid out anew around the scalars as their author wrote them, so what they say cannot change. That nothing
else did is proved for each file: both texts are read by the reader of policies and must hold the same values, and the
same comments; else the file is refused.
"""

from __future__ import annotations

import json
from collections import Counter

from extauthz.authoring.key_order import order_keys
from extauthz.authoring.language import SUITE
from extauthz.authoring.layout import BLANK, Branch, Entry, Layout, Leaf, read_layout
from extauthz.authoring.layout_text import layout_text
from extauthz.errors import ConfigurationError, PolicyError
from extauthz.languages.policy_yaml.codes import Code
from extauthz.languages.policy_yaml.language import API_KEYS, POLICY
from extauthz.languages.policy_yaml.nodes import AnyNode, Items, Scalar, kind_of, plain_value
from extauthz.languages.policy_yaml.reader import read_document
from extauthz.languages.policy_yaml.report import Report
from extauthz.languages.policy_yaml.shapes import Shape


def formatted(path: str, content: bytes, *, is_suite: bool) -> bytes:
    """The file in the one style.

    Args:
        path: stands in messages.
        content: the file's.
        is_suite: whether it holds tests.

    Raises:
        PolicyError: it cannot be read, for each reason at its place.
        ConfigurationError: the style would change what it says, which is a fault of this program.
    """
    root = _read(path, content)
    layout = _layout(content)
    before = _comments(layout)
    order_keys(layout, _shape(root, is_suite=is_suite))
    text = layout_text(layout)
    result = text.encode()
    try:
        is_same = _meaning(_read(path, result)) == _meaning(root) and _comments(_layout(result)) == before
    except PolicyError:
        is_same = False
    if not is_same:
        raise ConfigurationError(f"{path} cannot be formatted without changing what it says; it is left as it is")
    return result


def _read(path: str, content: bytes) -> AnyNode:
    report = Report()
    root = read_document(path, content, report)
    if isinstance(root, Scalar):
        report.error(Code.WRONG_TYPE, root, f"a mapping is needed here, not {kind_of(root)}")
    if root is None or report.has_errors:
        raise PolicyError(report.diagnostics([] if root is None else [root]))
    return root


def _layout(content: bytes) -> Layout:
    return read_layout(content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n"))


def _shape(root: AnyNode, *, is_suite: bool) -> Shape[object]:
    if is_suite:
        return SUITE
    return API_KEYS if isinstance(root, Items) else POLICY


def _meaning(root: AnyNode) -> str:
    """The values; keys in any order, since what reads them looks them up."""
    return json.dumps(plain_value(root), sort_keys=True)


def _comments(layout: Layout) -> Counter[str]:
    found: Counter[str] = Counter(layout.foot)
    todo: list[Entry] = [layout.root]
    while todo:
        entry = todo.pop()
        found.update([*entry.lead, entry.tail])
        match entry.value:
            case Branch(entries=entries, foot=foot):
                found.update(foot)
                todo += entries
            case Leaf(block=block) if block is not None:
                found[block.comment] += 1
            case _:
                pass
    del found[BLANK]
    return found
