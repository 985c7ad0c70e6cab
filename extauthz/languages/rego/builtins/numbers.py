"""Comparison, arithmetic and bits."""

from __future__ import annotations

import math
import operator
import secrets
from collections.abc import Callable
from fractions import Fraction

from extauthz.languages.rego.builtins.registry import Registry, integer, number, text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import Number, as_integer, calculate, float_quotient, is_number, number_text
from extauthz.languages.rego.value import RegoSet, Value, compare, equal, type_name

NUMBERS = Registry()

_MAX_BITS = 65_536
"""Of an integer: a shift by more would take the memory of the machine."""

MAX_RANGE = 1_000_000
"""Members that one range may have."""

# --- Comparison ----------------------------------------------------------------------------------------------------

NUMBERS.add("equal", 2, total=True)(equal)


@NUMBERS.add("neq", 2, total=True)
def not_equal(left: Value, right: Value) -> bool:
    return not equal(left, right)


@NUMBERS.add("lt", 2, total=True)
def less(left: Value, right: Value) -> bool:
    return compare(left, right) < 0


@NUMBERS.add("lte", 2, total=True)
def less_or_equal(left: Value, right: Value) -> bool:
    return compare(left, right) <= 0


@NUMBERS.add("gt", 2, total=True)
def greater(left: Value, right: Value) -> bool:
    return compare(left, right) > 0


@NUMBERS.add("gte", 2, total=True)
def greater_or_equal(left: Value, right: Value) -> bool:
    return compare(left, right) >= 0


# --- Arithmetic ----------------------------------------------------------------------------------------------------


def _bounded(result: int) -> int:
    if result.bit_length() > _MAX_BITS:
        raise BuiltinError("the result is too large")
    return result


def _arithmetic(
    left: Value,
    right: Value,
    whole: Callable[[int, int], int],
    exact: Callable[[Fraction, Fraction], Fraction],
) -> Number:
    x, y = number(left, 1), number(right, 2)
    a, b = as_integer(x), as_integer(y)
    if a is not None and b is not None:
        return _bounded(whole(a, b))
    return calculate(exact, x, y)


@NUMBERS.add("plus", 2)
def plus(left: Value, right: Value) -> Number:
    return _arithmetic(left, right, operator.add, operator.add)


@NUMBERS.add("minus", 2)
def minus(left: Value, right: Value) -> Value:
    """The difference of numbers, or of sets."""
    if type(left) is RegoSet and type(right) is RegoSet:
        return RegoSet(value for key, value in left.members.items() if key not in right.members)
    for position, operand, other in ((1, left, right), (2, right, left)):
        if not is_number(operand) and (type(operand) is not RegoSet or is_number(other)):
            raise BuiltinError(f"operand {position} must be one of {{number, set}} but got {type_name(operand)}")
    return _arithmetic(left, right, operator.sub, operator.sub)


@NUMBERS.add("mul", 2)
def multiply(left: Value, right: Value) -> Number:
    return _arithmetic(left, right, operator.mul, operator.mul)


@NUMBERS.add("div", 2)
def divide(left: Value, right: Value) -> Number:
    """Whole when the divisor divides two small integers, a float otherwise."""
    x, y = number(left, 1), number(right, 2)
    if y == 0:
        raise BuiltinError("divide by zero")
    return float_quotient(x, y)


@NUMBERS.add("rem", 2)
def remainder(left: Value, right: Value) -> int:
    """With the sign of the dividend, as in Go."""
    x, y = as_integer(number(left, 1)), as_integer(number(right, 2))
    if x is None or y is None:
        raise BuiltinError("modulo on floating-point number")
    if y == 0:
        raise BuiltinError("modulo by zero")
    return abs(x) % abs(y) * (-1 if x < 0 else 1)


@NUMBERS.add("abs", 1)
def absolute(value: Value) -> Number:
    given = number(value, 1)
    return given if given >= 0 else -given


@NUMBERS.add("round", 1)
def rounded(value: Value) -> int:
    """To the nearest integer, halves away from zero."""
    whole = as_integer(number(value, 1))
    half = Fraction(1 if value >= 0 else -1, 2)
    return whole if whole is not None else math.trunc(Fraction(number_text(value)) + half)


@NUMBERS.add("ceil", 1)
def ceiling(value: Value) -> int:
    return math.ceil(number(value, 1))


@NUMBERS.add("floor", 1)
def floor(value: Value) -> int:
    return math.floor(number(value, 1))


# --- Bits ----------------------------------------------------------------------------------------------------------


def _bits(name: str, function: Callable[[int, int], int]) -> None:
    @NUMBERS.add(f"bits.{name}", 2)
    def builtin(left: Value, right: Value) -> int:
        return function(integer(left, 1), integer(right, 2))


_bits("and", operator.and_)
_bits("or", operator.or_)
_bits("xor", operator.xor)


@NUMBERS.add("bits.negate", 1)
def bits_negate(value: Value) -> int:
    return ~integer(value, 1)


def _shift(value: Value, by: Value) -> tuple[int, int]:
    whole, distance = integer(value, 1), integer(by, 2)
    if distance < 0:
        raise BuiltinError("operand 2 must be an unsigned integer number but got a negative integer")
    return whole, distance


@NUMBERS.add("bits.lsh", 2)
def bits_shift_left(value: Value, by: Value) -> int:
    whole, distance = _shift(value, by)
    if distance > _MAX_BITS:
        raise BuiltinError("the result is too large")
    return _bounded(whole << distance)


@NUMBERS.add("bits.rsh", 2)
def bits_shift_right(value: Value, by: Value) -> int:
    whole, distance = _shift(value, by)
    return whole >> min(distance, _MAX_BITS)


# --- Ranges and chance ---------------------------------------------------------------------------------------------


def _range(evaluation: Evaluation, first: int, last: int, step: int) -> list[int]:
    numbers = range(first, last + 1, step) if first <= last else range(first, last - 1, -step)
    count = abs(last - first) // step + 1
    if count > MAX_RANGE:
        raise BuiltinError(f"a range of more than {MAX_RANGE} numbers")
    evaluation.spend(count)
    return list(numbers)


@NUMBERS.add("numbers.range", 2, stateful=True)
def numbers_range(evaluation: Evaluation, first: Value, last: Value) -> list[int]:
    """All integers from the one to the other, which may be the smaller."""
    return _range(evaluation, integer(first, 1), integer(last, 2), 1)


@NUMBERS.add("numbers.range_step", 3, stateful=True)
def numbers_range_step(evaluation: Evaluation, first: Value, last: Value, step: Value) -> list[int]:
    distance = integer(step, 3)
    if distance <= 0:
        raise BuiltinError("step must be a positive integer")
    return _range(evaluation, integer(first, 1), integer(last, 2), distance)


@NUMBERS.add("rand.intn", 2, stateful=True)
def rand_intn(evaluation: Evaluation, seed: Value, limit: Value) -> int:
    """A random number below the limit: the same one for a seed and a limit throughout an evaluation."""
    key = ("rand.intn", text(seed, 1), abs(integer(limit, 2)))
    if key not in evaluation.cache:
        evaluation.cache[key] = secrets.randbelow(key[2]) if key[2] else 0
    return int(evaluation.cache[key])
