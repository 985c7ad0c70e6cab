"""Decision -> CheckResponse. `build_response` alone builds them, and it is told the outcome.

A default-constructed CheckResponse means ALLOW to Envoy, and a denied_response under `status.code` 0 does too. So:
`status.code` is OK exactly if the effect is ALLOW exactly if `ok_response` is set; denials carry 7 or 16.
`error_response` with 14 (which `failure_mode_allow` may turn into an allow) is written only where the caller says that
no policy set is loaded, or that the operator opted in.

Serialising a message costs more than a decision, and all requests of one shape get the same one but for the decision
id and the upstream headers. So each shape is serialised once, with a placeholder for the id, and cut there. Header
values are appended: concatenated messages are merged messages (protobuf, Encoding, "Last One Wins").
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf import json_format
from google.rpc import code_pb2

from extauthz.model.access import JsonValue
from extauthz.model.decision import Decision, Effect, PolicyId, Reason, ReplyDetails
from extauthz.model.policy import ResponseFormat, ResponseSettings
from extauthz.pdp.cross_origin import readable_headers

DECISION_ID_LENGTH = 20


@dataclass(frozen=True, slots=True)
class Answering:
    """How a reason is told to Envoy and to the client."""

    code: int
    """google.rpc.Code."""
    status: int
    """HTTP status; for an allow, what the decision counts as in logs."""
    title: str


@dataclass(frozen=True, slots=True)
class Body:
    """What a denied client reads."""

    media_type: str | None
    text: str


_OK, _DENIED, _UNAUTHENTICATED = code_pb2.OK, code_pb2.PERMISSION_DENIED, code_pb2.UNAUTHENTICATED
_ALLOWED = Answering(_OK, 200, "OK")
_BAD_REQUEST = Answering(_DENIED, 400, "Bad Request")
_TOO_LARGE = Answering(_DENIED, 413, "Content Too Large")
_UNAUTHORIZED = Answering(_UNAUTHENTICATED, 401, "Unauthorized")
_FORBIDDEN = Answering(_DENIED, 403, "Forbidden")
# Code 7, not 14: Envoy treats it as a denial whatever failure_mode_allow says.
_COULD_NOT_DECIDE = Answering(_DENIED, 503, "Service Unavailable")
_NOT_LOADED = Answering(code_pb2.UNAVAILABLE, 503, "Service Unavailable")

ANSWERS: dict[Reason, Answering] = {
    Reason.ALLOWED: _ALLOWED,
    Reason.PREFLIGHT: _ALLOWED,
    Reason.REQUEST_MALFORMED: _BAD_REQUEST,
    Reason.REQUEST_TOO_LARGE: _TOO_LARGE,
    Reason.PATH_AMBIGUOUS: _BAD_REQUEST,
    Reason.HOST_INVALID: _BAD_REQUEST,
    Reason.CREDENTIALS_AMBIGUOUS: _BAD_REQUEST,
    Reason.CREDENTIAL_MISSING: _UNAUTHORIZED,
    Reason.TOKEN_MALFORMED: _UNAUTHORIZED,
    Reason.ISSUER_UNKNOWN: _UNAUTHORIZED,
    Reason.ALGORITHM_NOT_ALLOWED: _UNAUTHORIZED,
    Reason.KEY_UNKNOWN: _UNAUTHORIZED,
    Reason.SIGNATURE_INVALID: _UNAUTHORIZED,
    Reason.AUDIENCE_MISMATCH: _UNAUTHORIZED,
    Reason.TOKEN_EXPIRED: _UNAUTHORIZED,
    Reason.TOKEN_NOT_YET_VALID: _UNAUTHORIZED,
    Reason.CLAIM_MISSING: _UNAUTHORIZED,
    Reason.CLAIM_INVALID: _UNAUTHORIZED,
    Reason.API_KEY_UNKNOWN: _UNAUTHORIZED,
    Reason.NO_ROUTE: _FORBIDDEN,
    Reason.DENIED_BY_POLICY: _FORBIDDEN,
    Reason.REQUIREMENT_FAILED: _FORBIDDEN,
    Reason.EVALUATION_ERROR: _FORBIDDEN,
    Reason.NO_MATCHING_ALLOW: _FORBIDDEN,
    Reason.INSUFFICIENT_SCOPE: _FORBIDDEN,
    Reason.UPSTREAM_HEADER_INVALID: _FORBIDDEN,
    Reason.DENIED_BY_ENGINE: _FORBIDDEN,
    Reason.KEY_SET_UNAVAILABLE: _COULD_NOT_DECIDE,
    Reason.ENGINE_UNAVAILABLE: _COULD_NOT_DECIDE,
    Reason.DEADLINE_EXCEEDED: _COULD_NOT_DECIDE,
    Reason.OVERLOADED: _COULD_NOT_DECIDE,
    Reason.INTERNAL_ERROR: _COULD_NOT_DECIDE,
    Reason.POLICY_SET_NOT_LOADED: _NOT_LOADED,
}

_NO_DETAILS = ReplyDetails()
# Stands for the id in a serialised reply. Random, so that no policy text can hold it.
_PLACEHOLDER = secrets.token_hex(DECISION_ID_LENGTH // 2)


def status_of(decision: Decision) -> int:
    """The HTTP status that a decision comes to; 200 for an allow."""
    return ANSWERS[decision.reason].status if decision.given_status is None else decision.given_status


class ReplyWriter:
    """Writes decisions as serialised CheckResponses under one policy set's settings."""

    def __init__(self, responses: ResponseSettings, revision: str, *, unavailable_as_error: bool = False) -> None:
        self._responses = responses
        self._revision = revision
        self._unavailable_as_error = unavailable_as_error
        self._cut_reply = lru_cache(maxsize=4096)(self._serialise_shape)

    def write(
        self, decision: Decision, decision_id: str, *, grpc_caller: bool = False, readable_by: str | None = None
    ) -> bytes:
        """The reply for one decision.

        Args:
            decision: what was decided.
            decision_id: exactly `DECISION_ID_LENGTH` ASCII characters: the reply is cut where such an id stands.
            grpc_caller: the client speaks gRPC; Envoy turns the body into grpc-message, so it is the short title.
            readable_by: the web origin, or `*`, whose scripts may read a denial; one that the policy lists.
        """
        reply = self._write(decision, decision_id, grpc_caller=grpc_caller)
        if readable_by is None or not self._is_denial(decision):
            return reply
        return reply + _serialise_readable_by(readable_by)

    def _is_denial(self, decision: Decision) -> bool:
        """Whether a denied_response is written: adding to it would make an error_response one."""
        answering = self._answering(decision.reason)
        return answering is not _ALLOWED and answering is not _NOT_LOADED

    def _answering(self, reason: Reason) -> Answering:
        answering = ANSWERS[reason]
        return _NOT_LOADED if self._unavailable_as_error and answering is _COULD_NOT_DECIDE else answering

    def _write(self, decision: Decision, decision_id: str, *, grpc_caller: bool) -> bytes:
        if decision.details is not None:
            return self._write_details(decision, decision.details, decision_id, grpc_caller=grpc_caller)
        pieces = self._cut_reply(
            decision.reason,
            decision.route,
            decision.policies,
            decision.challenge,
            decision.upstream.remove,
            grpc_caller,
        )
        reply = decision_id.encode().join(pieces)
        if decision.effect is Effect.ALLOW:
            for name, value in decision.upstream.set:
                reply += _serialise_upstream_header(name, value)
        return reply

    def _write_details(
        self, decision: Decision, details: ReplyDetails, decision_id: str, *, grpc_caller: bool
    ) -> bytes:
        """A reply of which the policy says more itself; few are alike, so none is kept."""
        answering = replace(ANSWERS[decision.reason], status=status_of(decision))
        body = self._body(answering, grpc_caller=grpc_caller)
        if details.body is not None:
            body = Body(None, details.body)
        response = build_response(answering, body, decision.challenge, decision.upstream.remove, details)
        metadata = {**details.metadata, **self._metadata(decision.reason, decision.route, decision.policies)}
        json_format.ParseDict(metadata, response.dynamic_metadata)
        reply = bytes(response.SerializeToString()).replace(_PLACEHOLDER.encode(), decision_id.encode())
        return reply + b"".join(_serialise_upstream_header(name, value) for name, value in decision.upstream.set)

    def _metadata(self, reason: Reason, route: str | None, policies: tuple[PolicyId, ...]) -> dict[str, JsonValue]:
        return {
            "decision_id": _PLACEHOLDER,
            "effect": str(Effect.ALLOW if ANSWERS[reason] is _ALLOWED else Effect.DENY),
            "reason": str(reason),
            "route": route,
            "policies": list(policies),
            "revision": self._revision,
        }

    def _serialise_shape(
        self,
        reason: Reason,
        route: str | None,
        policies: tuple[PolicyId, ...],
        challenge: str | None,
        removed: tuple[str, ...],
        grpc_caller: bool,  # noqa: FBT001 - lru_cache keys by position
    ) -> list[bytes]:
        answering = self._answering(reason)
        response = build_response(answering, self._body(answering, grpc_caller=grpc_caller), challenge, removed)
        json_format.ParseDict(self._metadata(reason, route, policies), response.dynamic_metadata)
        return bytes(response.SerializeToString()).split(_PLACEHOLDER.encode())

    def _body(self, answering: Answering, *, grpc_caller: bool) -> Body:
        if grpc_caller:
            return Body(None, answering.title)
        match self._responses.format:
            case ResponseFormat.PROBLEM:
                problem = {
                    "type": "about:blank",
                    "title": answering.title,
                    "status": answering.status,
                    "decision_id": _PLACEHOLDER,
                }
                return Body("application/problem+json", json.dumps(problem))
            case ResponseFormat.TEXT:
                return Body("text/plain; charset=utf-8", f"{answering.title} (decision {_PLACEHOLDER})\n")
            case ResponseFormat.EMPTY:
                return Body(None, "")


