"""A policy's decision document -> CheckResponse, as opa-envoy-plugin writes it.

A boolean is a status and nothing else; an object also says what to add, to remove and to answer. Only the keys that
count for its outcome are looked at, in the order in which the incumbent does, since that decides which error is told.
`append_action` and the like are never set. INVARIANT: a decision that is not exactly what it should be is refused,
whatever it allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple, TypeAlias

from envoy.service.auth.v3 import external_auth_pb2
from google.rpc import code_pb2

from extauthz.errors import ExtAuthzError
from extauthz.languages.rego.number import is_number, number_text
from extauthz.languages.rego.value import Value

DECISION_ID_LENGTH: Final = 36
"""A UUID as text."""

STATUSES: Final = frozenset(
    {100, *range(200, 209), 226, *range(300, 306), 307, 308, *range(400, 418), 421, 422, 423, 424, 426, 428, 429, 431}
    | {*range(500, 509), 510, 511}
)
"""What both Envoy's StatusCode and Go's net/http know."""


class DecisionRefusedError(ExtAuthzError):
    """The policy's decision has the wrong shape. The message is the incumbent's, and names types, not values."""


def is_allowed(decision: Value) -> bool:
    """What a decision, as JSON, decides.

    Raises:
        DecisionRefusedError: it is neither a boolean nor an object with one under `allowed`.
    """
    if type(decision) is bool:
        return decision
    what = "failed to get response status"
    if type(decision) is not dict:
        raise DecisionRefusedError(f"{what}: illegal value for policy evaluation result: {_go_type(decision)}")
    if "allowed" not in decision:
        raise DecisionRefusedError(f'{what}: unable to determine evaluation result due to missing "allowed" key')
    allowed = decision["allowed"]
    if type(allowed) is not bool:
        raise DecisionRefusedError(f"{what}: {_mistyped('allowed', 'boolean', allowed)}")
    return allowed


def write_reply(decision: Value, allowed: bool, decision_id: str, *, dry_run: bool, is_explicit: bool) -> bytes:  # noqa: FBT001
    """The serialised CheckResponse of a decision.

    Args:
        decision: as JSON.
        allowed: what `is_allowed` says of it.
        decision_id: of `DECISION_ID_LENGTH` characters.
        dry_run: a denial is told as an allow without any changes.
        is_explicit: a boolean sets `ok_response` or `denied_response`, too, though Envoy does without.

    Raises:
        DecisionRefusedError: a key that counts holds what it must not.
    """
    if type(decision) is bool:
        return decision_id.encode().join(_boolean_reply(allowed, dry_run, is_explicit))
    response = external_auth_pb2.CheckResponse()
    for key, what, fill in _ALLOWING if allowed else _DENYING:
        if key in decision:
            try:
                fill(response, decision[key])
            except DecisionRefusedError as error:
                raise DecisionRefusedError(f"failed to get {what}: {error}") from None
            except UnicodeEncodeError:
                raise DecisionRefusedError(f"failed to get {what}: invalid UTF-8") from None
    _conclude(response, allowed=allowed, dry_run=dry_run, is_explicit=True)
    response.dynamic_metadata.fields["decision_id"].string_value = decision_id
    return bytes(response.SerializeToString())


@cache
def _boolean_reply(allowed: bool, dry_run: bool, is_explicit: bool) -> list[bytes]:  # noqa: FBT001 - cache
    """What stands before and after the decision's id."""
    placeholder = "-" * DECISION_ID_LENGTH
    response = external_auth_pb2.CheckResponse()
    _conclude(response, allowed=allowed, dry_run=dry_run, is_explicit=is_explicit)
    response.dynamic_metadata.fields["decision_id"].string_value = placeholder
    return bytes(response.SerializeToString()).split(placeholder.encode())


def _conclude(response: Any, *, allowed: bool, dry_run: bool, is_explicit: bool) -> None:
    """The status, and the kind of reply that goes with it."""
    response.status.code = code_pb2.OK if allowed or dry_run else code_pb2.PERMISSION_DENIED
    if dry_run and not allowed:
        response.ok_response.CopyFrom(external_auth_pb2.OkHttpResponse())
    elif is_explicit and allowed:
        response.ok_response.SetInParent()
    elif is_explicit and not response.denied_response.status.code:
        response.denied_response.status.code = 403


# --- The keys of an object -----------------------------------------------------------------------------------------


def _add_headers(options: Any, value: Value) -> None:
    for headers in value if type(value) is list else [value]:
        if type(headers) is not dict:
            raise DecisionRefusedError(_mistyped("headers", "object", headers))
        for name, given in headers.items():
            if type(given) is not str and type(given) is not list:
                raise DecisionRefusedError(f"type assertion error for header '{name}'")
            for one in [given] if type(given) is str else given:
                if type(one) is not str:
                    raise DecisionRefusedError(f"invalid value type {_go_type(one)} for header '{name}'")
                header = options.add().header
                header.key, header.value = name, one


