"""A small reader of RBAC principals, for tests that ask which policy of a filter a request's line and headers match."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import re2

from extauthz.lowering.formula import Formula, as_principal


class HttpRequest(NamedTuple):
    """What such a principal may look at."""

    method: str
    path: str
    host: str
    headers: Mapping[str, str] = {}


def first_match(policies: Mapping[str, Formula], request: HttpRequest) -> str | None:
    """The policy that Envoy would name: the first by name that matches."""
    return next((name for name in sorted(policies) if holds(as_principal(policies[name]), request)), None)


def holds(principal: Any, request: HttpRequest) -> bool:
    """Whether the principal matches (envoy.config.rbac.v3.Principal)."""
    match principal:
        case {"any": True}:
            return True
        case {"not_id": inner}:
            return not holds(inner, request)
        case {"and_ids": {"ids": ids}}:
            return all(holds(i, request) for i in ids)
        case {"or_ids": {"ids": ids}}:
            return any(holds(i, request) for i in ids)
        case {"url_path": {"path": string_match}}:
            return _takes(string_match, request.path.partition("?")[0])
        case {"header": {"name": name, "string_match": string_match}}:
            known = {**request.headers, ":method": request.method, ":authority": request.host}
            return name in known and _takes(string_match, known[name])
        case {"header": {"name": name, "present_match": True}}:
            return name in request.headers
        case unknown:
            raise AssertionError(unknown)


def _takes(string_match: Any, text: str) -> bool:
    if "exact" in string_match:
        return bool(string_match["exact"] == text)
    return re2.fullmatch(string_match["safe_regex"]["regex"], text) is not None
