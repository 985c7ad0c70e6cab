"""What came of a request, told the same way by every engine, and how that differs from what a case expects."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.harness.case import CaseRequest

GRPC_STATUS_OF_HTTP = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
"""What a gRPC client gets instead of an HTTP status (Envoy's `Grpc::Utility::httpToGrpcStatus`); else 2."""

_DECISION_ID = re.compile(r"[0-9a-f]{20}")


@dataclass(frozen=True, slots=True)
class Told:
    """The decision's dynamic metadata."""

    decision_id: str
    effect: str
    reason: str
    route: str | None
    policies: Sequence[str]
    revision: str


@dataclass(frozen=True, slots=True)
class Upstream:
    """What reached the upstream."""

    path: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client got, what the upstream got, and what was said about the decision."""

    status: int
    headers: Mapping[str, Sequence[str]]
    """The response's, by lower-case name."""
    body: bytes
    upstream: Upstream | None
    """None when the request did not pass."""
    told: Told | None
    """None when the proxy answered without asking."""
    native: str | None = None
    """The native policy by which the proxy let it pass without asking."""
    denied: str | None = None
    """The native policy that says how the proxy answered what it denied without asking."""
    wasm: str | None = None
    """What a module in the proxy decided: effect, reason, route and rule."""

    def header(self, name: str) -> str | None:
        values = self.headers.get(name, ())
        return ", ".join(values) if values else None


def is_grpc(request: CaseRequest) -> bool:
    """Whether the client speaks gRPC, by its content type."""
    types = [value for name, value in request.headers if name == "content-type"]
    return any(t == "application/grpc" or t.startswith("application/grpc+") for t in types)


def differences(expected: Mapping[str, Any], answer: Answer) -> list[str]:
    """Everything in which the answer is not what a case expects, and not what every answer must be."""
    found = [
        f"{name}: expected {wanted!r}, got {got!r}"
        for name, wanted in expected.items()
        if not _agrees(name, wanted, got := _aspect(name, answer))
    ]
    if "reason" not in expected and answer.told is not None:
        found.append(f"the proxy was to answer by itself, but we were asked: {answer.told}")
    return [*found, *_broken_laws(answer)]


def _agrees(name: str, wanted: Any, got: Any) -> bool:
    if name == "upstream":
        return got is not None and all(got.get(header) == value for header, value in wanted.items())
    if name == "absent":
        return got is not None and not got.keys() & set(wanted)
    return bool(wanted == got)


def _aspect(name: str, answer: Answer) -> Any:
    told, upstream = answer.told, answer.upstream
    match name:
        case "status":
            return answer.status
        case "upstream" | "absent":
            return upstream.headers if upstream else None
        case "upstream_path":
            return upstream.path if upstream else None
        case "challenge":
            return answer.header("www-authenticate")
        case "allow_origin":
            return answer.header("access-control-allow-origin")
        case "content_type":
            return answer.header("content-type")
        case "grpc_status":
            return int(answer.header("grpc-status") or -1)
        case "grpc_message":
            return answer.header("grpc-message")
        case "body":
            text = answer.body.decode()
            return text.replace(told.decision_id, "ID") if told else text
        case "reason" | "route" | "policies":
            return getattr(told, name) if told else "nothing: we were not asked"
        case unknown:
            raise AssertionError(unknown)


def _broken_laws(answer: Answer) -> Iterator[str]:
    """What holds for every answer, whatever the case."""
    told = answer.told
    if told is None:
        if answer.upstream is not None and answer.native is None and answer.wasm is None:
            yield "the request passed without a decision"
        return
    if not _DECISION_ID.fullmatch(told.decision_id):
        yield f"no decision id: {told.decision_id!r}"
    if (told.effect == "allow") is not (answer.upstream is not None):
        yield f"the effect is {told.effect}, but the request {'passed' if answer.upstream else 'did not pass'}"
    if told.effect == "allow" and not told.policies:
        yield "an allow without a policy that says so"
    if answer.upstream is None:
        # RFC 6750 gives the challenge a code of its own, and one of them reads like our reason.
        text = answer.body.decode() + json.dumps({**answer.headers, "www-authenticate": None})
        leaks = [word for word in (told.reason, told.revision, *told.policies) if "_" in word and word in text]
        if leaks:
            yield f"the client is told {leaks}"
        readable_by = answer.header("access-control-allow-origin")
        if (readable_by not in {None, "*"}) is not (answer.header("vary") == "origin"):
            yield f"a denial readable by {readable_by} that varies by {answer.header('vary')}"
        if answer.header("cache-control") != "no-store":
            yield "a denial that may be cached"
