"""Types of values, and casts between them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from extauthz.languages.rego.builtins.registry import Registry, members
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import Number, is_number, parse_number
from extauthz.languages.rego.value import RegoSet, Value, type_name

TYPES = Registry()

TYPES.add("type_name", 1, total=True)(type_name)

_NAMES = ("null", "boolean", "number", "string", "array", "object", "set")


def _declare_test(name: str) -> None:
    @TYPES.add(f"is_{name}", 1, total=True)
    def test(value: Value) -> bool:
        return type_name(value) == name


def _declare_cast(name: str) -> None:
    @TYPES.add(f"cast_{name}", 1)
    def cast(value: Value) -> Value:
        if type_name(value) != name:
            raise BuiltinError(f"operand 1 must be {name} but got {type_name(value)}")
        return value


_each: Callable[[str], Any]
for _each in (_declare_test, _declare_cast):
    for _name in _NAMES:
        _each(_name)


@TYPES.add("cast_array", 1)
def cast_array(value: Value) -> list[Value]:
    return list(members(value, 1))


@TYPES.add("cast_set", 1)
def cast_set(value: Value) -> RegoSet:
    return RegoSet(members(value, 1))


@TYPES.add("to_number", 1)
def to_number(value: Value) -> Number:
    """Null and false are 0, true is 1; a string must be a JSON number."""
    if value is None or type(value) is bool:
        return int(bool(value))
    if is_number(value):
        return value  # type: ignore[no-any-return]
    if type(value) is str:
        try:
            return parse_number(value)
        except ValueError as error:
            raise BuiltinError(str(error)) from error
    raise BuiltinError(f"operand 1 must be one of {{null, boolean, number, string}} but got {type_name(value)}")
