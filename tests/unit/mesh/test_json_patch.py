from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from extauthz.mesh.json_patch import Operation, diff

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "a", "~", "/", "~1", "ü"])
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "a/b", "m~n", ""]), inner),
    max_leaves=12,
)


def apply(document: Any, operations: Iterable[Operation]) -> Any:
    """RFC 6902, as far as it is used."""
    holder: Any = {"": copy.deepcopy(document)}
    for operation in operations:
        parts = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")]
        *path, last = parts
        target: Any = holder
        for part in path:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if isinstance(target, list):
            if operation["op"] == "add":
                target.insert(int(last), operation["value"])
            elif operation["op"] == "remove":
                del target[int(last)]
            else:
                target[int(last)] = operation["value"]
        elif operation["op"] == "remove":
            del target[last]
        else:
            assert (last in target) is (operation["op"] == "replace")
            target[last] = operation["value"]
    return holder[""]


def exact(document):
    """Text, so that true is not 1."""
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS)
def test_applying_the_difference_makes_the_other(before, after):
    """For any two documents."""
    assert exact(apply(before, diff(before, after))) == exact(after)


@given(DOCUMENTS)
def test_no_difference_is_no_operation(document):
    """An unchanged pod is not patched."""
    assert list(diff(document, copy.deepcopy(document))) == []


def test_what_is_added_to_a_list_is_only_added():
    """The containers that are there are not sent back."""
    before = {"c": [{"name": "a", "p": 1}, {"name": "b"}]}
    after = {"c": [{"name": "i"}, {"name": "a", "p": 1}, {"name": "b"}, {"name": "z"}]}
    assert list(diff(before, {"c": after["c"][:3]})) == [{"op": "add", "path": "/c/0", "value": {"name": "i"}}]
    assert list(diff(before, {"c": after["c"][1:]})) == [{"op": "add", "path": "/c/2", "value": {"name": "z"}}]
