"""Rego values in Python, and what every value can do: be equal, be ordered, be a key, become JSON.

null, booleans and strings are None, bool and str; numbers are as in `number`; arrays are lists, objects are dicts, sets
are `RegoSet`. Input documents are used as they are: dicts with string keys, lists, and the scalars, of exactly these
types. A key of an object that is not a string is wrapped in a `BoxedKey`, since Python takes `True`, `1` and `1.0` for
one key and lists for none.

INVARIANT: a value is never changed once it can be seen from more than one place.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Hashable, Iterable, Iterator
from decimal import Decimal
from typing import Any, Final, TypeAlias

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import number_text, parse_number

Value: TypeAlias = Any
"""A Rego value as described above."""


class Undefined:
    """The absence of a value: what a reference to nothing yields. There is one instance, `UNDEFINED`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "UNDEFINED"


UNDEFINED: Final = Undefined()


class BoxedKey:
    """An object's key that is not a string."""

    __slots__ = ("key", "value")

    def __init__(self, value: Value) -> None:
        self.value = value
        self.key = ("boxed", key_of(value))

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoxedKey) and self.key == other.key

    def __repr__(self) -> str:
        return f"BoxedKey({self.value!r})"


class RegoSet:
    """A set: members by their key, iterated in Rego's order."""

    __slots__ = ("_ordered", "members")

    def __init__(self, values: Iterable[Value] = ()) -> None:
        self.members: dict[Hashable, Value] = {key_of(value): value for value in values}
        self._ordered: list[Value] | None = None

    def add(self, value: Value) -> None:
        """Add a member; an equal one that is there stays."""
        self.members.setdefault(value if type(value) is str else key_of(value), value)
        self._ordered = None

    @property
    def ordered(self) -> list[Value]:
        """The members in order; not to be changed."""
        if self._ordered is None:
            self._ordered = sort(self.members.values())
        return self._ordered

    def __iter__(self) -> Iterator[Value]:
        return iter(self.ordered)

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, value: Value) -> bool:
        return (value if type(value) is str else key_of(value)) in self.members

    def __repr__(self) -> str:
        return f"RegoSet({self.ordered!r})"


def key_of(value: Value) -> Hashable:
    """What is equal for equal values and different for others, and can be hashed."""
    kind = type(value)
    if kind is str or kind is int or kind is float or kind is Decimal:
        hashable: Hashable = value
        return hashable
    if kind is list:
        return ("array", tuple(map(key_of, value)))
    if kind is dict:
        return ("object", frozenset((key, key_of(member)) for key, member in value.items()))
    if kind is RegoSet:
        return ("set", frozenset(value.members))
    return ("scalar", repr(value))


def object_key(value: Value) -> str | BoxedKey:
    """The key under which an object holds `value`."""
    return value if type(value) is str else BoxedKey(value)


def unboxed(key: str | BoxedKey) -> Value:
    """The value that a key of an object stands for."""
    return key.value if type(key) is BoxedKey else key


def equal(left: Value, right: Value) -> bool:
    """Whether two values are the same; numbers are by what they count, not by how they are written."""
    kind = type(left)
    if kind is bool or right is None or type(right) is bool:
        return left is right
    if kind is list:
        return type(right) is list and len(left) == len(right) and all(map(equal, left, right))
    if kind is dict:
        return type(right) is dict and len(left) == len(right) and _same_members(left, right)
    if kind is RegoSet:
        return type(right) is RegoSet and left.members.keys() == right.members.keys()
    return bool(left == right)


def _same_members(left: dict[Any, Value], right: dict[Any, Value]) -> bool:
    return all(equal(value, right.get(key, UNDEFINED)) for key, value in left.items())


_RANKS = {type(None): 0, bool: 1, int: 2, float: 2, Decimal: 2, str: 3, list: 4, dict: 5, RegoSet: 6}


def compare(left: Value, right: Value) -> int:
    """Negative, zero or positive: null < booleans < numbers < strings < arrays < objects < sets."""
    rank = _RANKS[type(left)]
    difference = rank - _RANKS[type(right)]
    if difference or rank == 0:
        return difference
    if rank <= 3:
        return int(left > right) - int(left < right)
    if rank == 5:
        return _compare_objects(left, right)
    return _compare_all(list(left), list(right))