def _texts(key: str, value: Value) -> Iterable[str]:
    if type(value) is not list:
        raise DecisionRefusedError(_mistyped(key, "[]string", value))
    for one in value:
        if type(one) is not str:
            raise DecisionRefusedError(_mistyped(f"{key} value", "string", one))
    return value


def _set_query_parameters(response: Any, value: Value) -> None:
    if type(value) is not dict:
        expected = "type assertion error, expected query_parameters_to_set to be a map"
        raise DecisionRefusedError(f"{expected} but got '{_go_type(value)}'")
    for name, given in value.items():
        if type(given) is not str and type(given) is not list:
            expected = "type assertion error, expected value to be string or array"
            raise DecisionRefusedError(f"{expected} but got '{_go_type(given)}'")
        for one in [given] if type(given) is str else given:
            if type(one) is not str:
                expected = "type assertion error: expected array element to be string"
                raise DecisionRefusedError(f"{expected} but got '{_go_type(one)}'")
            response.ok_response.query_parameters_to_set.add(key=name, value=one)


def _set_body(response: Any, value: Value) -> None:
    if type(value) is not str:
        raise DecisionRefusedError(_mistyped("body", "string", value))
    response.denied_response.body = value


def _set_status(response: Any, value: Value) -> None:
    if not is_number(value):
        raise DecisionRefusedError(_mistyped("http_status", "number", value))
    if type(value) is not int or not -(1 << 63) <= value < 1 << 63:
        problem = "value out of range" if type(value) is int else "invalid syntax"
        text = f'strconv.ParseInt: parsing "{number_text(value)}": {problem}'
        raise DecisionRefusedError(f"error converting JSON number to int: {text}")
    if value not in STATUSES:
        raise DecisionRefusedError(f"invalid HTTP status code {value}")
    response.denied_response.status.code = value


def _set_metadata(response: Any, value: Value) -> None:
    if type(value) is not dict:
        raise DecisionRefusedError(_mistyped("dynamic_metadata", "object", value))
    _fill_struct(response.dynamic_metadata, value)


def _fill_struct(struct: Any, members: dict[str, Value]) -> None:
    for name, member in members.items():
        _fill_value(struct.fields[name], member)


def _fill_value(target: Any, value: Value) -> None:
    if value is None:
        target.null_value = 0
    elif type(value) is bool:
        target.bool_value = value
    elif type(value) is str:
        target.string_value = value
    elif type(value) is dict:
        target.struct_value.SetInParent()
        _fill_struct(target.struct_value, value)
    elif type(value) is list:
        target.list_value.SetInParent()
        for member in value:
            _fill_value(target.list_value.values.add(), member)
    else:
        target.number_value = _double(value)


def _double(number: float | Decimal) -> float:
    try:
        double = float(number)
    except OverflowError:
        double = math.inf
    if not math.isfinite(double):
        raise DecisionRefusedError("a number is beyond what a double holds")
    return double


_Fill: TypeAlias = Callable[[Any, Value], None]


class _Key(NamedTuple):
    name: str
    what: str
    """As errors call it."""
    fill: _Fill


_METADATA: Final = _Key("dynamic_metadata", "dynamic metadata", _set_metadata)

_ALLOWING: Final = (
    _Key("headers", "response headers", lambda r, value: _add_headers(r.ok_response.headers, value)),
    _METADATA,
    _Key(
        "request_headers_to_remove",
        "request headers to remove",
        lambda r, value: r.ok_response.headers_to_remove.extend(_texts("request_headers_to_remove", value)),
    ),
    _Key(
        "response_headers_to_add",
        "response headers to send to client",
        lambda r, value: _add_headers(r.ok_response.response_headers_to_add, value),
    ),
    _Key(
        "query_parameters_to_remove",
        "request query parameters to remove",
        lambda r, value: r.ok_response.query_parameters_to_remove.extend(_texts("query_parameters_to_remove", value)),
    ),
    _Key("query_parameters_to_set", "request query parameters to set", _set_query_parameters),
)

_DENYING: Final = (
    _Key("headers", "response headers", lambda r, value: _add_headers(r.denied_response.headers, value)),
    _METADATA,
    _Key("body", "response body", _set_body),
    _Key("http_status", "response http status", _set_status),
)


# --- How Go names types --------------------------------------------------------------------------------------------

_GO_TYPES: Final = {type(None): "<nil>", bool: "bool", str: "string", list: "[]interface {}"}


def _go_type(value: Value) -> str:
    if type(value) is dict:
        return "map[string]interface {}"
    return _GO_TYPES.get(type(value), "json.Number")


def _mistyped(key: str, expected: str, value: Value) -> str:
    return f"type assertion error, expected {key} to be of type '{expected}' but got '{_go_type(value)}'"