def build_response(
    answering: Answering,
    body: Body,
    challenge: str | None,
    removed: Iterable[str],
    details: ReplyDetails = _NO_DETAILS,
) -> external_auth_pb2.CheckResponse:
    """The one place where a CheckResponse comes from."""
    response = external_auth_pb2.CheckResponse()
    response.status.code = answering.code
    if answering.code == _OK:
        response.ok_response.SetInParent()
        response.ok_response.headers_to_remove.extend(removed)
        _add_headers(response.ok_response.response_headers_to_add, details.headers)
        response.ok_response.query_parameters_to_remove.extend(details.query_remove)
        for name, value in details.query_set:
            response.ok_response.query_parameters_to_set.add(key=name, value=value)
        return response
    denial = response.error_response if answering is _NOT_LOADED else response.denied_response
    denial.status.code = answering.status
    denial.body = body.text
    headers = {"cache-control": "no-store", "content-type": body.media_type, "www-authenticate": challenge}
    given = {name for name, _ in details.headers}
    own = [(name, value) for name, value in headers.items() if value is not None and name not in given]
    _add_headers(denial.headers, (*own, *details.headers))
    return response


def _add_headers(options: Any, headers: Iterable[tuple[str, str]]) -> None:
    """Each header once and for all, but one that is repeated: without more being said, Envoy overwrites."""
    seen: set[str] = set()
    for name, value in headers:
        option = options.add()
        option.header.key = name
        option.header.value = value
        if name in seen:
            option.append_action = HeaderValueOption.APPEND_IF_EXISTS_OR_ADD
        seen.add(name)


@lru_cache(maxsize=4096)
def _serialise_upstream_header(name: str, value: str) -> bytes:
    """A fragment that, appended to an allowing reply, sets one header: absent `append` overwrites every value."""
    fragment = external_auth_pb2.CheckResponse()
    option = fragment.ok_response.headers.add()
    option.header.key = name
    option.header.value = value
    return bytes(fragment.SerializeToString())


@lru_cache(maxsize=4096)
def _serialise_readable_by(origin: str) -> bytes:
    """A fragment that, appended to a denial, lets scripts of that origin read it."""
    fragment = external_auth_pb2.CheckResponse()
    for name, value in readable_headers(origin).items():
        option = fragment.denied_response.headers.add()
        option.header.key = name
        option.header.value = value
    return bytes(fragment.SerializeToString())
