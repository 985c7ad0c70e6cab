"""Envoy's Check as opa-envoy-plugin answers it: some answers are calls that fail. The same on every transport."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from google.rpc import code_pb2

from extauthz.authn.authenticator import NeedKeySet
from extauthz.check.opa_envoy import CallFailure, OpaAnswer, OpaAnswerer
from extauthz.model.decision import Reason
from extauthz.server.admission import Admission
from extauthz.server.call import Call, CallError, ClientGoneError, GrpcStatus, MessageTooLargeError
from extauthz.server.check_method import MAX_FETCHES, OURS_OF_THE_CALLERS, WAITING_PART, CheckLimits

_OVERLOADED: Final = "too many requests wait"


@dataclass(frozen=True, slots=True)
class OpaLimits(CheckLimits):
    """The same, and what the plugin's configuration says."""

    max_received_bytes: int
    """Of a message."""


class OpaCheckMethod:
    """`envoy.service.auth.v3.Authorization/Check`, by another law.

    `answerer` is replaced by whoever loads policies; a call uses the one in force when it arrived.
    """

    def __init__(
        self,
        answerer: OpaAnswerer,
        *,
        fetch: Callable[[NeedKeySet], Awaitable[None]],
        observe: Callable[[OpaAnswer, OpaAnswerer, float], None],
        on_failure: Callable[[Exception], None],
        admission: Admission,
        limits: OpaLimits,
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """As `CheckMethod`, but for what is other.

        Args:
            answerer: decides.
            fetch: gets a missing key set; never raises.
            observe: told of every answer, and how long it took, before it is sent.
            on_failure: told of every defect of ours.
            admission: lets requests in.
            limits: what a request may take.
            clock_ns: nanoseconds since the epoch.
            monotonic: seconds of a clock that never jumps.
        """
        self.answerer = answerer
        self._fetch = fetch
        self._observe = observe
        self._on_failure = on_failure
        self._admission = admission
        self._limits = limits
        self._clock_ns = clock_ns
        self._monotonic = monotonic
        self._fetching = 0

    @property
    def waiting(self) -> int:
        """Calls that wait now: for their turn, or for a key set."""
        return self._admission.parked + self._fetching

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        started = self._monotonic()
        answerer = self.answerer
        budget = self._budget(call.granted_seconds())
        try:
            until = started + budget * WAITING_PART
            if self._admission.enters_at_once(budget) or await self._admission.wait(started, until):
                message = await call.read(self._limits.max_received_bytes)
                answer = await self._answer(answerer, message, started + budget)
            else:
                answer = answerer.refuse(Reason.OVERLOADED, _OVERLOADED, code_pb2.RESOURCE_EXHAUSTED)
        except CallError as error:
            await call.refuse(error.status, str(error))
            return
        except MessageTooLargeError:
            text = f"grpc: received message larger than max ({self._limits.max_received_bytes} bytes)"
            answer = answerer.refuse(Reason.REQUEST_TOO_LARGE, text, code_pb2.RESOURCE_EXHAUSTED)
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 - the last line: a bug must not become an answer we did not choose
            self._on_failure(error)
            answer = answerer.refuse(Reason.INTERNAL_ERROR, "internal error", code_pb2.INTERNAL)
        self._tell(answer, answerer, self._monotonic() - started)
        if self._admission.wants_sounding():
            async with self._admission.sounded(call.over()):
                await self._send(call, answer)
        else:
            await self._send(call, answer)

    async def _send(self, call: Call, answer: OpaAnswer) -> None:
        if isinstance(answer.reply, CallFailure):
            await call.refuse(GrpcStatus(answer.reply.code), answer.reply.message)
        else:
            await call.reply(answer.reply)

    def _tell(self, answer: OpaAnswer, answerer: OpaAnswerer, seconds: float) -> None:
        try:
            self._observe(answer, answerer, seconds)
            if answer.failure is not None:
                self._on_failure(answer.failure)
        except Exception as error:  # noqa: BLE001 - the answer is what it is
            self._on_failure(error)

    def _budget(self, granted: float | None) -> float:
        """Seconds until we must have answered."""
        if granted is None:
            return self._limits.deadline_seconds
        return min(self._limits.deadline_seconds, granted * OURS_OF_THE_CALLERS)

    async def _answer(self, answerer: OpaAnswerer, message: bytes, deadline: float) -> OpaAnswer:
        answer = answerer.answer(message, now_ns=self._clock_ns(), deadline=deadline, clock=self._monotonic)
        if isinstance(answer, NeedKeySet):
            return await self._answer_with_keys(answerer, message, answer, deadline)
        return answer

    async def _answer_with_keys(
        self, answerer: OpaAnswerer, message: bytes, need: NeedKeySet, deadline: float
    ) -> OpaAnswer:
        """Fetch what is missing and ask again, within the deadline."""
        if self._fetching >= self._limits.capacity:
            return answerer.refuse(Reason.OVERLOADED, _OVERLOADED, code_pb2.RESOURCE_EXHAUSTED)
        self._fetching += 1
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                for _ in range(MAX_FETCHES):
                    await self._fetch(need)
                    answer = answerer.answer(message, now_ns=self._clock_ns(), deadline=deadline, clock=self._monotonic)
                    if not isinstance(answer, NeedKeySet):
                        return answer
                    need = answer
        except TimeoutError:
            pass  # answered as any other key set that cannot be had
        finally:
            self._fetching -= 1
        return answerer.refuse(Reason.KEY_SET_UNAVAILABLE, "the caller's key set is missing", code_pb2.UNAVAILABLE)
