"""Encodings: base64, hex, URL queries, JSON."""

from __future__ import annotations

import base64
import binascii
import json
import re
from urllib.parse import quote_plus, unquote_to_bytes

from extauthz.languages.rego.builtins.registry import Registry, boolean, object_, text
from extauthz.languages.rego.builtins.strings import spend_on_text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.value import (
    RegoSet,
    Value,
    bytes_text,
    json_text,
    object_items,
    parse_json,
    text_bytes,
    to_json,
)

ENCODINGS = Registry()

# --- Base64 and hex ------------------------------------------------------------------------------------------------


def decode_base64(encoded: str) -> bytes:
    """Standard base64 with padding (RFC 4648 section 4); line ends within are ignored.

    Raises:
        BuiltinError: it is none.
    """
    try:
        return base64.b64decode(encoded.replace("\n", "").replace("\r", ""), validate=True)
    except (ValueError, binascii.Error):
        raise BuiltinError("illegal base64 data") from None


def decode_base64url(encoded: str) -> bytes:
    """URL-safe base64, padded or not (RFC 7515 appendix C).

    Raises:
        BuiltinError: it is none.
    """
    if "+" in encoded or "/" in encoded:
        raise BuiltinError("illegal base64url data")
    padded = encoded if encoded.endswith("=") else encoded + "=" * (-len(encoded) % 4)
    return decode_base64(padded.replace("-", "+").replace("_", "/"))


def encode_base64url(data: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@ENCODINGS.add("base64.encode", 1)
def base64_encode(value: Value) -> str:
    return base64.b64encode(text_bytes(text(value, 1))).decode()


@ENCODINGS.add("base64.decode", 1)
def base64_decode(value: Value) -> str:
    return bytes_text(decode_base64(text(value, 1)))


@ENCODINGS.add("base64.is_valid", 1, total=True)
def base64_is_valid(value: Value) -> bool:
    try:
        decode_base64(text(value, 1))
    except BuiltinError:
        return False
    return True


@ENCODINGS.add("base64url.encode", 1)
def base64url_encode(value: Value) -> str:
    return base64.urlsafe_b64encode(text_bytes(text(value, 1))).decode()


@ENCODINGS.add("base64url.encode_no_pad", 1)
def base64url_encode_no_pad(value: Value) -> str:
    return encode_base64url(text_bytes(text(value, 1)))


@ENCODINGS.add("base64url.decode", 1)
def base64url_decode(value: Value) -> str:
    return bytes_text(decode_base64url(text(value, 1)))


@ENCODINGS.add("hex.encode", 1)
def hex_encode(value: Value) -> str:
    return text_bytes(text(value, 1)).hex()


@ENCODINGS.add("hex.decode", 1)
def hex_decode(value: Value) -> str:
    digits = text(value, 1)
    if re.search(r"\s", digits):
        raise BuiltinError("not hexadecimal")
    try:
        return bytes_text(bytes.fromhex(digits))
    except ValueError:
        raise BuiltinError("not hexadecimal") from None


# --- URL queries ---------------------------------------------------------------------------------------------------

_MALFORMED_ESCAPE = re.compile(r"%(?![0-9a-fA-F]{2})")


def _escaped(value: str) -> str:
    return quote_plus(text_bytes(value), safe="")


def _unescaped(value: str) -> str:
    if _MALFORMED_ESCAPE.search(value):
        raise BuiltinError("invalid URL escape")
    return bytes_text(unquote_to_bytes(text_bytes(value.replace("+", " "))))


@ENCODINGS.add("urlquery.encode", 1)
def urlquery_encode(value: Value) -> str:
    return _escaped(text(value, 1))


@ENCODINGS.add("urlquery.decode", 1)
def urlquery_decode(value: Value) -> str:
    return _unescaped(text(value, 1))


@ENCODINGS.add("urlquery.encode_object", 1)
def urlquery_encode_object(value: Value) -> str:
    """Keys in order; a list or set gives its key once for each member."""
    pairs: list[str] = []
    for key, member in to_json(object_(value, 1)).items():
        values = [member] if type(member) is str else member
        if type(values) is not list or any(type(one) is not str for one in values):
            raise BuiltinError("operand 1 values must be string, array[string], or set[string]")
        pairs += [f"{_escaped(key)}={_escaped(one)}" for one in values]
    return "&".join(pairs)


@ENCODINGS.add("urlquery.decode_object", 1)
def urlquery_decode_object(value: Value) -> dict[str, list[str]]:
    """Every key with all its values in order; a pair with a semicolon is an error, as in Go."""
    found: dict[str, list[str]] = {}
    for pair in text(value, 1).split("&"):
        if ";" in pair:
            raise BuiltinError("invalid semicolon separator in query")
        if pair:
            key, _, member = pair.partition("=")
            found.setdefault(_unescaped(key), []).append(_unescaped(member))
    return found


# --- JSON ----------------------------------------------------------------------------------------------------------


@ENCODINGS.add("json.marshal", 1, stateful=True)
def json_marshal(evaluation: Evaluation, value: Value) -> str:
    result = json_text(value)
    spend_on_text(evaluation, len(result))
    return result


@ENCODINGS.add("json.marshal_with_options", 2, stateful=True)
def json_marshal_with_options(evaluation: Evaluation, value: Value, options: Value) -> str:
    """`prefix` and `indent` ask for a text over several lines, unless `pretty` says otherwise."""
    prefix, indent, pretty = "", "\t", None
    for key, member in object_items(object_(options, 2)):
        if key == "prefix":
            prefix = text(member, 2)
        elif key == "indent":
            indent = text(member, 2)
        elif key == "pretty":
            pretty = boolean(member, 2)
        else:
            raise BuiltinError("operand 2 object contained an unknown key")
    wanted = pretty if pretty is not None else bool({"prefix", "indent"} & {k for k in options if type(k) is str})
    result = prefix + _indented(value, prefix, indent, 0) if wanted else json_text(value)
    spend_on_text(evaluation, len(result))
    return result


def _indented(value: Value, prefix: str, indent: str, depth: int) -> str:
    """As Go's `json.MarshalIndent`: empty collections on one line."""
    if type(value) not in {dict, list, RegoSet} or not len(value):
        return json_text(value)
    line, last = f"\n{prefix}{indent * (depth + 1)}", f"\n{prefix}{indent * depth}"
    if type(value) is dict:
        members = [
            f"{json_text(key if type(key) is str else json_text(key))}: {_indented(member, prefix, indent, depth + 1)}"
            for key, member in object_items(value)
        ]
        return "{" + line + f",{line}".join(members) + last + "}"
    members = [_indented(member, prefix, indent, depth + 1) for member in value]
    return "[" + line + f",{line}".join(members) + last + "]"


@ENCODINGS.add("json.unmarshal", 1, stateful=True)
def json_unmarshal(evaluation: Evaluation, value: Value) -> Value:
    source = text(value, 1)
    spend_on_text(evaluation, len(source))
    return parse_json(source)


@ENCODINGS.add("json.is_valid", 1, total=True)
def json_is_valid(value: Value) -> bool:
    if type(value) is not str:
        return False
    try:
        json.loads(value, parse_int=len, parse_float=len, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return False
    return True


def _refuse(_: str) -> Value:
    raise ValueError("not a JSON number")
