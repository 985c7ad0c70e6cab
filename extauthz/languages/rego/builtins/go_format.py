"""Go's `fmt.Sprintf`, for the values that Rego hands to it: integers, floats and strings.

Composite values and booleans arrive as text, as in OPA. What Go answers to a verb that does not fit, `%!d(string=x)`,
is answered here too: it is what policies' messages have in them today.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal
from typing import NamedTuple

from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import number_text
from extauthz.languages.rego.value import RegoSet, Value, object_items

_MAX_WIDTH = 1_000_000
"""As Go: a width beyond is none."""

_DIRECTIVE = re.compile(
    r"%(?P<flags>[-+# 0]*)(?P<width>\*|[0-9]+)?(?:(?P<dot>\.)(?P<precision>\*|[0-9]+)?)?(?P<verb>.)?", re.DOTALL
)


def rego_text(value: Value) -> str:
    """A value as Rego writes it."""
    kind = type(value)
    if kind is str:
        return json.dumps(value, ensure_ascii=False)
    if kind is dict:
        return "{" + ", ".join(f"{rego_text(k)}: {rego_text(v)}" for k, v in object_items(value)) + "}"
    if kind is list:
        return "[" + ", ".join(map(rego_text, value)) + "]"
    if kind is RegoSet:
        return "{" + ", ".join(map(rego_text, value)) + "}" if len(value) else "set()"
    if value is None:
        return "null"
    return ("true" if value else "false") if kind is bool else number_text(value)


class _Directive(NamedTuple):
    flags: str
    width: int | None
    precision: int | None
    verb: str


def go_format(template: str, values: list[Value]) -> str:
    """The template with its directives replaced.

    Raises:
        BuiltinError: a width or precision beyond what makes sense.
    """
    arguments = [_argument(value) for value in values]
    used = 0
    pieces: list[str] = []
    position = 0
    for match in _DIRECTIVE.finditer(template):
        pieces.append(template[position : match.start()])
        position = match.end()
        verb = match["verb"]
        width, used, width_error = _size(match["width"], arguments, used, "WIDTH")
        precision, used, precision_error = _size(match["precision"], arguments, used, "PREC")
        pieces += [width_error, precision_error]
        if match["dot"] and precision is None:
            precision = 0
        if verb is None:
            pieces.append("%!(NOVERB)")
        elif verb == "%":
            pieces.append("%")
        elif used >= len(arguments):
            pieces.append(f"%!{verb}(MISSING)")
        else:
            pieces.append(_formatted(_Directive(match["flags"], width, precision, verb), arguments[used]))
            used += 1
    pieces.append(template[position:])
    if used < len(arguments):
        extra = ", ".join(f"{_type(a)}={_plain(a)}" for a in arguments[used:])
        pieces.append(f"%!(EXTRA {extra})")
    return "".join(pieces)


def _argument(value: Value) -> int | float | str:
    if type(value) is Decimal:
        approximate = float(value)
        return approximate if math.isfinite(approximate) else number_text(value).replace("E+", "e")
    return value if type(value) in {int, float, str} else rego_text(value)


def _size(given: str | None, arguments: list[int | float | str], used: int, name: str) -> tuple[int | None, int, str]:
    """A width or precision, `*` taking it from the arguments."""
    if given is None:
        return None, used, ""
    if given != "*":
        size = int(given[:8])
        if size > _MAX_WIDTH:
            raise BuiltinError("a width or precision is too large")
        return size, used, ""
    taken = arguments[used] if used < len(arguments) else ""
    if type(taken) is not int or abs(taken) > _MAX_WIDTH:
        return None, min(used + 1, len(arguments)), f"%!(BAD{name})"
    return taken, used + 1, ""


def _type(argument: float | str) -> str:
    if isinstance(argument, str):
        return "string"
    if isinstance(argument, float):
        return "float64"
    return "int" if -(1 << 63) <= argument < 1 << 63 else "*big.Int"


def _plain(argument: float | str) -> str:
    return _float(argument, "g", None) if isinstance(argument, float) else str(argument)


def _formatted(directive: _Directive, argument: float | str) -> str:
    body = _body(directive, argument)
    if body is None:
        return f"%!{directive.verb}({_type(argument)}={_plain(argument)})"
    return _padded(directive, body, numeric=not isinstance(argument, str))


def _padded(directive: _Directive, body: str, *, numeric: bool) -> str:
    width = directive.width or 0
    if width < 0 or "-" in directive.flags:
        return body.ljust(abs(width))
    if "0" in directive.flags and (numeric or directive.verb in "sqvxX"):
        sign = body[0] if numeric and body[:1] in {"+", "-", " "} else ""
        return sign + body[len(sign) :].rjust(width - len(sign), "0")
    return body.rjust(width)


def _body(directive: _Directive, argument: float | str) -> str | None:
    """The formatted argument before padding; None when the verb does not fit it."""
    if isinstance(argument, str):
        return _string(directive, argument)
    signs = "+" if "+" in directive.flags else " " if " " in directive.flags else ""
    if isinstance(argument, int):
        text = _integer(directive, argument)
    elif directive.verb in "eEfFgGv":
        text = _float(argument, directive.verb, directive.precision)
    else:
        return None
    return text if text is None or text.startswith("-") or directive.verb in "cqU" else signs + text


def _string(directive: _Directive, argument: str) -> str | None:
    precision = directive.precision
    if directive.verb in "sv":
        return argument if precision is None else argument[:precision]
    if directive.verb == "q":
        return json.dumps(argument if precision is None else argument[:precision], ensure_ascii=False)
    if directive.verb in "xX":
        data = argument.encode("utf-8", "surrogatepass")
        digits = data.hex(" ") if " " in directive.flags else data.hex()
        return digits.upper() if directive.verb == "X" else digits
    return None


_INTEGER_FORMATS = {"d": "d", "v": "d", "b": "b", "o": "o", "O": "o", "x": "x", "X": "X"}
_PREFIXES = {"b": "0b", "o": "0", "x": "0x", "X": "0X"}


def _integer(directive: _Directive, argument: int) -> str | None:
    verb = directive.verb
    if verb in "cqU":
        return _code_point(verb, argument)
    if verb == "s" and _type(argument) == "*big.Int":
        verb = "d"
    if verb not in _INTEGER_FORMATS:
        return None
    digits = format(abs(argument), _INTEGER_FORMATS[verb]).rjust(directive.precision or 0, "0")
    prefix = "0o" if verb == "O" else _PREFIXES.get(verb, "") if "#" in directive.flags else ""
    return ("-" if argument < 0 else "") + prefix + digits


def _code_point(verb: str, argument: int) -> str:
    if verb == "U":
        return f"U+{argument:04X}"
    letter = chr(argument) if 0 <= argument < 0x110000 and not 0xD800 <= argument < 0xE000 else "\ufffd"
    return letter if verb == "c" else f"'{letter}'"


def _float(value: float, verb: str, precision: int | None) -> str:
    """As Go's `strconv.FormatFloat`; without a precision the shortest text, exponents from 21 digits on."""
    if verb in "eEfF":
        return format(value, f".{6 if precision is None else precision}{verb}")
    if precision is not None:
        return format(value, f".{precision or 1}{'g' if verb == 'v' else verb}")
    decimal = Decimal(repr(value))
    exponent = decimal.adjusted() if decimal else 0
    if -4 <= exponent < 21:
        return format(decimal.normalize(), "f")
    digits = "".join(map(str, decimal.normalize().as_tuple().digits))
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    sign = "-" if value < 0 else ""
    letter = "E" if verb == "G" else "e"
    return f"{sign}{mantissa}{letter}{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
