"""JSON Web Tokens (io.jwt.*): what OPA makes of RFC 7515 and RFC 7519, its constraints, and its refusals.

A token that does not verify is an answer, `false`. One that cannot be read, and constraints that make no sense, are
errors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from extauthz.languages.rego.builtins.encoding import decode_base64url, encode_base64url
from extauthz.languages.rego.builtins.keys import (
    ALGORITHMS,
    VerificationKey,
    private_key,
    sign,
    verification_keys,
    verifies,
)
from extauthz.languages.rego.builtins.registry import Registry, object_, text
from extauthz.languages.rego.evaluation import Evaluation
from extauthz.languages.rego.failure import BuiltinError
from extauthz.languages.rego.number import is_number
from extauthz.languages.rego.value import Value, bytes_text, json_text, parse_json, text_bytes

JWT = Registry()

_NANOSECONDS = 1_000_000_000
_MAX_NESTING = 8
"""Tokens within tokens (RFC 7519 section 5.2)."""


@dataclass(frozen=True, slots=True)
class _Token:
    """A token in compact form, its header read."""

    signed: bytes
    """What the signature is over: the encoded header and payload."""
    header: dict[Any, Value]
    payload: bytes
    signature: bytes

    def claims(self) -> dict[Any, Value]:
        """The payload as an object.

        Raises:
            BuiltinError: it is none.
        """
        return _json_object(self.payload)


def _json_object(data: bytes) -> dict[Any, Value]:
    value = parse_json(bytes_text(data))
    if type(value) is not dict:
        raise BuiltinError("JSON value does not contain an object")
    return value


def _token(encoded: str) -> _Token:
    """Read a token.

    Raises:
        BuiltinError: it is not three parts, or one of them is not base64url, or the header is not an object.
    """
    parts = encoded.split(".")
    if len(parts) == 5:
        raise BuiltinError("JWT is a JWE object, which is not supported")
    if len(parts) != 3:
        raise BuiltinError("encoded JWT must have 3 sections")
    header = _json_object(decode_base64url(parts[0]))
    if "enc" in header:
        raise BuiltinError("JWT is a JWE object, which is not supported")
    signed = text_bytes(f"{parts[0]}.{parts[1]}")
    return _Token(signed, header, decode_base64url(parts[1]), decode_base64url(parts[2]))


@JWT.add("io.jwt.decode", 1)
def jwt_decode(token: Value) -> list[Value]:
    """Header, payload and signature, nothing verified."""
    encoded = text(token, 1)
    for _ in range(_MAX_NESTING):
        read = _token(encoded)
        if read.header.get("cty") != "JWT":
            return [read.header, read.claims(), read.signature.hex()]
        encoded = bytes_text(read.payload).strip("\"'")
    raise BuiltinError("tokens are nested too deeply")


# --- Verification --------------------------------------------------------------------------------------------------


def _header_fields(header: dict[Any, Value]) -> dict[str, str]:
    """The fields of a header that we act on.

    Raises:
        BuiltinError: one is not what RFC 7515 section 4.1 says.
    """
    fields: dict[str, str] = {}
    for name in ("alg", "kid", "typ", "cty"):
        value = header.get(name, "")
        if type(value) is not str:
            raise BuiltinError(f"{name}: must be a string")
        fields[name] = value
    critical = header.get("crit")
    if "crit" in header and (type(critical) is not list or not critical):
        raise BuiltinError("crit: must be a nonempty list")
    return fields


def _understood(header: dict[Any, Value]) -> bool:
    """Whether everything the header calls critical is known here (RFC 7515 section 4.1.11)."""
    known = {"alg", "kid", "typ", "cty", "crit"}
    return all(name in known or name not in header for name in header.get("crit", ()))


def _verified_by(token: _Token, algorithm: str, fields: dict[str, str], keys: tuple[VerificationKey, ...]) -> bool:
    """Whether the key of the token's id verifies it, or, when there is none, any key."""
    named = next((key for key in keys if fields["kid"] and key.kid == fields["kid"]), None)
    if named is not None:
        return verifies(algorithm, named.key, token.signed, token.signature)
    fitting = (key for key in keys if not key.algorithm or key.algorithm == fields["alg"])
    return any(verifies(algorithm, key.key, token.signed, token.signature) for key in fitting)


def _declare_verify(algorithm: str) -> None:
    @JWT.add(f"io.jwt.verify_{algorithm.lower()}", 2)
    def verify(token: Value, key: Value) -> bool:
        source = text(key, 2)
        read = _token(text(token, 1))
        if algorithm.startswith("HS"):
            return verifies(algorithm, text_bytes(source), read.signed, read.signature)
        keys = tuple(one for one in verification_keys(source) if not isinstance(one.key, bytes))
        return _verified_by(read, algorithm, _header_fields(read.header), keys)


