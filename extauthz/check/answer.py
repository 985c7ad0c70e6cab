"""Bytes to bytes: a serialised CheckRequest in, a serialised CheckResponse out. Never raises.

What a request can provoke is answered, never failed: a message that cannot be parsed, an internal error and a missing
key set are denials with code 7, which Envoy honours whatever `failure_mode_allow` says.
"""

from __future__ import annotations

import itertools
import secrets
from typing import NamedTuple

from extauthz.authorizer import Need, NeedEngine, Snapshot, authorize, conclude
from extauthz.check.request import read_check_request
from extauthz.check.response import DECISION_ID_LENGTH, ReplyWriter
from extauthz.errors import RequestError
from extauthz.model.access import AccessRequest, Deadline
from extauthz.model.decision import Decision, Effect, Reason
from extauthz.model.engine import EngineAnswer
from extauthz.model.policy import ResponseSettings
from extauthz.pdp.cross_origin import reader_of

_COUNTER_LENGTH = 10
# One prefix a process, so that ids of replicas and restarts do not meet.
_ID_PREFIX = secrets.token_hex((DECISION_ID_LENGTH - _COUNTER_LENGTH) // 2)
_ID_COUNTER = itertools.count(1)


def new_decision_id() -> str:
    """Unique among all processes' decisions; says nothing about the request."""
    return f"{_ID_PREFIX}{next(_ID_COUNTER):010x}"


class Answer(NamedTuple):
    """A reply and what it says."""

    reply: bytes
    decision: Decision
    request: AccessRequest | None
    """None when the message held no HTTP request."""
    decision_id: str
    failure: Exception | None = None
    """What went wrong inside, for the log; the reply is then `internal_error`."""
    revision: str = ""
    """Of the policy set that was in force; empty before one is loaded."""


class Answerer:
    """Answers Checks under one snapshot. Without one, every answer is `policy_set_not_loaded`."""

    def __init__(self, snapshot: Snapshot | None, *, unavailable_as_error: bool = False) -> None:
        """Start answering.

        Args:
            snapshot: the policy set in force; None until one is loaded.
            unavailable_as_error: answer "could not decide" by an error, which `failure_mode_allow` may let through.
        """
        self.snapshot = snapshot
        self._revision = snapshot.revision if snapshot else ""
        responses = snapshot.policy_set.responses if snapshot else ResponseSettings()
        routes = snapshot.policy_set.routes if snapshot else ()
        self._origins: dict[str | None, tuple[str, ...]] = {
            route.name: route.cors_origins for route in routes if route.cors_origins
        }
        self._writer = ReplyWriter(responses, self._revision, unavailable_as_error=unavailable_as_error)

    def answer(self, message: bytes, now: float, deadline: Deadline | None = None) -> Answer | Need:
        """Decide one serialised CheckRequest.

        Args:
            message: the request.
            now: seconds since the epoch.
            deadline: as for `authorize`.

        Returns:
            The answer, or what it is missing: a key set, to be fetched before this is asked again, or the say of a
            remote engine, to be given to `conclude`.
        """
        request = None
        try:
            if self.snapshot is None:
                return self.refuse(Reason.POLICY_SET_NOT_LOADED)
            request = read_check_request(message)
            decision = authorize(request, self.snapshot, now, deadline)
            if not isinstance(decision, Decision):
                return decision
            return self._reply(decision, request)
        except RequestError as error:
            return self.refuse(error.reason)
        except Exception as error:  # noqa: BLE001 - the last line: a bug must not become an answer we did not choose
            return self._reply(_denial(Reason.INTERNAL_ERROR), request)._replace(failure=error)

    def conclude(self, need: NeedEngine, engine_answer: EngineAnswer) -> Answer:
        """The answer that was missing the engine's say."""
        request = need.facts.request
        try:
            if self.snapshot is None:
                return self.refuse(Reason.POLICY_SET_NOT_LOADED)
            return self._reply(conclude(need, engine_answer, self.snapshot), request)
        except Exception as error:  # noqa: BLE001 - as in `answer`
            return self._reply(_denial(Reason.INTERNAL_ERROR), request)._replace(failure=error)

    def could_not_decide(self, message: bytes, reason: Reason) -> Answer:
        """Answer a Check whose missing I/O did not come in time."""
        try:
            request = read_check_request(message)
        except RequestError as error:
            return self.refuse(error.reason)
        return self._reply(_denial(reason), request)

    def refuse(self, reason: Reason) -> Answer:
        """Answer without looking at the message: it is too large, malformed, or there is no time."""
        return self._reply(_denial(reason), None)

    def _reply(self, decision: Decision, request: AccessRequest | None) -> Answer:
        decision_id = new_decision_id()
        speaks_grpc = decision.effect is Effect.DENY and request is not None and _speaks_grpc(request)
        readable_by = self._readable_by(decision, request)
        reply = self._writer.write(decision, decision_id, grpc_caller=speaks_grpc, readable_by=readable_by)
        return Answer(reply, decision, request, decision_id, None, self._revision)

    def _readable_by(self, decision: Decision, request: AccessRequest | None) -> str | None:
        """Whose scripts may read a denial: those of the origin that asks, if the route lists it."""
        origins = self._origins.get(decision.route)
        if origins is None or request is None or decision.effect is Effect.ALLOW:
            return None
        return reader_of(origins, request.header_values("origin"))


def _speaks_grpc(request: AccessRequest) -> bool:
    # As Envoy's Grpc::Common::isGrpcRequestHeaders: grpc-web is not gRPC.
    content_types = request.header_values("content-type")
    return any(value == "application/grpc" or value.startswith("application/grpc+") for value in content_types)


def _denial(reason: Reason) -> Decision:
    return Decision(Effect.DENY, (), (), reason)
