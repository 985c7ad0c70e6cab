"""What one process decides with: the Check method, what it knows of tokens, and what it counts and logs."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from extauthz.authn.authenticator import KeySets, NeedKeySet, VerifiedTokens
from extauthz.authorizer import Snapshot, build_snapshot
from extauthz.check.answer import Answer, Answerer
from extauthz.model.access import Facts
from extauthz.model.engine import EngineAnswer
from extauthz.model.policy import PolicySet
from extauthz.server.admission import Admission
from extauthz.server.call import Call
from extauthz.server.check_method import CheckLimits, CheckMethod
from extauthz.telemetry.decision_log import DecisionLog
from extauthz.telemetry.tally import DecisionCounter, Tally
from extauthz.telemetry.tracing import DecisionTracer

if TYPE_CHECKING:  # most services record nothing, and start sooner without
    from extauthz.telemetry.recorder import Recorder


@dataclass(frozen=True, slots=True)
class DeciderSettings:
    """How requests are answered."""

    limits: CheckLimits
    unavailable_as_error: bool
    """Answer "could not decide" by an error, which the proxy's `failure_mode_allow` may let through."""


class Engine(Protocol):
    """A remote engine, asked and counted (`sources.opa.RemoteOpa`)."""

    answers: Counter[str]
    seconds: float

    async def ask(self, facts: Facts, seconds: float) -> EngineAnswer:
        """Its say, or that it could not be asked within so many seconds."""

    @property
    def is_left_alone(self) -> bool:
        """Whether it has not answered lately."""


class Decider:
    """Answers Checks, under no policy set until one is put into force. For one event loop, the running one."""

    def __init__(
        self,
        settings: DeciderSettings,
        *,
        key_sets: KeySets,
        fetch: Callable[[NeedKeySet], Awaitable[None]],
        on_failure: Callable[[Exception], None],
        clock: Callable[[], float],
        monotonic: Callable[[], float],
        engine: Engine | None = None,
    ) -> None:
        """Answer from now on; see `CheckMethod` for the arguments. Where there is an engine, it must allow, too."""
        self.counter = DecisionCounter()
        self.log: DecisionLog | None = None
        """Told of every answer, once there is one."""
        self.tracer: DecisionTracer | None = None
        """Likewise."""
        self.recorder: Recorder | None = None
        """Likewise."""
        self._settings = settings
        self._key_sets = key_sets
        self._engine = engine
        self._tokens = VerifiedTokens()
        self._has_snapshot = False
        self.check = CheckMethod(
            Answerer(None),
            fetch=fetch,
            observe=self._observe,
            on_failure=on_failure,
            admission=Admission(asyncio.get_running_loop(), capacity=settings.limits.capacity, monotonic=monotonic),
            limits=settings.limits,
            clock=clock,
            monotonic=monotonic,
        )
        if engine is not None:
            self.check.ask_engine = engine.ask

    def prepare(self, policy_set: PolicySet) -> Snapshot:
        """Compile a set, to be put into force later. In any thread."""
        return build_snapshot(policy_set, self._key_sets, self._tokens, has_engine=self._engine is not None)

    def put_into_force(self, snapshot: Snapshot) -> None:
        """From now on, calls that arrive are decided by this set."""
        self.counter.routes.name(route.name for route in snapshot.policy_set.routes)
        self.check.answerer = Answerer(snapshot, unavailable_as_error=self._settings.unavailable_as_error)
        settle_heap(collects=not self._has_snapshot)
        self._has_snapshot = True

    def read_tally(self) -> Tally:
        """What was counted until now."""
        tally = self.counter.tally
        tally.token_verifications = self._tokens.verifications
        tally.token_cache_hits = self._tokens.hits
        if self.log is not None:
            tally.decision_log_drops = self.log.dropped
            tally.decision_log_left_out = self.log.left_out
        if self._engine is not None:
            tally.engine_answers = self._engine.answers
            tally.engine_seconds = self._engine.seconds
            tally.engine_left_alone = int(self._engine.is_left_alone)
        tally.waiting = self.check.waiting
        return tally

    def _observe(self, answer: Answer, answerer: Answerer, seconds: float, call: Call) -> None:
        self.counter.observe(answer.decision, seconds)
        if self.log is not None:
            self.log.record(answer, answerer.snapshot.revision if answerer.snapshot else "", seconds)
        if self.tracer is not None:
            self.tracer.record(answer, seconds, call)
        if self.recorder is not None:
            self.recorder.record(answer, answerer.snapshot)


COLLECTION_THRESHOLDS: Final = (100_000, 10, 10)
"""Objects, younger and older generations (`gc.set_threshold`). A request leaves no cycles, and a thousand in flight are
some 40,000 objects, which the usual threshold of 700 would have looked through again and again: a tenth of all CPU."""


def settle_heap(*, collects: bool) -> None:
    """Take a policy set out of the garbage collector's sight: it stays, and scanning it delays requests.

    Args:
        collects: clear away first what loading left, which takes a fifth of a second for a large set. Not while
            requests wait: sets hold no cycles (measured), so a replaced one goes by itself, frozen or not.
    """
    if collects:
        gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECTION_THRESHOLDS)
