"""Arrays, sets and objects, and what is computed over them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from extauthz.languages.rego.builtins.numbers import multiply, plus
from extauthz.languages.rego.builtins.registry import Registry, array, integer, members, object_, set_
from extauthz.languages.rego.evaluation import Evaluation, lookup
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import is_number
from extauthz.languages.rego.value import (
    UNDEFINED,
    RegoSet,
    Value,
    compare,
    equal,
    object_key,
    sort,
    type_name,
    unboxed,
)

COLLECTIONS = Registry()


# --- Aggregates ----------------------------------------------------------------------------------------------------


@COLLECTIONS.add("count", 1)
def count(collection: Value) -> int:
    """Members, or code points of a string."""
    if type(collection) not in {list, dict, RegoSet, str}:
        raise BuiltinError(f"operand 1 must be one of {{array, object, set, string}} but got {type_name(collection)}")
    return len(collection)


def _numbers(collection: Value) -> list[Value]:
    found = members(collection, 1)
    for value in found:
        if not is_number(value):
            kind = type_name(collection)
            raise BuiltinError(f"operand 1 must be {kind} of numbers but got {kind} containing {type_name(value)}")
    return found


@COLLECTIONS.add("sum", 1)
def sum_(collection: Value) -> Value:
    total: Value = 0
    for value in _numbers(collection):
        total = plus(total, value)
    return total


@COLLECTIONS.add("product", 1)
def product(collection: Value) -> Value:
    total: Value = 1
    for value in _numbers(collection):
        total = multiply(total, value)
    return total


@COLLECTIONS.add("max", 1)
def maximum(collection: Value) -> Value:
    found = members(collection, 1)
    largest = found[0] if found else UNDEFINED
    for value in found[1:]:
        largest = value if compare(value, largest) >= 0 else largest
    return largest


@COLLECTIONS.add("min", 1)
def minimum(collection: Value) -> Value:
    found = members(collection, 1)
    smallest = found[0] if found else UNDEFINED
    for value in found[1:]:
        smallest = value if compare(value, smallest) <= 0 else smallest
    return smallest


@COLLECTIONS.add("sort", 1)
def sorted_(collection: Value) -> list[Value]:
    return sort(members(collection, 1))


@COLLECTIONS.add("all", 1)
def all_(collection: Value) -> bool:
    return all(value is True for value in members(collection, 1))


@COLLECTIONS.add("any", 1)
def any_(collection: Value) -> bool:
    return any(value is True for value in members(collection, 1))


@COLLECTIONS.add("internal.member_2", 2, total=True)
def member(value: Value, collection: Value) -> bool:
    """`value in collection`."""
    if type(collection) is RegoSet:
        return value in collection
    if type(collection) is dict:
        collection = collection.values()
    elif type(collection) is not list:
        return False
    return any(equal(value, other) for other in collection)


@COLLECTIONS.add("internal.member_3", 3, total=True)
def member_with_key(key: Value, value: Value, collection: Value) -> bool:
    """`key, value in collection`."""
    found = lookup(collection, key)
    return found is not UNDEFINED and equal(found, value)


# --- Arrays --------------------------------------------------------------------------------------------------------


@COLLECTIONS.add("array.concat", 2, stateful=True)
def array_concat(evaluation: Evaluation, left: Value, right: Value) -> list[Value]:
    one, other = array(left, 1), array(right, 2)
    evaluation.spend(len(one) + len(other))
    return one + other


@COLLECTIONS.add("array.flatten", 1)
def array_flatten(values: Value) -> list[Value]:
    """Arrays within the array are replaced by their members; not what is within those."""
    return [inner for value in array(values, 1) for inner in (value if type(value) is list else [value])]


@COLLECTIONS.add("array.slice", 3)
def array_slice(values: Value, start: Value, stop: Value) -> list[Value]:
    whole, first, last = array(values, 1), integer(start, 2), integer(stop, 3)
    return whole[max(first, 0) : max(last, 0)]


@COLLECTIONS.add("array.reverse", 1)
def array_reverse(values: Value) -> list[Value]:
    return array(values, 1)[::-1]


# --- Sets ----------------------------------------------------------------------------------------------------------


@COLLECTIONS.add("and", 2)
def set_and(left: Value, right: Value) -> RegoSet:
    return _intersection([set_(left, 1), set_(right, 2)])


@COLLECTIONS.add("or", 2, stateful=True)
def set_or(evaluation: Evaluation, left: Value, right: Value) -> RegoSet:
    return _union(evaluation, [set_(left, 1), set_(right, 2)])


@COLLECTIONS.add("set_diff", 2)
def set_difference(left: Value, right: Value) -> RegoSet:
    one, other = set_(left, 1), set_(right, 2)
    return RegoSet(value for key, value in one.members.items() if key not in other.members)


@COLLECTIONS.add("intersection", 1)
def intersection(sets: Value) -> RegoSet:
    return _intersection([_set_in(value) for value in set_(sets, 1)])


@COLLECTIONS.add("union", 1, stateful=True)
def union(evaluation: Evaluation, sets: Value) -> RegoSet:
    return _union(evaluation, [_set_in(value) for value in set_(sets, 1)])


def _set_in(value: Value) -> RegoSet:
    if type(value) is not RegoSet:
        raise BuiltinError(f"operand 1 must be set of sets but got set containing {type_name(value)}")
    return value


def _intersection(sets: list[RegoSet]) -> RegoSet:
    if not sets:
        return RegoSet()
    first, *others = sets
    return RegoSet(v for key, v in first.members.items() if all(key in other.members for other in others))


def _union(evaluation: Evaluation, sets: list[RegoSet]) -> RegoSet:
    evaluation.spend(sum(map(len, sets)))
    result = RegoSet()
    for one in sets:
        result.members.update(one.members)
    return result


# --- Objects -------------------------------------------------------------------------------------------------------


@COLLECTIONS.add("object.get", 3)
def object_get(source: Value, key: Value, default: Value) -> Value:
    """The member under a key, or, when that is an array, under a path of keys."""
    found: Value = object_(source, 1)
    for step in key if type(key) is list else [key]:
        found = lookup(found, step)
    return default if found is UNDEFINED else found


@COLLECTIONS.add("object.keys", 1)
def object_keys(source: Value) -> RegoSet:
    return RegoSet(map(unboxed, object_(source, 1)))


def _keys(value: Value) -> set[Any]:
    if type(value) is dict:
        return set(value)
    if type(value) in {list, RegoSet}:
        return set(map(object_key, value))
    raise BuiltinError(f"operand 2 must be one of {{object, set, array}} but got {type_name(value)}")


@COLLECTIONS.add("object.remove", 2)
def object_remove(source: Value, keys: Value) -> dict[Any, Value]:
    whole, removed = object_(source, 1), _keys(keys)
    return {key: value for key, value in whole.items() if key not in removed}


@COLLECTIONS.add("object.filter", 2)
def object_filter(source: Value, keys: Value) -> dict[Any, Value]:
    whole, kept = object_(source, 1), _keys(keys)
    return {key: value for key, value in whole.items() if key in kept}


@COLLECTIONS.add("object.union", 2, stateful=True)
def object_union(evaluation: Evaluation, left: Value, right: Value) -> dict[Any, Value]:
    """Recursively; where both are not objects, the right one's member."""
    return _merged(evaluation, object_(left, 1), object_(right, 2))


