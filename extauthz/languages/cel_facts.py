"""The names that a condition may use: their CEL types, and how each is read from the facts of a request.

Only what a condition reads is handed to CEL, path by path: `claims.address.city` is one value, not all the claims. A
path has a *value* and a *presence* (what `has(claims.a)` and `'a' in claims` ask). What cannot be read is UNREADABLE:
it is left out, and CEL answers its read with an error, which `||` and `&&` absorb as they do any other:

- an absent key: the value is UNREADABLE, the presence false;
- a key whose value is unsafe (`extauthz.languages.cel_value`), a header or query parameter that is repeated (as text;
  the list of its values can be read), a query value that cannot be decoded: the value is UNREADABLE, the presence
  **true**, for the key is there;
- a key of something that is absent or is no object: both are UNREADABLE, as `has(claims.a.b)` is in CEL;
- a map read as a whole (`claims.exists(...)`, `request.headers[path.x]`) with any such value in it: UNREADABLE;
- `principal.roles` while any role is in doubt, `principal.subject` of nobody, `body` unless it is whole JSON.

The names, but for `principal`, `claims`, `path`, `body` and the two `*_values`, are Envoy's; `request.query` is a map
here and the raw query there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from extauthz.languages.cel_value import UnsafeValueError, plain_text, plain_value
from extauthz.languages.json_body import JsonBodyError, json_body
from extauthz.languages.query import QueryError, parse_query
from extauthz.model.access import Facts, JsonValue

CelPath: TypeAlias = tuple[str, ...]
"""A name of NAMES, then keys: `("claims", "address", "city")`, `("request.headers", "x-freeze")`."""
Load: TypeAlias = Callable[[Facts], object]
"""Reads one thing as a value that may cross into CEL, or UNREADABLE."""

UNREADABLE: Final = object()
"""Instead of a value: reading it is an error."""

_ABSENT: Final = object()


# --- Kinds of names ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Scalar:
    """A name that has no keys."""

    type: str
    """In the notation of `cel.Type`."""
    read: Load

    def value(self, keys: CelPath) -> Load:
        """How it is read; the type checker lets no keys follow."""
        if keys:
            raise ValueError(f"{keys} of a name that has no keys")
        return self.read


@dataclass(frozen=True, slots=True)
class Tree:
    """A JSON object, or a map of texts."""

    type: str
    root: Callable[[Facts], JsonValue]
    cross: Callable[[JsonValue], object] = plain_value

    def value(self, keys: CelPath) -> Load:
        """How what stands at the keys is read, all of it when there are none."""
        root, cross = self.root, self.cross

        def load(facts: Facts) -> object:
            found = _dig(root(facts), keys)
            return UNREADABLE if found is _ABSENT else cross(found)  # type: ignore[arg-type]

        return load

    def presence(self, keys: CelPath) -> Load:
        """How it is read whether the last key is there."""
        root, above, last = self.root, keys[:-1], keys[-1]

        def load(facts: Facts) -> object:
            parent = _dig(root(facts), above)
            return last in parent if isinstance(parent, Mapping) else UNREADABLE

        return load


@dataclass(frozen=True, slots=True)
class Fields:
    """Named values of which each name may have several: headers, query parameters. Keys go one deep."""

    type: str
    names: Callable[[Facts], Iterable[str]]
    values: Callable[[Facts, str], Sequence[str | None]]
    cross: Callable[[Sequence[str | None]], object]

    def value(self, keys: CelPath) -> Load:
        """How the values of the key's name are read, of all names when there is no key."""
        names, values, cross = self.names, self.values, self.cross

        def whole(facts: Facts) -> object:
            return {plain_text(name): cross(values(facts, name)) for name in names(facts)}

        def one(facts: Facts) -> object:
            found = values(facts, keys[0])
            return cross(found) if found else UNREADABLE

        return one if keys else whole

    def presence(self, keys: CelPath) -> Load:
        """How it is read whether the name has a value."""
        values, (name,) = self.values, keys
        return lambda facts: bool(values(facts, name))


def _dig(value: JsonValue, keys: CelPath) -> object:
    found: object = value
    for key in keys:
        if not isinstance(found, (dict, Mapping)):
            return _ABSENT
        found = found.get(key, _ABSENT)
    return found


# --- How each is read ----------------------------------------------------------------------------------------------


def _text(read: Callable[[Facts], str]) -> Scalar:
    return Scalar("string", lambda facts: plain_text(read(facts)))


def _optional_text(read: Callable[[Facts], str | None]) -> Scalar:
    def load(facts: Facts) -> object:
        text = read(facts)
        return UNREADABLE if not text else plain_text(text)

    return Scalar("string", load)


def _texts(read: Callable[[Facts], Sequence[str]]) -> Scalar:
    return Scalar("list<string>", lambda facts: [plain_text(text) for text in read(facts)])


def _address(read: Callable[[Facts], tuple[str, int]]) -> Scalar:
    """As Envoy prints it: `192.0.2.1:443`, `[2001:db8::1]:443`."""

    def load(facts: Facts) -> object:
        address, port = read(facts)
        if not address:
            return UNREADABLE
        return plain_text(f"[{address}]:{port}" if ":" in address else f"{address}:{port}")

    return Scalar("string", load)


def _port(read: Callable[[Facts], tuple[str, int]]) -> Scalar:
    def load(facts: Facts) -> object:
        address, port = read(facts)
        return port if address else UNREADABLE

    return Scalar("int", load)


