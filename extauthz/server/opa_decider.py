"""What one process decides with as a drop-in for opa-envoy-plugin: the Check method, and what it counts and logs."""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from extauthz.authn.authenticator import KeySets, NeedKeySet, VerifiedTokens
from extauthz.authorizer import build_snapshot
from extauthz.check.opa_caller import CallerReader
from extauthz.check.opa_envoy import OpaAnswer, OpaAnswerer, OpaRules
from extauthz.check.opa_grpc_body import GrpcBodyReader
from extauthz.check.opa_input import EVERYTHING
from extauthz.check.opa_mask import OpaMask
from extauthz.check.opa_policy import DECISION, DROP, MASK, OpaPolicy, OpaQuery
from extauthz.model.decision import Effect
from extauthz.server.admission import Admission
from extauthz.server.decider import settle_heap
from extauthz.server.opa_check import OpaCheckMethod, OpaLimits
from extauthz.telemetry.failures import ErrorLogger, FailureReporter, WarningLogger
from extauthz.telemetry.opa_log import OpaDecisionLog, OpaLogForm
from extauthz.telemetry.sink import Sink
from extauthz.telemetry.tally import BUCKETS_SECONDS, Tally


class OpaLogger(ErrorLogger, WarningLogger, Protocol):
    """The part of a `Logger` that takes what happens here."""


@dataclass(frozen=True, slots=True)
class OpaDeciderSettings:
    """How requests are answered."""

    limits: OpaLimits
    dry_run: bool
    parses_body: bool
    strict: bool
    keeps_input: bool
    descriptors: bytes | None
    """A serialised FileDescriptorSet, for the bodies of gRPC calls."""
    buckets: tuple[float, ...] | None
    """Upper bounds of the plugin's own histogram; None where its metrics are not wanted."""


class OpaSnapshot:
    """A policy, compiled: what one decision is made by, whole."""

    def __init__(self, policy: OpaPolicy, rules: OpaRules, key_sets: KeySets, tokens: VerifiedTokens) -> None:
        """Compile it.

        Raises:
            PolicyError: the plan cannot be used.
        """
        program = policy.compiled()
        queries = {name: OpaQuery(program, entry) for name, entry in policy.entry_points.items()}
        decision = queries[DECISION]
        identify = None
        if policy.policy_set is not None:
            reads = EVERYTHING if rules.keeps_input else decision.reads
            identify = CallerReader(build_snapshot(policy.policy_set, key_sets, tokens), reads)
        self.bundles = policy.bundles
        self.answerer = OpaAnswerer(decision, rules, identify)
        self.masked_by = queries.get(MASK), queries.get(DROP)


class OpaDecider:
    """Answers Checks, under no policy until one is put into force. For one event loop, the running one."""

    tracer: None = None
    """Spans are for decisions of policy sets."""

    def __init__(
        self,
        settings: OpaDeciderSettings,
        *,
        key_sets: KeySets,
        fetch: Callable[[NeedKeySet], Awaitable[None]],
        on_failure: Callable[[Exception], None],
        clock_ns: Callable[[], int],
        monotonic: Callable[[], float],
    ) -> None:
        """Answer from now on; see `OpaCheckMethod` for the arguments.

        Raises:
            ConfigurationError: the descriptors cannot be used.
        """
        self.log: OpaDecisionLog | None = None
        """Told of every answer, once there is one."""
        self._tally = Tally()
        self._settings = settings
        self._key_sets = key_sets
        self._tokens = VerifiedTokens()
        self._clock_ns = clock_ns
        self._has_policy = False
        self._masking: OpaMask | None = None
        self._bundles: Mapping[str, str] = {}
        self._rules = OpaRules(
            dry_run=settings.dry_run,
            parses_body=settings.parses_body,
            grpc=None if settings.descriptors is None else GrpcBodyReader(settings.descriptors),
            strict=settings.strict,
            keeps_input=settings.keeps_input,
        )
        if settings.buckets is not None:
            self._tally.plugin_buckets = [0] * (len(settings.buckets) + 1)
        self.check = OpaCheckMethod(
            OpaAnswerer(None, self._rules),
            fetch=fetch,
            observe=self._observe,
            on_failure=on_failure,
            admission=Admission(asyncio.get_running_loop(), capacity=settings.limits.capacity, monotonic=monotonic),
            limits=settings.limits,
            clock_ns=clock_ns,
            monotonic=monotonic,
        )

    def prepare(self, policy: OpaPolicy) -> OpaSnapshot:
        """Compile a policy, to be put into force later. In any thread.

        Raises:
            PolicyError: it cannot be used.
        """
        return OpaSnapshot(policy, self._rules, self._key_sets, self._tokens)

    def put_into_force(self, snapshot: OpaSnapshot) -> None:
        """From now on, calls that arrive are decided by this policy."""
        self.check.answerer = snapshot.answerer
        self._bundles = snapshot.bundles
        self._masking = OpaMask(*snapshot.masked_by, clock_ns=self._clock_ns)
        settle_heap(collects=not self._has_policy)
        self._has_policy = True

    def read_tally(self) -> Tally:
        """What was counted until now."""
        tally = self._tally
        tally.token_verifications = self._tokens.verifications
        tally.token_cache_hits = self._tokens.hits
        if self.log is not None:
            tally.decision_log_drops = self.log.dropped
            tally.decision_log_left_out = self.log.left_out
        tally.waiting = self.check.waiting
        return tally

    def _observe(self, answer: OpaAnswer, _: OpaAnswerer, seconds: float) -> None:
        tally = self._tally
        error = answer.error
        effect = str(Effect.ALLOW if answer.allowed else Effect.DENY)
        reason = error.kind if error is not None else "allowed" if answer.allowed else "denied_by_policy"
        tally.decisions[effect, reason, ""] += 1
        tally.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        tally.seconds += seconds
        bounds = self._settings.buckets
        if error is not None:
            tally.plugin_errors[error.kind] += 1
        elif bounds is not None:
            tally.plugin_buckets[bisect_left(bounds, seconds)] += 1
            tally.plugin_seconds += seconds
        if self.log is not None:
            self.log.record(answer, self._bundles, self._masking, seconds)


def open_opa_decider(
    settings: OpaDeciderSettings,
    log: tuple[Sink, OpaLogForm] | None,
    *,
    key_sets: KeySets,
    fetch: Callable[[NeedKeySet], Awaitable[None]],
    logger: OpaLogger,
    on_log_failed: Callable[[OSError], None],
    clock_ns: Callable[[], int],
    monotonic: Callable[[], float],
) -> OpaDecider:
    """A decider with its log, if there is one.

    Raises:
        ConfigurationError: as `OpaDecider`.
    """
    decider = OpaDecider(
        settings,
        key_sets=key_sets,
        fetch=fetch,
        on_failure=FailureReporter(logger),
        clock_ns=clock_ns,
        monotonic=monotonic,
    )
    if log is not None:
        decider.log = OpaDecisionLog(
            *log,
            clock_ns=clock_ns,
            on_failure=on_log_failed,
            on_unmasked=lambda error: logger.warning("decision_log_unmasked", problem=str(error)),
        )
    return decider
