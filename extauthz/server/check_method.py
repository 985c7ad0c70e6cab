"""Envoy's Check: reads the message, asks the answerer, sends its reply. The same on every transport.

INVARIANT: whatever a request can provoke is a denial. A status other than OK, which a proxy may take for an error to
let through, is left to calls that break the protocol.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from extauthz.authn.authenticator import NeedKeySet
from extauthz.authorizer import Need, NeedEngine
from extauthz.check.answer import Answer, Answerer
from extauthz.model.access import Deadline, Facts
from extauthz.model.decision import Reason
from extauthz.model.engine import EngineAnswer
from extauthz.server.admission import Admission
from extauthz.server.call import Call, CallError, ClientGoneError, MessageTooLargeError

AUTHORIZATION_SERVICE: Final = "envoy.service.auth.v3.Authorization"
CHECK_PATH: Final = f"/{AUTHORIZATION_SERVICE}/Check"

MAX_MESSAGE_BYTES: Final = 4 * 1024 * 1024
"""The usual limit of gRPC servers. A client can provoke more (a large body, many headers), so beyond it is a denial."""

MAX_FETCHES: Final = 2
"""Key sets fetched for one request: the one it names, and once more if that rotated meanwhile."""

OURS_OF_THE_CALLERS: Final = 0.75
"""The part of the caller's timeout that we use: an answer that arrives after it is an error over there."""


WAITING_PART: Final = 0.5
"""The part of its time that a request may wait for its turn. The rest is for the decision, and for the wait before,
in the HTTP layer, which we do not see."""


class AskEngine(Protocol):
    """Asks the remote engine about a request, within so many seconds; an answer comes in any case."""

    def __call__(self, facts: Facts, seconds: float, /) -> Awaitable[EngineAnswer]: ...


class Observer(Protocol):
    """Told of every answer once it is sent, by whom it was given, how long it took, and to which call."""

    def __call__(self, answer: Answer, answerer: Answerer, seconds: float, call: Call, /) -> None: ...


@dataclass(frozen=True, slots=True)
class CheckLimits:
    """What one request may take."""

    deadline_seconds: float
    """From its arrival to its answer; the caller's own timeout may leave less."""
    capacity: int
    """How many requests may wait: for their turn, and for a key set or an engine."""


class CheckMethod:
    """`envoy.service.auth.v3.Authorization/Check`.

    `answerer` is replaced by whoever loads policies; a call uses the one in force when it arrived. `ask_engine` is put
    in place by whoever gives answerers an engine.
    """

    def __init__(
        self,
        answerer: Answerer,
        *,
        fetch: Callable[[NeedKeySet], Awaitable[None]],
        observe: Observer,
        on_failure: Callable[[Exception], None],
        admission: Admission,
        limits: CheckLimits,
        clock: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:
        """Answer with `answerer` until another is put in its place.

        Args:
            answerer: decides.
            fetch: gets a missing key set; returns when it is there or could not be had, and never raises.
            observe: told of every answer.
            on_failure: told of every exception that was answered with `internal_error`.
            admission: lets requests in.
            limits: what a request may take.
            clock: seconds since the epoch.
            monotonic: seconds of a clock that never jumps.
        """
        self.answerer = answerer
        self.ask_engine: AskEngine = _ask_nobody
        self._fetch = fetch
        self._observe = observe
        self._on_failure = on_failure
        self._admission = admission
        self._limits = limits
        self._clock = clock
        self._monotonic = monotonic
        self._awaiting = 0
        # Built ahead, so that it is there even when building an answer is what fails.
        self._last_resort = answerer.refuse(Reason.INTERNAL_ERROR)

    @property
    def waiting(self) -> int:
        """Calls that wait now: for their turn, for a key set, or for an engine."""
        return self._admission.parked + self._awaiting

    async def __call__(self, call: Call) -> None:
        """Answer one call."""
        started = self._monotonic()
        budget = self._budget(call.granted_seconds())
        answerer = self.answerer
        try:
            until = started + budget * WAITING_PART
            if self._admission.enters_at_once(budget) or await self._admission.wait(started, until):
                answer = await self._answer(answerer, call, started + budget)
            else:
                answer = answerer.refuse(Reason.OVERLOADED)
        except CallError as error:
            await call.refuse(error.status, str(error))
            return
        except ClientGoneError:
            return
        except Exception as error:  # noqa: BLE001 - the law: whatever a request provokes is a denial
            self._on_failure(error)
            answer = self._last_resort
        if self._admission.wants_sounding():
            async with self._admission.sounded(call.over()):
                await call.reply(answer.reply)
                self._report(call, answer, answerer, started)
        else:
            await call.reply(answer.reply)
            self._report(call, answer, answerer, started)

    def _report(self, call: Call, answer: Answer, answerer: Answerer, started: float) -> None:
        try:
            self._observe(answer, answerer, self._monotonic() - started, call)
            if answer.failure is not None:
                self._on_failure(answer.failure)
        except Exception as error:  # noqa: BLE001 - the answer is out: nothing may be sent any more
            self._on_failure(error)

    def _budget(self, granted: float | None) -> float:
        """Seconds until we must have answered."""
        if granted is None:
            return self._limits.deadline_seconds
        return min(self._limits.deadline_seconds, granted * OURS_OF_THE_CALLERS)

    async def _answer(self, answerer: Answerer, call: Call, deadline: float) -> Answer:
        try:
            message = await call.read(MAX_MESSAGE_BYTES)
        except MessageTooLargeError:
            return answerer.refuse(Reason.REQUEST_TOO_LARGE)
        answer = self._ask(answerer, message, deadline)
        return (
            answer if isinstance(answer, Answer) else await self._answer_with_need(answerer, message, answer, deadline)
        )

    async def decide(self, message: bytes) -> Answer:
        """Answer one message that did not come as a call: not admitted, not observed."""
        answerer, deadline = self.answerer, self._monotonic() + self._limits.deadline_seconds
        answer = self._ask(answerer, message, deadline)
        return (
            answer if isinstance(answer, Answer) else await self._answer_with_need(answerer, message, answer, deadline)
        )

    def _ask(self, answerer: Answerer, message: bytes, deadline: float) -> Answer | Need:
        return answerer.answer(message, self._clock(), Deadline(deadline, self._monotonic))

    async def _answer_with_need(self, answerer: Answerer, message: bytes, need: Need, deadline: float) -> Answer:
        """Get what is missing, within the deadline."""
        if self._awaiting >= self._limits.capacity:
            return answerer.could_not_decide(message, Reason.OVERLOADED)
        self._awaiting += 1
        answer: Answer | Need = need
        fetches = 0
        try:
            async with asyncio.timeout(deadline - self._monotonic()):
                while isinstance(answer, NeedKeySet) and fetches < MAX_FETCHES:
                    await self._fetch(answer)
                    fetches += 1
                    answer = self._ask(answerer, message, deadline)
            if isinstance(answer, NeedEngine):  # keeps the time itself: it has to know whether that ran out
                engine_answer = await self.ask_engine(answer.facts, deadline - self._monotonic())
                return answerer.conclude(answer, engine_answer)
        except TimeoutError:
            return answerer.could_not_decide(message, Reason.DEADLINE_EXCEEDED)
        finally:
            self._awaiting -= 1
        return answer if isinstance(answer, Answer) else answerer.could_not_decide(message, Reason.KEY_SET_UNAVAILABLE)


async def _ask_nobody(_facts: Facts, _seconds: float) -> EngineAnswer:
    return EngineAnswer(Reason.ENGINE_UNAVAILABLE)
