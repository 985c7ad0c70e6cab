"""The law of opa-envoy-plugin: bytes to bytes, or to a call that fails. Never raises.

Three outcomes that are not interchangeable. A decision is a boolean, or an object with one under `allowed`, and is
answered with code 0 or 7. A request that cannot be made into an input is a denial with 400 that says why. All else (an
undefined decision, a conflict, a value of the wrong shape, a deadline) fails the call, and what becomes of the request
is for the proxy's `failure_mode_allow` to say, which is off unless somebody switches it on.

Under `strict` our own law holds instead: what is not decided is a denial that nothing turns into an allow, the client
reads nothing of why, errors of built-ins count, and a boolean's reply is explicit.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from envoy.service.auth.v3 import external_auth_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2

from extauthz.authn.authenticator import NeedKeySet
from extauthz.check.opa_decision import DecisionRefusedError, is_allowed, write_reply
from extauthz.check.opa_input import EVERYTHING, InputBuilder
from extauthz.check.opa_policy import OpaQuery
from extauthz.check.request import CheckedRequest
from extauthz.check.response import ANSWERS, Body, build_response
from extauthz.errors import KeySetUnavailableError
from extauthz.languages.rego.evaluation import DEFAULT_BUDGET
from extauthz.languages.rego.failure import RegoConflictError, RegoEvaluationError, RegoLimitError
from extauthz.languages.rego.input_document import GrpcReader, InputRefusedError
from extauthz.languages.rego.program import Limits
from extauthz.languages.rego.value import UNDEFINED, Value
from extauthz.model.decision import Effect, Reason


@dataclass(frozen=True, slots=True)
class OpaRules:
    """How requests are answered: the part of the plugin's configuration that is about that, and our own."""

    dry_run: bool = False
    """Denials are told as allows."""
    parses_body: bool = True
    grpc: GrpcReader | None = None
    strict: bool = False
    """Our law instead of the incumbent's."""
    keeps_input: bool = False
    """Somebody wants the whole input of each answer, so that it is made whether the policy reads it or not."""
    budget: int = DEFAULT_BUDGET


class CallFailure(NamedTuple):
    """A status and no message."""

    code: int
    """google.rpc.Code."""
    message: str


class OpaError(NamedTuple):
    """Why there is no decision."""

    kind: str
    """As metrics count it."""
    message: str
    code: str | None = None
    """OPA's, for what happened in an evaluation."""
    place: str | None = None
    """Where in the policy, as `policy.rego:7`."""


class OpaAnswer(NamedTuple):
    """What a call is answered with, and what there is to log about it."""

    decision_id: str
    reply: bytes | CallFailure
    allowed: bool
    """What the policy decided, whatever a dry run made of it."""
    error: OpaError | None
    """None when there is a decision."""
    result: Value = None
    """The decision."""
    input: Value = None
    """None when there is none, or nobody wants it."""
    evaluation_seconds: float = 0.0
    failure: Exception | None = None
    """A defect of ours, for the service's log."""


class _Trouble(NamedTuple):
    """A kind of error as both laws answer it."""

    kind: str
    code: int
    reason: Reason
    """Under our own law."""


_UNREADABLE: Final = _Trouble("request_parse_error", code_pb2.INTERNAL, Reason.REQUEST_MALFORMED)
_REFUSED: Final = _Trouble("request_parse_error", code_pb2.PERMISSION_DENIED, Reason.REQUEST_MALFORMED)
_LATE: Final = _Trouble("check_request_timeout", code_pb2.DEADLINE_EXCEEDED, Reason.DEADLINE_EXCEEDED)
_CANCELLED: Final = _Trouble("eval_cancel_error", code_pb2.UNKNOWN, Reason.DEADLINE_EXCEEDED)
_CONFLICT: Final = _Trouble("eval_conflict_error", code_pb2.UNKNOWN, Reason.EVALUATION_ERROR)
_BUILTIN: Final = _Trouble("eval_builtin_error", code_pb2.UNKNOWN, Reason.EVALUATION_ERROR)
_UNDEFINED: Final = _Trouble("envoyauth_eval_error", code_pb2.UNKNOWN, Reason.NO_MATCHING_ALLOW)
_NO_POLICY: Final = _Trouble("envoyauth_eval_error", code_pb2.UNKNOWN, Reason.POLICY_SET_NOT_LOADED)
_MISSHAPEN: Final = _Trouble("envoyauth_result_error", code_pb2.UNKNOWN, Reason.EVALUATION_ERROR)
_NO_KEYS: Final = _Trouble("key_set_unavailable", code_pb2.UNAVAILABLE, Reason.KEY_SET_UNAVAILABLE)
_DEFECT: Final = _Trouble("internal_error", code_pb2.INTERNAL, Reason.INTERNAL_ERROR)
"""The incumbent knows no defects of its own."""


Identify: TypeAlias = Callable[[CheckedRequest, float], Mapping[str, Value] | NeedKeySet]
"""What there is to say of a request's caller, at a time in seconds since the epoch; or the key set that is missing."""


