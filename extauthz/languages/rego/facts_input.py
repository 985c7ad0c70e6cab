"""The `input` of Rego in a policy set: what opa-envoy-plugin's users know, and the caller besides.

Made from facts, never more of it than a rule reads. `attributes`, `parsed_path`, `parsed_query`, `parsed_body`,
`truncated_body`, `version` and `source_principal` are as there, with these differences: headers are there however the
proxy packs them (repeated ones joined by a comma, as it joins them), a body that is whole is there both as text and as
bytes, and of `attributes` only what a policy set can read at all. Besides there are

- `principal`: `authenticated`, `subject` and `provider` of a caller who has them, `roles` (with bindings and
  inheritance), `groups`, `scopes`;
- `claims`: the verified token's, an empty object without one;
- `path`: what the route's path binds.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from extauthz.languages.rego.input_document import (
    PARTIAL_BODY_HEADER,
    Body,
    InputRefusedError,
    parse_body,
    parse_target,
)
from extauthz.languages.rego.value import UNDEFINED, Value
from extauthz.model.access import AccessRequest, Facts, JsonValue

if TYPE_CHECKING:  # sets without Rego do without plans
    from extauthz.languages.rego.reads import InputPath

T = TypeVar("T")
FactPath: TypeAlias = tuple[str, ...]
"""As conditions name what they read: `("request.headers", "x-freeze")`, `("claims",)`."""

_BODY_HEADERS: Final = ("content-type", "content-length", PARTIAL_BODY_HEADER)
_HTTP: Final = ("attributes", "request", "http")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_VERSION: Final = {"ext_authz": "v3", "encoding": "protojson"}


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A part of the input that is made at once, or not at all."""

    path: InputPath
    load: Callable[[Facts], Value]
    """UNDEFINED leaves it out."""
    reads: tuple[str, ...]
    """What a condition that depends on it reads; keys within the leaf follow where the leaf is a map."""
    is_map: bool = False


class FactsInput:
    """Makes the input of one rule."""

    __slots__ = ("_leaves", "reads")

    def __init__(self, reads: Iterable[InputPath]) -> None:
        """Make what is read, as `reads.input_reads` finds it."""
        reads = tuple(reads)
        wanted = [(leaf, keys) for leaf in _LEAVES if (keys := _keys_within(leaf.path, reads)) is not None]
        self._leaves = tuple((leaf.path[:-1], leaf.path[-1], _loader(leaf, keys)) for leaf, keys in wanted)
        self.reads: frozenset[FactPath] = frozenset(path for leaf, keys in wanted for path in _fact_paths(leaf, keys))
        """The same in the words of every other condition."""

    def make(self, facts: Facts) -> Value:
        """The input for one request.

        Raises:
            InputRefusedError: a part that is read cannot be told: a malformed query or body, a role in doubt.
        """
        document: dict[str, Value] = {}
        for containers, key, load in self._leaves:
            value = load(facts)
            if value is not UNDEFINED:
                owner = document
                for container in containers:
                    owner = owner.setdefault(container, {})
                owner[key] = value
        return document


def _keys_within(leaf: InputPath, reads: Iterable[InputPath]) -> tuple[InputPath, ...] | None:
    """The paths within a leaf that are read; `((),)` where it is read whole, None where it is not read."""
    within = {path[len(leaf) :] for path in reads if path[: len(leaf)] == leaf or leaf[: len(path)] == path}
    if not within:
        return None
    return ((),) if () in within else tuple(sorted(within))


def _loader(leaf: _Leaf, keys: tuple[InputPath, ...]) -> Callable[[Facts], Value]:
    if leaf.path == (*_HTTP, "headers") and keys != ((),):
        names = tuple(sorted({key[0] for key in keys}))
        return lambda facts: _headers(facts.request, names)
    return leaf.load


def _fact_paths(leaf: _Leaf, keys: tuple[InputPath, ...]) -> Iterable[FactPath]:
    for name in leaf.reads:
        yield from ((name, *key) if leaf.is_map else (name,) for key in keys)


# --- The request ---------------------------------------------------------------------------------------------------


def _text(read: Callable[[Facts], str]) -> Callable[[Facts], Value]:
    """A text as the proxy writes it; an empty one is absent there."""
    return lambda facts: read(facts) or UNDEFINED


def _number(read: Callable[[Facts], int]) -> Callable[[Facts], Value]:
    return lambda facts: read(facts) or UNDEFINED


def _time(facts: Facts) -> tuple[int, int] | None:
    received_at = facts.request.received_at
    if received_at is None or not math.isfinite(received_at):
        return None
    seconds = math.floor(received_at)
    return seconds, min(round((received_at - seconds) * 1e9), 999_999_999)


def _seconds(facts: Facts) -> Value:
    time = _time(facts)
    return UNDEFINED if time is None else time[0] or UNDEFINED


def _nanos(facts: Facts) -> Value:
    time = _time(facts)
    return UNDEFINED if time is None else time[1] or UNDEFINED


def _headers(request: AccessRequest, names: Sequence[str] | None = None) -> dict[str, str]:
    """Headers, all or some, as Envoy puts them into one map: repeated ones joined, `!` for each byte of no text."""
    pseudo = {
        ":authority": request.host,
        ":method": request.method,
        ":path": request.target,
        ":scheme": request.scheme,
    }
    found: dict[str, str] = {}
    for name in (*pseudo, *request.header_names()) if names is None else names:
        values = request.header_values(name)
        if values or pseudo.get(name):
            found[name] = _LONE_SURROGATE.sub("!", pseudo.get(name) or ",".join(values))
    return found


def _body_text(facts: Facts) -> Value:
    try:
        return (facts.request.body or b"").decode() or UNDEFINED
    except UnicodeDecodeError:
        return UNDEFINED


