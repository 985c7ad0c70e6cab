"""How built-ins are declared: by OPA's name, with the number of operands it takes.

A built-in gets values and yields a value. It raises `BuiltinError` when the operands are not what it takes, as OPA
does; it never changes an operand, and never reads the clock, the environment or the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import Number, as_integer, is_number
from extauthz.languages.rego.value import RegoSet, Value, type_name

Function = TypeVar("Function", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Builtin:
    """A built-in function."""

    name: str
    arity: int
    function: Callable[..., Value]
    stateful: bool
    """Whether it takes the evaluation before its operands: for the budget, the time, random numbers."""
    total: bool
    """Whether it never raises `BuiltinError`."""

    @property
    def identifier(self) -> str:
        """Its name in generated code."""
        return "b_" + self.name.replace(".", "_")


class Registry:
    """The built-ins of one family."""

    def __init__(self) -> None:
        self.builtins: dict[str, Builtin] = {}

    def add(
        self, name: str, arity: int, *, stateful: bool = False, total: bool = False
    ) -> Callable[[Function], Function]:
        """Declare the function below as a built-in."""

        def declare(function: Function) -> Function:
            self.builtins[name] = Builtin(name, arity, function, stateful, total)
            return function

        return declare


# --- Operands ------------------------------------------------------------------------------------------------------


def _wrong_type(position: int, value: Value, *expected: str) -> BuiltinError:
    wanted = expected[0] if len(expected) == 1 else "one of {" + ", ".join(expected) + "}"
    return BuiltinError(f"operand {position} must be {wanted} but got {type_name(value)}")


def text(value: Value, position: int) -> str:
    """An operand that must be a string."""
    if type(value) is not str:
        raise _wrong_type(position, value, "string")
    return value


def number(value: Value, position: int) -> Number:
    """An operand that must be a number."""
    if not is_number(value):
        raise _wrong_type(position, value, "number")
    return value  # type: ignore[no-any-return]


def integer(value: Value, position: int) -> int:
    """An operand that must be a whole number."""
    whole = as_integer(number(value, position))
    if whole is None:
        raise BuiltinError(f"operand {position} must be integer number but got floating-point number")
    return whole


def boolean(value: Value, position: int) -> bool:
    """An operand that must be true or false."""
    if type(value) is not bool:
        raise _wrong_type(position, value, "boolean")
    return value


def array(value: Value, position: int) -> list[Value]:
    """An operand that must be an array."""
    if type(value) is not list:
        raise _wrong_type(position, value, "array")
    return value


def object_(value: Value, position: int) -> dict[Any, Value]:
    """An operand that must be an object."""
    if type(value) is not dict:
        raise _wrong_type(position, value, "object")
    return value


def set_(value: Value, position: int) -> RegoSet:
    """An operand that must be a set."""
    if type(value) is not RegoSet:
        raise _wrong_type(position, value, "set")
    return value


def members(value: Value, position: int) -> list[Value]:
    """An operand that must be an array or a set: its members in order."""
    if type(value) is list:
        return value
    if type(value) is RegoSet:
        return value.ordered
    raise _wrong_type(position, value, "set", "array")


def texts(value: Value, position: int) -> list[str]:
    """An operand that must be an array or a set of strings."""
    found = members(value, position)
    for member in found:
        if type(member) is not str:
            kind = type_name(value)
            raise BuiltinError(
                f"operand {position} must be {kind} of strings but got {kind} containing {type_name(member)}"
            )
    return found
