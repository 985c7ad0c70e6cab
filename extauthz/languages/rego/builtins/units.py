"""Amounts with units, semantic versions, UUIDs, and what is known of the runtime."""

from __future__ import annotations

import re
import secrets
import uuid
from decimal import Decimal
from fractions import Fraction

from extauthz.languages.rego.builtins.registry import Registry, text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import Number, as_integer, parse_number
from extauthz.languages.rego.value import UNDEFINED, Value, json_text, key_of

UNITS = Registry()

# --- Amounts -------------------------------------------------------------------------------------------------------

_DECIMAL_UNITS = {letter: 1000**power for power, letter in enumerate("kmgtpe", start=1)}
_BINARY_UNITS = {f"{letter}i": 1024**power for power, letter in enumerate("kmgtpe", start=1)}
_BYTE_UNITS: dict[str, int] = {
    "": 1,
    **{name + suffix: factor for name, factor in _DECIMAL_UNITS.items() for suffix in ("", "b")},
    **{name + suffix: factor for name, factor in _BINARY_UNITS.items() for suffix in ("", "b")},
}
_AMOUNT = re.compile(
    r"(?P<number>(?:[0-9.+-]|[eE][+-]?(?=[0-9]))*)(?P<unit>.*)",
    re.DOTALL | re.ASCII,
)
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,6})?", re.ASCII)
_MAX_EXPONENT = 4_000
_MOST_PRINTED = 100
"""Lines of one evaluation."""


def _amount(written: str) -> tuple[Fraction, str]:
    """A number and its unit."""
    if " " in written:
        raise BuiltinError("spaces not allowed in resource strings")
    match = _AMOUNT.fullmatch(written)
    number, unit = (match["number"], match["unit"]) if match else ("", "")
    if not number:
        raise BuiltinError("no amount provided")
    if not _NUMBER.fullmatch(number):
        raise BuiltinError("could not parse amount to a number")
    decimal = Decimal(number)
    if decimal and abs(decimal.adjusted()) > _MAX_EXPONENT:
        raise BuiltinError("exponent too large")
    return Fraction(decimal), unit


@UNITS.add("units.parse", 1)
def units_parse(value: Value) -> Number:
    """With ten decimal places when it is not whole; `m` is milli, `M` is mega."""
    amount, unit = _amount(text(value, 1).replace('"', ""))
    unit = unit[:1] + unit[1:].lower()
    if unit == "m":
        # What Go multiplies with: the double nearest to a thousandth.
        result = amount * Fraction(0.001)
    else:
        lowered = unit[:1].lower() + unit[1:]
        factors = {"": 1, **_DECIMAL_UNITS, **_BINARY_UNITS}
        if lowered not in factors:
            raise BuiltinError("unit not recognized")
        result = amount * factors[lowered]
    if result.denominator == 1:
        return result.numerator
    number = parse_number(f"{_decimal_places(result, 10)}")
    whole = as_integer(number)
    return number if whole is None else whole


def _decimal_places(value: Fraction, places: int) -> str:
    """Rounded half away from zero, as Go's `Rat.FloatString`."""
    scaled = abs(value) * 10**places
    digits = str(int(scaled + Fraction(1, 2))).rjust(places + 1, "0")
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


@UNITS.add("units.parse_bytes", 1)
def units_parse_bytes(value: Value) -> int:
    """The whole bytes; `kb` is 1000, `kib` is 1024."""
    amount, unit = _amount(text(value, 1).lower().replace('"', ""))
    if unit not in _BYTE_UNITS:
        raise BuiltinError("byte unit not recognized")
    return int(amount * _BYTE_UNITS[unit])


# --- Semantic versions ---------------------------------------------------------------------------------------------

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_SEMVER = re.compile(
    rf"v?(?P<core>(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*)){{2}})(?:-(?P<pre>{_IDENTIFIERS}))?(?:\+{_IDENTIFIERS})?",
    re.ASCII,
)


