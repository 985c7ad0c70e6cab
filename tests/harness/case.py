"""The case format: policy sets, requests to them, and what must come of each, whoever enforces the set.

A file of `tests/decisions` holds YAML documents, one policy set each:

    set: shop                       # tells the sets of one file apart
    policy: |                       # the set's text; `file: corp.jwks.json` is the issuer `corp` of tokens.py
      version: 1
    files: {keys.yaml: "..."}       # other files that it names, and Rego with its data
    values: {HOST: shop.example}    # what ${NAME} stands for
    proxy: {normalize: false}       # how Envoy stands before it, see Proxy
    cases:
      - it: lets the owner read
        request: {path: /orders/7, token: {sub: alice}}
        expect: {status: 200, reason: allowed, policies: [order.allow.owner]}
        envoy: {status: 400}        # where Envoy's client sees something else; without a reason, Envoy answers alone
        engines: {envoy: why it is left out}

Everything is strict: an unknown key, a value of another type or a repeated key is an error of the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from tests.harness.tokens import Token

ENGINES = ("pdp", "h2corn", "grpcio", "envoy")

_EXPECTED: Mapping[str, type | tuple[type, ...]] = {
    "status": int,
    "reason": str,
    "route": (str, type(None)),
    "policies": list,
    "upstream": dict,
    "absent": list,
    "challenge": (str, type(None)),
    "allow_origin": (str, type(None)),
    "content_type": (str, type(None)),
    "body": str,
    "grpc_status": int,
    "grpc_message": str,
    "upstream_path": str,
}
"""What can be said of an answer. `status` is the client's, `upstream` and `absent` are about the upstream's headers,
`grpc_status` and `grpc_message` are a gRPC client's, `challenge` is WWW-Authenticate, `allow_origin` is
Access-Control-Allow-Origin; `route`, `policies` and `reason`
are the decision's metadata."""


class CaseError(Exception):
    """A case file that does not say what it means."""


@dataclass(frozen=True, slots=True)
class CaseRequest:
    """One request, written as a client sends it."""

    path: str
    method: str = "GET"
    host: str = "shop.example"
    headers: tuple[tuple[str, str], ...] = ()
    """Raw, in order; `{token}` in a value stands for the minted token."""
    token: Token | None = None
    """Sent as `authorization: Bearer` unless a header's value has its place."""
    body: str = ""
    pad_body_to: int = 0
    """Spaces are added to the body up to this many bytes."""
    client: str = "127.0.0.1"
    """The connection's source address."""
    peer: str = ""
    """The SPIFFE ID in the client's certificate; empty: no TLS."""
    at: float | None = None
    """When the proxy received it, epoch seconds; only where no real proxy says so."""

    def raw_headers(self, now: float) -> tuple[tuple[str, str], ...]:
        """The headers with the token minted at `now`."""
        if self.token is None:
            return self.headers
        text = self.token.mint(now)
        if any("{token}" in value for _, value in self.headers):
            return tuple((name, value.replace("{token}", text)) for name, value in self.headers)
        return (*self.headers, ("authorization", f"Bearer {text}"))

    @property
    def body_bytes(self) -> bytes:
        return self.body.encode().ljust(self.pad_body_to)


@dataclass(frozen=True, slots=True)
class Proxy:
    """How Envoy stands before the set."""

    normalize: bool = True
    """Whether it normalises paths and refuses escaped slashes, as the generated configuration says."""
    underscores: bool = False
    """Whether it lets headers with underscores through."""
    failure_mode_allow: bool = False
    """Whether it lets through what the authorizer failed to answer: the setting that we advise against."""
    context_extensions: Mapping[str, str] = field(default_factory=dict)
    """What it tells the authorizer about the route."""


@dataclass(frozen=True, slots=True)
class Case:
    """A request and what must come of it."""

    it: str
    line: int
    request: CaseRequest
    expect: Mapping[str, Any]
    envoy: Mapping[str, Any] | None
    """What is expected instead where a real Envoy is in between."""
    left_out: Mapping[str, str]
    """Engines that cannot run it, with the reason."""

    def expected_of(self, engine: str) -> Mapping[str, Any]:
        return self.envoy if engine == "envoy" and self.envoy is not None else self.expect


@dataclass(frozen=True)
class CaseSet:
    """One policy set with its cases."""

    name: str
    policy: str
    files: Mapping[str, str]
    values: Mapping[str, str]
    proxy: Proxy
    cases: tuple[Case, ...]

    @property
    def peers(self) -> frozenset[str]:
        """The workloads that call it: they need a listener with TLS."""
        return frozenset(case.request.peer for case in self.cases if case.request.peer)


def read_case_sets(path: Path) -> tuple[CaseSet, ...]:
    """Read a case file.

    Raises:
        CaseError: it is malformed; the message says where.
    """
    try:
        documents = list(yaml.load_all(path.read_text(), Loader=_StrictLoader))
        sets = tuple(_read_set(document, path.stem, single=len(documents) == 1) for document in documents)
    except yaml.YAMLError as error:
        raise CaseError(f"{path.name}: {error}") from None
    except CaseError as error:
        raise CaseError(f"{path.name}: {error}") from None
    _refuse_repeated("set", [s.name for s in sets])
    _refuse_repeated("case", [case.it for s in sets for case in s.cases])
    return sets