for _algorithm in sorted(ALGORITHMS):
    _declare_verify(_algorithm)


# --- Verification with constraints ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Constraints:
    keys: tuple[VerificationKey, ...]
    algorithm: str
    issuer: str
    audience: str
    now_ns: float


def _constraints(evaluation: Evaluation, given: dict[Any, Value]) -> _Constraints:
    """What a caller demands of a token.

    Raises:
        BuiltinError: a constraint that is unknown, of the wrong type, or not exactly one key.
    """
    unknown = given.keys() - {"cert", "secret", "alg", "iss", "aud", "time"}
    if unknown:
        raise BuiltinError("unknown token validation constraint")
    texts = {name: given.get(name, "") for name in ("secret", "alg", "iss", "aud")}
    for name, value in texts.items():
        if type(value) is not str:
            raise BuiltinError(f"{name} constraint: must be a string")
    now = given.get("time", evaluation.now_ns)
    if not is_number(now) or now < 0:
        raise BuiltinError("token time constraint: must be a number that is not negative")
    if ("cert" in given) == bool(texts["secret"]):
        raise BuiltinError("duplicate key constraints" if texts["secret"] else "no key constraint")
    if "cert" in given:
        keys = verification_keys(text(given["cert"], 2))
    else:
        keys = (VerificationKey(text_bytes(texts["secret"])),)
    return _Constraints(keys, texts["alg"], texts["iss"], texts["aud"], float(now))


@JWT.add("io.jwt.decode_verify", 2, stateful=True)
def jwt_decode_verify(evaluation: Evaluation, token: Value, constraints: Value) -> list[Value]:
    """Whether a token is valid, and its header and payload if it is."""
    wanted = _constraints(evaluation, object_(constraints, 2))
    refused: list[Value] = [False, {}, {}]
    encoded = text(token, 1)
    for _ in range(_MAX_NESTING):
        read = _token(encoded)
        fields = _header_fields(read.header)
        if not fields["alg"] or not _understood(read.header) or wanted.algorithm not in {"", fields["alg"]}:
            return refused
        if not _verified_by(read, fields["alg"], fields, wanted.keys):
            return refused
        if fields["cty"].lower() != "jwt":
            claims = read.claims()
            return [True, read.header, claims] if _accepted(claims, wanted) else refused
        encoded = bytes_text(read.payload)
    raise BuiltinError("tokens are nested too deeply")


def _accepted(claims: dict[Any, Value], wanted: _Constraints) -> bool:
    """Whether the registered claims (RFC 7519 section 4.1) are as wanted; an audience nobody asked for is not."""
    if wanted.issuer and claims.get("iss") != wanted.issuer:
        return False
    if "aud" in claims or wanted.audience:
        audiences = claims.get("aud")
        if wanted.audience not in (audiences if type(audiences) is list else [audiences]):
            return False
    now = wanted.now_ns / _NANOSECONDS
    for name in ("exp", "nbf"):
        if name in claims and not is_number(claims[name]):
            raise BuiltinError(f"{name} value must be a number")
    return not ("exp" in claims and now >= claims["exp"]) and not ("nbf" in claims and now < claims["nbf"])


# --- Signing -------------------------------------------------------------------------------------------------------


@JWT.add("io.jwt.encode_sign", 3)
def jwt_encode_sign(headers: Value, payload: Value, key: Value) -> str:
    return _signed(json_text(object_(headers, 1)), json_text(object_(payload, 2)), json_text(object_(key, 3)))


@JWT.add("io.jwt.encode_sign_raw", 3)
def jwt_encode_sign_raw(headers: Value, payload: Value, key: Value) -> str:
    """From JSON texts, which are signed as they are."""
    return _signed(text(headers, 1), text(payload, 2), text(key, 3))


def _signed(headers: str, payload: str, key: str) -> str:
    document = parse_json(key)
    if type(document) is dict and "keys" in document:
        members = document["keys"]
        document = members[0] if type(members) is list and members else None
    if type(document) is not dict:
        raise BuiltinError("not a JWK")
    secret = private_key(document)
    fields = _json_object(text_bytes(headers))
    algorithm = fields.get("alg")
    if type(algorithm) is not str or algorithm not in ALGORITHMS:
        raise BuiltinError("unknown JWS algorithm")
    if fields.get("typ", "JWT") == "JWT":
        parse_json(payload)
    signed = f"{encode_base64url(text_bytes(headers))}.{encode_base64url(text_bytes(payload))}"
    return f"{signed}.{encode_base64url(sign(algorithm, secret, signed.encode()))}"