def _compare_all(left: list[Value], right: list[Value]) -> int:
    for one, other in zip(left, right, strict=False):
        if order := compare(one, other):
            return order
    return len(left) - len(right)


def _compare_objects(left: dict[Any, Value], right: dict[Any, Value]) -> int:
    """By keys and values, one pair after the other in the order of keys."""
    for (key, value), (other_key, other) in zip(object_items(left), object_items(right), strict=False):
        if order := compare(key, other_key) or compare(value, other):
            return order
    return len(left) - len(right)


_order = functools.cmp_to_key(compare)


def sort(values: Iterable[Value]) -> list[Value]:
    """The values in Rego's order."""
    found = list(values)
    if all(type(value) is str for value in found):
        found.sort()
    else:
        found.sort(key=_order)
    return found


def object_items(value: dict[Any, Value]) -> list[tuple[Value, Value]]:
    """An object's keys and values in the order of its keys."""
    return [(key, value[object_key(key)]) for key in sort(map(unboxed, value))]


_TYPE_NAMES = {
    type(None): "null",
    bool: "boolean",
    int: "number",
    float: "number",
    Decimal: "number",
    str: "string",
    list: "array",
    dict: "object",
    RegoSet: "set",
}


def type_name(value: Value) -> str:
    """The name of a value's type, as Rego has it."""
    return _TYPE_NAMES[type(value)]


# --- JSON ----------------------------------------------------------------------------------------------------------


def to_json(value: Value) -> Value:
    """The value with only JSON's types: sets become arrays in their order, keys that are not strings their JSON."""
    kind = type(value)
    if kind is dict:
        return {_json_key(key): to_json(member) for key, member in object_items(value)}
    if kind is list or kind is RegoSet:
        return [to_json(member) for member in value]
    return value


def json_text(value: Value) -> str:
    """The value as compact JSON, object keys in order, as Go writes it: `<`, `>` and `&` are escaped."""
    kind = type(value)
    if kind is dict:
        return "{" + ",".join(f"{_quoted(k)}:{json_text(v)}" for k, v in to_json(value).items()) + "}"
    if kind is list or kind is RegoSet:
        return "[" + ",".join(map(json_text, value)) + "]"
    if kind is str:
        return _quoted(value)
    if value is None or kind is bool:
        return json.dumps(value)
    return number_text(value)


def _json_key(key: Value) -> str:
    return key if type(key) is str else json_text(key)


_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_NO_UNICODE = {chr(code): "\\ufffd" for code in range(0xD800, 0xE000)}
"""A byte that is no UTF-8 stands as half of a pair in a string; as JSON it is Go's replacement character."""
_ESCAPED = str.maketrans({**_ESCAPES, **_NO_UNICODE})


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).translate(_ESCAPED)


def parse_json(text: str) -> Value:
    """A JSON text as a value: the last of equal keys counts, as everywhere in Go.

    Raises:
        BuiltinError: not JSON.
    """
    try:
        value = json.loads(
            text,
            parse_int=parse_number,
            parse_float=parse_number,
            parse_constant=_refuse_constant,
        )
        return _without_surrogates(value) if _SURROGATE_ESCAPE.search(text) else value
    except RecursionError:
        raise BuiltinError("the JSON text is nested too deeply") from None
    except ValueError:
        raise BuiltinError("not a JSON text") from None


_SURROGATE_ESCAPE = re.compile(r"\\u[dD][89a-fA-F]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def _without_surrogates(value: Value) -> Value:
    """Half of a pair stands for nothing: Go reads it as the replacement character."""
    if type(value) is str:
        return _SURROGATE.sub("\ufffd", value)
    if type(value) is list:
        return [_without_surrogates(member) for member in value]
    if type(value) is dict:
        return {_without_surrogates(key): _without_surrogates(member) for key, member in value.items()}
    return value


def _refuse_constant(_: str) -> Value:
    raise ValueError("not a JSON number")


# --- Bytes ---------------------------------------------------------------------------------------------------------


def text_bytes(text: str) -> bytes:
    """The bytes of a string; those that are no UTF-8 are lone surrogates in it, as everywhere in Python.

    Raises:
        BuiltinError: it holds other lone surrogates, which no bytes stand for.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BuiltinError("a string that is no Unicode text") from None


def bytes_text(data: bytes) -> str:
    """The string of some bytes."""
    return data.decode("utf-8", "surrogateescape")