class _StrictLoader(yaml.SafeLoader):
    """Refuses repeated keys, and tells each case its line."""


def _construct_mapping(loader: _StrictLoader, node: yaml.MappingNode) -> Iterator[dict[Any, Any]]:
    mapping: dict[Any, Any] = {}
    yield mapping
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node)
        if key in mapping:
            raise CaseError(f"line {key_node.start_mark.line + 1}: {key!r} is written twice")
        mapping[key] = loader.construct_object(value_node, deep=True)
    if "it" in mapping:
        mapping["line"] = node.start_mark.line + 1


_StrictLoader.add_constructor("tag:yaml.org,2002:map", _construct_mapping)


def _read_set(document: object, default_name: str, *, single: bool) -> CaseSet:
    known = {"set": str, "policy": str, "files": dict, "values": dict, "proxy": dict, "cases": list}
    given = _checked(document, known, "a set")
    _require(given, ("policy", "cases") if single else ("set", "policy", "cases"), "a set")
    proxy = _checked(given.get("proxy", {}), _PROXY, "proxy")
    return CaseSet(
        name=given.get("set", default_name),
        policy=given["policy"],
        files=_texts(given.get("files", {}), "files"),
        values=_texts(given.get("values", {}), "values"),
        proxy=Proxy(**proxy),
        cases=tuple(_read_case(case) for case in given["cases"]),
    )


def _read_case(document: object) -> Case:
    known = {"it": str, "line": int, "request": dict, "expect": dict, "envoy": dict, "engines": dict}
    given = _checked(document, known, "a case")
    _require(given, ("it", "request", "expect"), "a case")
    where = f"line {given['line']}"
    left_out = _texts(given.get("engines", {}), where)
    if unknown := left_out.keys() - set(ENGINES):
        raise CaseError(f"{where}: no such engine: {sorted(unknown)}")
    request = _read_request(given["request"], where)
    if request.at is not None and "envoy" not in left_out:
        raise CaseError(f"{where}: `at` cannot be told to a real Envoy: leave that engine out")
    expect = _expectation(given["expect"], where)
    _require(expect, ("status", "reason"), where)
    envoy = _expectation(given["envoy"], where) if "envoy" in given else None
    if envoy is not None:
        _require(envoy, ("status",), where)
    return Case(given["it"], given["line"], request, expect, envoy, left_out)


def _read_request(document: object, where: str) -> CaseRequest:
    known: dict[str, type | tuple[type, ...]] = {
        **dict.fromkeys(("path", "method", "host", "body", "client", "peer"), str),
        "headers": dict,
        "token": (dict, str),
        "mint": dict,
        "pad_body_to": int,
        "at": (int, float),
    }
    given = dict(_checked(document, known, where))
    _require(given, ("path",), where)
    headers = tuple(_headers(given.pop("headers", {}), where))
    claims, how = given.pop("token", None), given.pop("mint", {})
    if how and claims is None:
        raise CaseError(f"{where}: `mint` without a token")
    token = None if claims is None else Token(claims, **_checked(how, _MINT, f"{where}, mint"))
    return CaseRequest(headers=headers, token=token, **given)


_PROXY: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("normalize", "underscores", "failure_mode_allow"), bool),
    "context_extensions": dict,
}
_MINT: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys((f.name for f in fields(Token) if f.name != "claims"), str),
    "omit": list,
    "header": dict,
}


def _headers(document: Mapping[object, object], where: str) -> Iterator[tuple[str, str]]:
    for name, value in document.items():
        for one in value if isinstance(value, list) else [value]:
            if not isinstance(name, str) or not isinstance(one, str):
                raise CaseError(f"{where}: header {name!r} needs text, or a list of texts: quote it")
            yield name, one


def _expectation(document: object, where: str) -> Mapping[str, Any]:
    given = _checked(document, _EXPECTED, where)
    _texts(given.get("upstream", {}), where)
    return given


def _checked(document: object, known: Mapping[str, type | tuple[type, ...]], where: str) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        raise CaseError(f"{where}: a map is needed, not {document!r}")
    for key, value in document.items():
        if key not in known:
            raise CaseError(f"{where}: unknown key {key!r} (line {document.get('line', '?')})")
        wanted = known[key]
        if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
            raise CaseError(f"{where}: {key}: {value!r} is of the wrong type")
    return document


def _texts(document: object, where: str) -> Mapping[str, str]:
    if not isinstance(document, dict) or not all(isinstance(t, str) for item in document.items() for t in item):
        raise CaseError(f"{where}: a map of texts is needed, not {document!r}")
    return document


def _require(given: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in keys:
        if key not in given:
            raise CaseError(f"{where}: {key!r} is missing")


def _refuse_repeated(what: str, names: list[str]) -> None:
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise CaseError(f"more than one {what} is called {sorted(repeated)}")
