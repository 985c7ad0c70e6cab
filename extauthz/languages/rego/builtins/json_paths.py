"""Parts of documents by their paths: json.filter, json.remove and json.patch (RFC 6902)."""

from __future__ import annotations

from typing import Any

from extauthz.languages.rego.builtins.registry import Registry, array, members, object_
from extauthz.languages.rego.evaluation import Evaluation, lookup
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import as_integer, is_number
from extauthz.languages.rego.value import UNDEFINED, RegoSet, Value, equal, object_key, type_name, unboxed

JSON_PATHS = Registry()

Path = list[Value]


def _path(value: Value) -> Path:
    """A path from its keys, or from a JSON pointer (RFC 6901), whose first slash may be missing."""
    if type(value) is list:
        return value
    if type(value) is not str:
        raise BuiltinError(f"operand 2 must be paths or arrays of path segments but got {type_name(value)}")
    if not value:
        return []
    return [part.replace("~1", "/").replace("~0", "~") for part in value.lstrip("/").split("/")]


class _Leaf:
    """The end of a path in a tree of paths."""


_LEAF = _Leaf()
_Tree = dict[Any, Any]


def _tree(paths: Value) -> _Tree:
    """Paths as a tree; one that leads on from the end of another is covered by it."""
    root: _Tree = {}
    for path in map(_path, members(paths, 2)):
        node: Any = root
        for step in path[:-1]:
            node = node.setdefault(object_key(step), {})
            if node is _LEAF:
                break
        if path and node is not _LEAF:
            node[object_key(path[-1])] = _LEAF
    return root


@JSON_PATHS.add("json.filter", 2)
def json_filter(document: Value, paths: Value) -> Value:
    """The document with only what the paths lead to."""
    return _filtered(object_(document, 1), _tree(paths))


def _filtered(value: Value, tree: Any) -> Value:
    """What of a value is in the tree."""
    if tree is _LEAF:
        return value
    if type(value) is dict:
        kept = {key: _filtered(member, tree[key]) for key, member in value.items() if key in tree}
        return {key: member for key, member in kept.items() if member is not UNDEFINED}
    if type(value) is list:
        pairs = [(member, tree.get(str(index), UNDEFINED)) for index, member in enumerate(value)]
        return [_filtered(member, branch) for member, branch in pairs if branch is not UNDEFINED]
    if type(value) is RegoSet:
        pairs = [(member, tree.get(object_key(member), UNDEFINED)) for member in value]
        return RegoSet(_filtered(member, branch) for member, branch in pairs if branch is not UNDEFINED)
    return value


@JSON_PATHS.add("json.remove", 2)
def json_remove(document: Value, paths: Value) -> Value:
    """The document without what the paths lead to."""
    return _without(object_(document, 1), _tree(paths))


def _without(value: Value, tree: Any) -> Value:
    if type(value) is dict:
        pairs = [(key, member, tree.get(key, UNDEFINED)) for key, member in value.items()]
        return {key: _remaining(member, branch) for key, member, branch in pairs if branch is not _LEAF}
    if type(value) is list:
        numbered = [(member, tree.get(str(index), UNDEFINED)) for index, member in enumerate(value)]
        return [_remaining(member, branch) for member, branch in numbered if branch is not _LEAF]
    if type(value) is RegoSet:
        found = [(member, tree.get(object_key(member), UNDEFINED)) for member in value]
        return RegoSet(_remaining(member, branch) for member, branch in found if branch is not _LEAF)
    return value


def _remaining(value: Value, branch: Any) -> Value:
    return value if branch is UNDEFINED else _without(value, branch)


# --- Patches -------------------------------------------------------------------------------------------------------


@JSON_PATHS.add("json.patch", 2, stateful=True)
def json_patch(evaluation: Evaluation, document: Value, operations: Value) -> Value:
    """The document after all operations; sets are changed by their members."""
    for operation in array(operations, 2):
        if type(operation) is not dict:
            raise BuiltinError("operand 2 must be an array of JSON-Patch objects")
        evaluation.spend(1)
        document = _applied(evaluation, document, operation)
    return document