def _version(value: str, position: int) -> tuple[object, ...]:
    """What orders as the version does (semver.org, section 11)."""
    match = _SEMVER.fullmatch(value)
    if match is None or len(value) > 256:
        raise BuiltinError(f"operand {position}: not a valid SemVer")
    core = tuple(map(int, match["core"].split(".")))
    if match["pre"] is None:
        return (core, 1)
    parts = tuple((0, int(p), "") if p.isdigit() else (1, 0, p) for p in match["pre"].split("."))
    return (core, 0, parts)


@UNITS.add("semver.compare", 2)
def semver_compare(left: Value, right: Value) -> int:
    one, other = _version(text(left, 1), 1), _version(text(right, 2), 2)
    return (one > other) - (one < other)


@UNITS.add("semver.is_valid", 1, total=True)
def semver_is_valid(value: Value) -> bool:
    return type(value) is str and len(value) <= 256 and _SEMVER.fullmatch(value) is not None


# --- UUIDs ---------------------------------------------------------------------------------------------------------


@UNITS.add("uuid.rfc4122", 1, stateful=True)
def uuid_rfc4122(evaluation: Evaluation, seed: Value) -> str:
    """A random UUID (version 4): the same one for a seed throughout an evaluation."""
    key = ("uuid.rfc4122", key_of(seed))
    if key not in evaluation.cache:
        evaluation.cache[key] = str(uuid.UUID(bytes=secrets.token_bytes(16), version=4))
    return str(evaluation.cache[key])


_UUID = re.compile(
    r"(?:urn:uuid:)?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})|\{([0-9a-f-]{36})\}|([0-9a-f]{32})", re.IGNORECASE
)
_UNIX_EPOCH = 122_192_928_000_000_000
"""In 100 ns since the Gregorian calendar, where UUIDs begin to count."""


@UNITS.add("uuid.parse", 1)
def uuid_parse(value: Value) -> Value:
    """What a UUID says of itself; undefined when it is none."""
    if not _UUID.fullmatch(text(value, 1)):
        return UNDEFINED
    try:
        parsed = uuid.UUID(text(value, 1))
    except ValueError:
        return UNDEFINED
    version = parsed.int >> 76 & 0xF
    found: dict[str, Value] = {"version": version, "variant": _variant(parsed.bytes[8])}
    if version in {1, 2}:
        node = parsed.bytes[10:]
        found |= {
            "time": (parsed.time - _UNIX_EPOCH) * 100,
            "nodeid": node.hex("-"),
            "macvariables": _mac_variables(node[0]),
            "clocksequence": parsed.clock_seq,
        }
    if version == 2:
        domain = parsed.bytes[9]
        found |= {
            "id": int.from_bytes(parsed.bytes[:4]),
            "domain": {0: "Person", 1: "Group", 2: "Org"}.get(domain, f"Domain{domain}"),
        }
    return found


def _variant(octet: int) -> str:
    if octet & 0xC0 == 0x80:
        return "RFC4122"
    if octet & 0xE0 == 0xC0:
        return "Microsoft"
    return "Future" if octet & 0xE0 == 0xE0 else "Reserved"


def _mac_variables(octet: int) -> str:
    scope = "local" if octet & 2 else "global"
    return f"{scope}:{'multicast' if octet & 1 else 'unicast'}"


# --- Runtime -------------------------------------------------------------------------------------------------------


@UNITS.add("opa.runtime", 0, total=True)
def opa_runtime() -> dict[str, Value]:
    """Nothing: neither the environment nor the configuration is any policy's business."""
    return {}


@UNITS.add("trace", 1, total=True)
def trace(_: Value) -> bool:
    """Says nothing: what a policy notes would carry values of requests into logs."""
    return True


@UNITS.add("internal.print", 1, total=True, stateful=True)
def internal_print(evaluation: Evaluation, parts: Value) -> bool:
    """Says nothing either, but where somebody listens: in tests. Each part is a set: of one value, or undefined."""
    printed = evaluation.printed
    if printed is not None and len(printed) < _MOST_PRINTED:
        printed.append(" ".join(map(_shown, parts)))
    return True


def _shown(part: Value) -> str:
    values = list(part)
    if not values:
        return "<undefined>"
    return values[0] if type(values[0]) is str else json_text(values[0])