def _raw_body(facts: Facts) -> Value:
    body = facts.request.body
    return base64.b64encode(body).decode() if body else UNDEFINED


def _target(facts: Facts) -> tuple[list[str], dict[str, list[str]]]:
    return _once(facts, "rego target", lambda: parse_target(facts.request.target))


def _body(facts: Facts) -> Body:
    def parse() -> Body:
        body = facts.request.body or b""
        headers = _headers(facts.request, _BODY_HEADERS)
        path = _target(facts)[0] if "application/grpc" in headers.get("content-type", "") else []
        return parse_body(headers, body, raw=body, path=path)

    return _once(facts, "rego body", parse)


def _once(facts: Facts, key: str, make: Callable[[], T]) -> T:
    """Made at the first read of a request and kept, its refusal too."""
    kept = facts.memo.get(key)
    if kept is None:
        try:
            kept = make()
        except InputRefusedError as error:
            kept = error
        facts.memo[key] = kept
    if isinstance(kept, InputRefusedError):
        raise InputRefusedError(str(kept))
    return cast("T", kept)  # what `make` made, under a key of its own


# --- The caller ----------------------------------------------------------------------------------------------------


def _roles(facts: Facts) -> Value:
    roles = facts.roles
    if roles.errored:
        raise InputRefusedError("a role of the caller could not be determined")
    return sorted(roles.held)


def _claims(facts: Facts) -> Value:
    """Made once per principal, which outlives the request where its token is cached."""
    derived = facts.principal.derived
    kept = derived.get("rego claims")
    if kept is None:
        kept = derived["rego claims"] = _value(facts.principal.claims)
    return kept


def _value(value: JsonValue) -> Value:
    """A JSON value as exactly the types that Rego has; half of a surrogate pair is Go's replacement character."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str):
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, Mapping):
        return {_LONE_SURROGATE.sub("\ufffd", key): _value(member) for key, member in value.items()}
    return [_value(member) for member in value]


# --- All of it -----------------------------------------------------------------------------------------------------

_LEAVES: Final = (
    _Leaf(
        ("attributes", "source", "address", "socketAddress", "address"),
        _text(lambda facts: facts.request.source_address),
        ("source.address",),
    ),
    _Leaf(
        ("attributes", "source", "address", "socketAddress", "portValue"),
        _number(lambda facts: facts.request.source_port),
        ("source.port",),
    ),
    _Leaf(
        ("attributes", "source", "principal"),
        _text(lambda facts: facts.request.peer_identity),
        ("connection.uri_san_peer_certificate",),
    ),
    _Leaf(
        ("attributes", "destination", "address", "socketAddress", "address"),
        _text(lambda facts: facts.request.destination_address),
        ("destination.address",),
    ),
    _Leaf(
        ("attributes", "destination", "address", "socketAddress", "portValue"),
        _number(lambda facts: facts.request.destination_port),
        ("destination.port",),
    ),
    _Leaf(("attributes", "request", "time", "seconds"), _seconds, ("request.time",)),
    _Leaf(("attributes", "request", "time", "nanos"), _nanos, ("request.time",)),
    _Leaf((*_HTTP, "method"), _text(lambda facts: facts.request.method), ("request.method",)),
    _Leaf((*_HTTP, "path"), _text(lambda facts: facts.request.target), ("request.path",)),
    _Leaf((*_HTTP, "host"), _text(lambda facts: facts.request.host), ("request.host",)),
    _Leaf((*_HTTP, "scheme"), _text(lambda facts: facts.request.scheme), ("request.scheme",)),
    _Leaf((*_HTTP, "protocol"), _text(lambda facts: facts.request.protocol), ("request.protocol",)),
    _Leaf((*_HTTP, "headers"), lambda facts: _headers(facts.request), ("request.headers",), is_map=True),
    _Leaf((*_HTTP, "body"), _body_text, ("body",)),
    _Leaf((*_HTTP, "rawBody"), _raw_body, ("body",)),
    _Leaf(
        ("attributes", "contextExtensions"),
        lambda facts: dict(facts.request.context_extensions) or UNDEFINED,
        ("context_extensions",),
        is_map=True,
    ),
    _Leaf(("parsed_path",), lambda facts: _target(facts)[0], ("request.path",)),
    _Leaf(("parsed_query",), lambda facts: _target(facts)[1], ("request.path",)),
    _Leaf(("parsed_body",), lambda facts: _body(facts).value, ("body", "request.headers")),
    _Leaf(("truncated_body",), lambda facts: _body(facts).truncated, ("body", "request.headers")),
    _Leaf(("version",), lambda _: _VERSION, ()),
    _Leaf(
        ("source_principal",),
        _text(lambda facts: facts.request.peer_identity),
        ("connection.uri_san_peer_certificate",),
    ),
    _Leaf(("principal", "authenticated"), lambda facts: facts.principal.authenticated, ("principal.authenticated",)),
    _Leaf(("principal", "subject"), _text(lambda facts: facts.principal.subject or ""), ("principal.subject",)),
    _Leaf(("principal", "provider"), _text(lambda facts: facts.principal.provider or ""), ("principal.provider",)),
    _Leaf(("principal", "roles"), _roles, ("principal.roles",)),
    _Leaf(("principal", "groups"), lambda facts: list(facts.principal.groups), ("principal.groups",)),
    _Leaf(("principal", "scopes"), lambda facts: list(facts.principal.scopes), ("principal.scopes",)),
    _Leaf(("claims",), _claims, ("claims",), is_map=True),
    _Leaf(("path",), lambda facts: dict(facts.path_variables), ("path",), is_map=True),
)