def _applied(evaluation: Evaluation, document: Value, operation: dict[Any, Value]) -> Value:
    path = _path(_attribute(operation, "path"))
    match _attribute(operation, "op"):
        case "add":
            return _inserted(evaluation, document, path, _attribute(operation, "value"))
        case "remove":
            return _deleted(evaluation, document, path)
        case "replace":
            value = _attribute(operation, "value")
            return _inserted(evaluation, _deleted(evaluation, document, path), path, value)
        case "move":
            source = _path(_attribute(operation, "from"))
            value = _at(document, source)
            return _inserted(evaluation, _deleted(evaluation, document, source), path, value)
        case "copy":
            return _inserted(evaluation, document, path, _at(document, _path(_attribute(operation, "from"))))
        case "test":
            if not equal(_at(document, path), _attribute(operation, "value")):
                raise BuiltinError("a test of the patch failed")
            return document
        case _:
            raise BuiltinError("an unknown operation")


def _attribute(operation: dict[Any, Value], name: str) -> Value:
    if name not in operation:
        raise BuiltinError(f"missing required attribute '{name}'")
    return operation[name]


def _at(document: Value, path: Path) -> Value:
    for step in path:
        document = lookup(document, _index(document, step) if type(document) is list else step)
        if document is UNDEFINED:
            raise BuiltinError("a path of the patch does not exist")
    return document


def _index(values: list[Value], step: Value, *, end: int = 0) -> int:
    """A position in an array: a number or its text, without leading zeros."""
    if type(step) is str and step.isascii() and step.isdigit() and (step == "0" or step[0] != "0"):
        position: int | None = int(step[:9])
    else:
        position = as_integer(step) if is_number(step) else None
    if position is None or not 0 <= position < len(values) + end:
        raise BuiltinError("an index of the patch is invalid")
    return position


def _inserted(evaluation: Evaluation, document: Value, path: Path, value: Value) -> Value:
    if not path:
        return value
    step, rest = path[0], path[1:]
    evaluation.spend(1 + (len(document) if type(document) in {dict, list, RegoSet} else 0))
    if type(document) is list:
        if rest:
            position = _index(document, step)
            changed = _inserted(evaluation, document[position], rest, value)
            return [*document[:position], changed, *document[position + 1 :]]
        position = len(document) if step == "-" else _index(document, step, end=1)
        return [*document[:position], value, *document[position:]]
    if type(document) is dict:
        key = object_key(step)
        if rest and key not in document:
            raise BuiltinError("a path of the patch does not exist")
        return {**document, key: _inserted(evaluation, document[key], rest, value) if rest else value}
    if type(document) is RegoSet:
        if rest:
            changed = _inserted(evaluation, _at(document, [step]), rest, value)
            return RegoSet([*_others(document, step), changed])
        if not equal(step, value):
            raise BuiltinError("a set's member must be added under itself")
        return RegoSet([*document, value])
    raise BuiltinError("a path of the patch does not exist")


def _deleted(evaluation: Evaluation, document: Value, path: Path) -> Value:
    if not path:
        return None
    step, rest = path[0], path[1:]
    inner = _at(document, [step])
    evaluation.spend(1 + len(document))
    if type(document) is list:
        position = _index(document, step)
        kept = [_deleted(evaluation, inner, rest)] if rest else []
        return [*document[:position], *kept, *document[position + 1 :]]
    if type(document) is dict:
        others = {key: value for key, value in document.items() if not equal(unboxed(key), step)}
        return {**others, object_key(step): _deleted(evaluation, inner, rest)} if rest else others
    kept = [_deleted(evaluation, inner, rest)] if rest else []
    return RegoSet([*_others(document, step), *kept])


def _others(values: RegoSet, member: Value) -> list[Value]:
    return [value for value in values if not equal(value, member)]