class OpaAnswerer:
    """Answers Checks under one policy."""

    def __init__(self, query: OpaQuery | None, rules: OpaRules, identify: Identify | None = None) -> None:
        """Answer by `query`; without one, no policy has arrived yet. `identify` adds members to the input."""
        self._query = query
        self._rules = rules
        self._identify = identify
        reads = frozenset() if query is None else EVERYTHING if rules.keeps_input else query.reads
        self._inputs = InputBuilder(reads, parses_body=rules.parses_body, grpc=rules.grpc)

    def answer(
        self, message: bytes, *, now_ns: int, deadline: float, clock: Callable[[], float]
    ) -> OpaAnswer | NeedKeySet:
        """Decide one serialised CheckRequest.

        Args:
            message: the request.
            now_ns: nanoseconds since the epoch.
            deadline: until when, on `clock`.
            clock: seconds of a clock that never jumps.

        Returns:
            The answer, or the key set that it is missing: fetch it and ask again.
        """
        decision_id = str(uuid.UUID(bytes=os.urandom(16), version=4))
        document: Value = None
        try:
            check_request = external_auth_pb2.CheckRequest.FromString(message)
            document = self._inputs.build(check_request)
            if self._identify is not None:
                caller = self._identify(CheckedRequest(check_request), now_ns / 1e9)
                if isinstance(caller, NeedKeySet):
                    return caller
                document |= caller
            began = clock()
            if began >= deadline:
                return self._failed(decision_id, _LATE, _LATE_MESSAGE, document)
            return self._decide(decision_id, document, now_ns, (began, deadline), clock)
        except DecodeError:
            return self._failed(decision_id, _UNREADABLE, "the message cannot be read as a CheckRequest", None)
        except InputRefusedError as error:
            return self._failed(decision_id, _REFUSED, str(error), None)
        except KeySetUnavailableError:
            return self._failed(decision_id, _NO_KEYS, "the caller's key set is missing", document)
        except RegoEvaluationError as error:  # the caller's roles are in doubt
            return self._failed(decision_id, _BUILTIN, str(error), document)
        except Exception as error:  # noqa: BLE001 - the last line: a bug must not become an answer we did not choose
            return self._failed(decision_id, _DEFECT, "internal error", document)._replace(failure=error)

    def refuse(self, reason: Reason, message: str, code: int) -> OpaAnswer:
        """Answer without looking at the message: it is too large, or there is no time."""
        decision_id = str(uuid.UUID(bytes=os.urandom(16), version=4))
        return self._failed(decision_id, _Trouble(str(reason), code, reason), message, None)

    def _decide(
        self,
        decision_id: str,
        document: Value,
        now_ns: int,
        period: tuple[float, float],
        clock: Callable[[], float],
    ) -> OpaAnswer:
        began, deadline = period
        rules = self._rules
        if self._query is None:
            return self._failed(decision_id, _NO_POLICY, _UNDEFINED_MESSAGE, document)
        limits = Limits(deadline, rules.budget)
        try:
            result = self._query.evaluate(document, now_ns=now_ns, strict=rules.strict, limits=limits, clock=clock)
        except RegoLimitError as error:
            is_late = clock() >= deadline
            logged = "context deadline reached during query execution" if is_late else str(error)
            return self._failed(decision_id, _CANCELLED, logged, document)
        except RegoConflictError as error:
            return self._failed(decision_id, _CONFLICT, error.problem, document, error.place)
        except RegoEvaluationError as error:
            return self._failed(decision_id, _BUILTIN, str(error), document)
        if result is UNDEFINED:
            return self._failed(decision_id, _UNDEFINED, _UNDEFINED_MESSAGE, document)
        seconds = clock() - began
        try:
            allowed = is_allowed(result)
            reply = write_reply(result, allowed, decision_id, dry_run=rules.dry_run, is_explicit=rules.strict)
        except DecisionRefusedError as error:
            return self._failed(decision_id, _MISSHAPEN, str(error), document)
        return OpaAnswer(decision_id, reply, allowed, None, result, document, seconds)

    def _failed(
        self, decision_id: str, trouble: _Trouble, message: str, document: Value, place: str | None = None
    ) -> OpaAnswer:
        is_evaluation = trouble in _IN_EVALUATION
        error = OpaError(trouble.kind, message, trouble.kind if is_evaluation else None, place)
        if self._rules.strict or trouble.reason is Reason.KEY_SET_UNAVAILABLE:  # the incumbent verifies nobody
            reply: bytes | CallFailure = _denial(trouble.reason, decision_id)
        elif trouble is _REFUSED:
            reply = _bad_request(f"{trouble.kind}: {message}")
        else:
            told = _CANCELLED_MESSAGE if trouble is _CANCELLED else message
            where = f"{place}: " if place else ""
            reply = CallFailure(trouble.code, f"{where}{trouble.kind}: {told}" if is_evaluation else told)
        return OpaAnswer(decision_id, reply, allowed=False, error=error, input=document)


_IN_EVALUATION: Final = frozenset({_CANCELLED, _CONFLICT, _BUILTIN})
"""Errors that OPA tells with a code of its own."""

_UNDEFINED_MESSAGE: Final = "undefined decision"
_LATE_MESSAGE: Final = "check request timed out before query execution: context deadline exceeded"
_CANCELLED_MESSAGE: Final = "caller cancelled query execution"


def _bad_request(text: str) -> bytes:
    response = external_auth_pb2.CheckResponse()
    response.status.code = code_pb2.PERMISSION_DENIED
    response.status.message = response.denied_response.body = text
    response.denied_response.status.code = 400
    return bytes(response.SerializeToString())


def _denial(reason: Reason, decision_id: str) -> bytes:
    """A denial under our own law."""
    answering = ANSWERS[reason]
    problem = {
        "type": "about:blank",
        "title": answering.title,
        "status": answering.status,
        "decision_id": decision_id,
    }
    response = build_response(answering, Body("application/problem+json", json.dumps(problem)), None, ())
    for name, value in {"decision_id": decision_id, "effect": str(Effect.DENY), "reason": str(reason)}.items():
        response.dynamic_metadata.fields[name].string_value = value
    return bytes(response.SerializeToString())