def _source(facts: Facts) -> tuple[str, int]:
    return facts.request.source_address, facts.request.source_port


def _destination(facts: Facts) -> tuple[str, int]:
    return facts.request.destination_address, facts.request.destination_port


def _time(facts: Facts) -> object:
    received_at = facts.request.received_at
    seconds = facts.now if received_at is None else received_at
    if not math.isfinite(seconds):
        return UNREADABLE
    whole = math.floor(seconds)
    return Timestamp(seconds=whole, nanos=min(round((seconds - whole) * 1e9), 999_999_999))


def _roles(facts: Facts) -> object:
    roles = facts.roles
    return UNREADABLE if roles.errored else [plain_text(role) for role in sorted(roles.held)]


def _header_names(facts: Facts) -> Iterable[str]:
    return facts.request.header_names()


def _header_values(facts: Facts, name: str) -> Sequence[str]:
    return facts.request.header_values(name)


def _query(facts: Facts) -> Mapping[str, tuple[str | None, ...]]:
    """The query, parsed at the first read and kept for the request."""
    kept = facts.memo.get("query")
    if kept is None:
        try:
            kept = parse_query(facts.request.target)
        except QueryError as error:
            kept = error
        facts.memo["query"] = kept
    if isinstance(kept, Mapping):
        return kept
    raise QueryError(str(kept))


def _query_values(facts: Facts, name: str) -> Sequence[str | None]:
    return _query(facts).get(name, ())


def _only_text(values: Sequence[str | None]) -> str:
    if len(values) != 1:
        raise UnsafeValueError("repeated")
    return _decoded_text(values[0])


def _all_texts(values: Sequence[str | None]) -> list[str]:
    return [_decoded_text(value) for value in values]


def _decoded_text(value: str | None) -> str:
    if value is None:
        raise UnsafeValueError("malformed")
    return plain_text(value)


# --- The names -----------------------------------------------------------------------------------------------------

NAMES: Final[Mapping[str, Scalar | Tree | Fields]] = {
    "request.method": _text(lambda facts: facts.request.method),
    "request.url_path": _text(lambda facts: facts.path),
    "request.path": _text(lambda facts: facts.request.target),
    "request.host": _text(lambda facts: facts.host),
    "request.scheme": _text(lambda facts: facts.request.scheme),
    "request.protocol": _text(lambda facts: facts.request.protocol),
    "request.time": Scalar("timestamp", _time),
    "request.headers": Fields("map<string, string>", _header_names, _header_values, _only_text),
    "request.header_values": Fields("map<string, list<string>>", _header_names, _header_values, _all_texts),
    "request.query": Fields("map<string, string>", _query, _query_values, _only_text),
    "request.query_values": Fields("map<string, list<string>>", _query, _query_values, _all_texts),
    "source.address": _address(_source),
    "source.port": _port(_source),
    "destination.address": _address(_destination),
    "destination.port": _port(_destination),
    "connection.uri_san_peer_certificate": _optional_text(lambda facts: facts.request.peer_identity),
    "context_extensions": Tree("map<string, string>", lambda facts: facts.request.context_extensions),
    "principal.authenticated": Scalar("bool", lambda facts: facts.principal.authenticated),
    "principal.subject": _optional_text(lambda facts: facts.principal.subject),
    "principal.provider": _optional_text(lambda facts: facts.principal.provider),
    "principal.roles": Scalar("list<string>", _roles),
    "principal.groups": _texts(lambda facts: facts.principal.groups),
    "principal.scopes": _texts(lambda facts: facts.principal.scopes),
    "claims": Tree("map<string, dyn>", lambda facts: facts.principal.claims),
    "path": Tree("map<string, string>", lambda facts: facts.path_variables),
    "body": Tree("dyn", json_body, cross=lambda value: value),
}

MAPS: Final = frozenset(name for name, kind in NAMES.items() if not isinstance(kind, Scalar) and kind.type != "dyn")
"""Where `'key' in name` asks for a key, whatever the request: `body` may be a list."""

HEADER_MAPS: Final = frozenset({"request.headers", "request.header_values"})


OF_CALLER: Final = frozenset({"claims", "principal.groups", "principal.scopes"})
"""What depends on the principal alone, which outlives a request where its token is cached."""


def load_value(path: CelPath) -> Load:
    """How the value at this path is read."""
    load = _catching(NAMES[path[0]].value(path[1:]))
    return _kept(f"cel {path}", load) if path[0] in OF_CALLER else load


def load_presence(path: CelPath) -> Load:
    """How it is read whether the path's last key is there.

    Raises:
        ValueError: the path has no keys below a map.
    """
    kind = NAMES[path[0]]
    if isinstance(kind, Scalar) or len(path) == 1:
        raise ValueError(f"{path} has no key to look for")
    return _catching(kind.presence(path[1:]))


def _catching(load: Load) -> Load:
    def caught(facts: Facts) -> object:
        try:
            return load(facts)
        except (UnsafeValueError, QueryError, JsonBodyError):
            return UNREADABLE  # CEL makes it an error of the read, and the condition's outcome tells

    return caught


def _kept(key: str, load: Load) -> Load:
    """Reads once per principal: making a long list of claims safe costs more than evaluating over it."""

    def kept(facts: Facts) -> object:
        derived = facts.principal.derived
        value = derived.get(key, _ABSENT)
        if value is _ABSENT:
            value = derived[key] = load(facts)
        return value

    return kept