@COLLECTIONS.add("object.union_n", 1, stateful=True)
def object_union_n(evaluation: Evaluation, objects: Value) -> dict[Any, Value]:
    result: dict[Any, Value] = {}
    for value in array(objects, 1):
        if type(value) is not dict:
            raise BuiltinError(f"operand 1 must be array of objects but got array containing {type_name(value)}")
        result = _merged(evaluation, result, value)
    return result


def _merged(evaluation: Evaluation, left: dict[Any, Value], right: dict[Any, Value]) -> dict[Any, Value]:
    evaluation.spend(len(left) + len(right))
    merged = left | right
    for key in left.keys() & right.keys():
        if type(left[key]) is dict and type(right[key]) is dict:
            merged[key] = _merged(evaluation, left[key], right[key])
    return merged


@COLLECTIONS.add("object.subset", 2)
def object_subset(whole: Value, part: Value) -> bool:
    """Whether objects (recursively), sets, or arrays contain another; an array may also contain a set."""
    if type(whole) is dict and type(part) is dict:
        return _object_contains(whole, part)
    if type(whole) is RegoSet and type(part) is RegoSet:
        return part.members.keys() <= whole.members.keys()
    if type(whole) is list and type(part) is RegoSet:
        return part.members.keys() <= RegoSet(whole).members.keys()
    if type(whole) is list and type(part) is list:
        width = len(part)
        return any(equal(whole[i : i + width], part) for i in range(len(whole) - width + 1))
    raise BuiltinError("both arguments must be of the same type, or array and set")


def _object_contains(whole: dict[Any, Value], part: dict[Any, Value]) -> bool:
    return all(_member_contains(whole.get(key, UNDEFINED), value) for key, value in part.items())


def _member_contains(whole: Value, part: Value) -> bool:
    if type(whole) is type(part) and type(part) in {dict, list, RegoSet}:
        return object_subset(whole, part)
    return whole is not UNDEFINED and equal(whole, part)


# --- Graphs --------------------------------------------------------------------------------------------------------


def _neighbours(graph: dict[Any, Value], node: Value) -> Iterable[Value]:
    edges = graph.get(object_key(node))
    return edges if isinstance(edges, (list, RegoSet)) else ()


@COLLECTIONS.add("graph.reachable", 2, stateful=True)
def graph_reachable(evaluation: Evaluation, graph: Value, initial: Value) -> RegoSet:
    """Every node of the graph that can be reached."""
    edges, reached = object_(graph, 1), RegoSet()
    waiting = list(members(initial, 2))
    while waiting:
        evaluation.spend(1)
        node = waiting.pop()
        if node not in reached and object_key(node) in edges:
            reached.add(node)
            waiting += _neighbours(edges, node)
    return reached


@COLLECTIONS.add("graph.reachable_paths", 2, stateful=True)
def graph_reachable_paths(evaluation: Evaluation, graph: Value, initial: Value) -> RegoSet:
    """Every longest path, ended where it would come back to itself or leave the graph."""
    edges, paths = object_(graph, 1), RegoSet()
    waiting: list[list[Value]] = [[node] for node in members(initial, 2)]
    while waiting:
        path = waiting.pop()
        evaluation.spend(len(path))
        node = path[-1]
        if object_key(node) not in edges:
            if path[:-1]:
                paths.add(path[:-1])
            continue
        following = [n for n in _neighbours(edges, node) if not any(equal(n, seen) for seen in path)]
        waiting += [[*path, n] for n in following]
        if len(following) < len(list(_neighbours(edges, node))) or not following:
            paths.add(path)
    return paths


@COLLECTIONS.add("walk", 1, stateful=True)
def walk(evaluation: Evaluation, document: Value) -> list[Value]:
    """Every value within a value, itself first, each with its path."""
    found: list[Value] = []
    waiting: list[tuple[list[Value], Value]] = [([], document)]
    while waiting:
        path, value = waiting.pop()
        evaluation.spend(1 + len(path))
        found.append([path, value])
        if type(value) in {dict, list, RegoSet}:
            waiting += reversed([([*path, key], inner) for key, inner in evaluation.scan_ordered(value)])
    return found
