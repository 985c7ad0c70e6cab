"""Metrics: what the processes have counted, and the service's state, as Prometheus families when somebody asks.

prometheus_client's own counters take a lock each; here only event loops count, and a scrape reads what they hold at
that moment. INVARIANT: every label value comes from the policy or from a table of ours.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    UntypedMetricFamily,
)
from prometheus_client.registry import Collector

from extauthz import __version__
from extauthz.model.decision import Reason
from extauthz.telemetry.status import KeySetState, ServiceStatus
from extauthz.telemetry.tally import BUCKETS_SECONDS, Tally


class ServiceMetrics(Collector):
    """Reads everything from where it is known."""

    def __init__(
        self,
        status: ServiceStatus,
        *,
        clock: Callable[[], float],
        tally: Callable[[], Tally],
        refresh: Callable[[], Awaitable[None]] | None = None,
        plugin_bounds: Sequence[float] | None = None,
    ) -> None:
        """Expose what is known at each scrape.

        Args:
            status: the service's state.
            clock: seconds since the epoch.
            tally: what all processes that answer have counted so far.
            refresh: has `tally` know what other processes have counted until now; None where there are none.
            plugin_bounds: upper bounds of opa-envoy-plugin's own histogram; None where its metrics are not wanted.
        """
        self._status = status
        self._clock = clock
        self._tally = tally
        self._refresh = refresh
        self._plugin_bounds = plugin_bounds
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    async def scrape(self) -> bytes:
        """All metrics in Prometheus' text format, as they are now in all processes."""
        if self._refresh is not None:
            await self._refresh()
        return self.exposition()

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format, as this process knows them."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[Metric]:
        """The families, as prometheus_client's registry asks for them."""
        tally = self._tally()
        yield from _decision_families(tally)
        yield from _token_families(tally)
        yield from _decision_log_families(tally)
        yield from _engine_families(tally)
        if self._plugin_bounds is not None:
            yield from _plugin_families(tally, self._plugin_bounds)
        yield from self._state_families()
        yield from self._policy_families()
        yield from self._key_set_families()

    def _state_families(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("extauthz_build_info", "What runs; always 1.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield GaugeMetricFamily(
            "extauthz_ready",
            "Whether requests are decided by a policy, and will be.",
            value=float(self._status.is_ready),
        )
        yield from self._certificate_families()
        workers = self._status.workers
        if workers is not None:
            yield GaugeMetricFamily("extauthz_workers", "Worker processes that answer calls.", value=workers.serving)
            yield GaugeMetricFamily("extauthz_workers_wanted", "How many there are to be.", value=workers.count)
            yield CounterMetricFamily(
                "extauthz_worker_restarts", "Worker processes that had to be replaced.", value=workers.restarts
            )

    def _certificate_families(self) -> Iterator[Metric]:
        expiry = GaugeMetricFamily(
            "extauthz_certificate_expiry_timestamp_seconds",
            "When the certificate that is served expires.",
            labels=["listener"],
        )
        current = GaugeMetricFamily(
            "extauthz_certificate_last_load_successful",
            "Whether what the certificate's files hold now is served.",
            labels=["listener"],
        )
        for listener, certificate in sorted(self._status.certificates.items()):
            expiry.add_metric([listener], certificate.expires_at)
            current.add_metric([listener], float(certificate.is_current))
        yield expiry
        yield current

    def _policy_families(self) -> Iterator[Metric]:
        policy = self._status.policy
        info = GaugeMetricFamily(
            "extauthz_policy_info", "The policy set in force; always 1.", labels=["name", "revision"]
        )
        loaded_at = GaugeMetricFamily(
            "extauthz_policy_loaded_timestamp_seconds", "When the policy set in force was loaded."
        )
        if policy is not None:
            info.add_metric([policy.policy_set.name, policy.policy_set.revision], 1)
            loaded_at.add_metric([], policy.loaded_at)
        yield info
        yield loaded_at
        yield CounterMetricFamily(
            "extauthz_policy_load_failures",
            "Loads that left the last good set in force.",
            value=self._status.failed_loads,
        )
        yield GaugeMetricFamily(
            "extauthz_policy_last_load_successful",
            "Whether what the policy files hold now is in force.",
            value=float(policy is not None and self._status.failed_load is None),
        )

    def _key_set_families(self) -> Iterator[Metric]:
        age = GaugeMetricFamily(
            "extauthz_key_set_age_seconds", "Time since a provider's keys were last fetched.", labels=["provider"]
        )
        failures = CounterMetricFamily(
            "extauthz_key_set_fetch_failures", "Fetches of a provider's keys that failed.", labels=["provider"]
        )
        usable = GaugeMetricFamily(
            "extauthz_key_set_usable",
            "Whether a provider's tokens can be verified; if not, they are answered with 503.",
            labels=["provider"],
        )
        for provider, key_set in sorted(self._status.key_sets.items()):
            failures.add_metric([provider], key_set.failures)
            usable.add_metric([provider], float(key_set.state is not KeySetState.MISSING))
            if key_set.fetched_at is not None:
                age.add_metric([provider], max(0.0, self._clock() - key_set.fetched_at))
        yield age
        yield failures
        yield usable


def _token_families(tally: Tally) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "extauthz_token_verifications",
        "Tokens whose signature was verified; those known already are not counted.",
        value=tally.token_verifications,
    )
    yield CounterMetricFamily(
        "extauthz_token_cache_hits",
        "Tokens about which everything was known, that they are no good included.",
        value=tally.token_cache_hits,
    )


def _decision_log_families(tally: Tally) -> Iterator[Metric]:
    yield CounterMetricFamily(
        "extauthz_decision_log_dropped",
        "Decisions that should have been logged and were not: no room, or not writable.",
        value=tally.decision_log_drops,
    )
    yield CounterMetricFamily(
        "extauthz_decision_log_left_out",
        "Decisions that sampling left out of the decision log.",
        value=tally.decision_log_left_out,
    )


def _engine_families(tally: Tally) -> Iterator[Metric]:
    answers = CounterMetricFamily(
        "extauthz_engine_answers",
        "What came of asking the remote engine: what it said, or why it said nothing.",
        labels=["reason"],
    )
    for reason, count in sorted(tally.engine_answers.copy().items()):
        answers.add_metric([str(reason)], count)
    yield answers
    yield CounterMetricFamily(
        "extauthz_engine_seconds", "Time that those answers took, all together.", value=tally.engine_seconds
    )
    yield GaugeMetricFamily(
        "extauthz_engine_left_alone",
        "Processes that answer 503 without asking the remote engine, because it has not answered lately.",
        value=tally.engine_left_alone,
    )


def _plugin_families(tally: Tally, bounds: Sequence[float]) -> Iterator[Metric]:
    """What opa-envoy-plugin exposes, by its names."""
    latency = HistogramMetricFamily(
        "grpc_request_duration_seconds", "A histogram of duration for grpc authz requests.", labels=["handler"]
    )
    counts = tally.plugin_buckets or [0] * (len(bounds) + 1)  # workers tell theirs once they have begun
    latency.add_metric(["check"], _cumulated(bounds, counts), sum_value=tally.plugin_seconds)
    yield latency
    # Not a counter family: its samples' names would end in _total, which the incumbent's do not.
    errors = UntypedMetricFamily("error_counter", "A counter for errors", labels=["reason"])
    for kind, count in sorted(tally.plugin_errors.items()):
        errors.add_metric([kind], count)
    yield errors


def _cumulated(bounds: Sequence[float], counts: Sequence[int]) -> list[tuple[str, float]]:
    """A histogram's buckets, each with all that are below it."""
    return list(zip([*map(str, bounds), "+Inf"], map(float, accumulate(counts)), strict=True))


def _decision_families(tally: Tally) -> Iterator[Metric]:
    decisions = CounterMetricFamily("extauthz_decisions", "Answers given.", labels=["effect", "reason", "route"])
    counted = tally.decisions.copy()
    for (effect, reason, route), count in sorted(counted.items()):
        decisions.add_metric([str(effect), str(reason), route], count)
    yield decisions
    by_reason: Counter[str] = Counter()
    for (_, reason, _), count in counted.items():
        by_reason[reason] += count
    yield CounterMetricFamily(
        "extauthz_shed",
        "Requests refused because too many waited, or for too long.",
        value=by_reason[Reason.OVERLOADED],
    )
    yield CounterMetricFamily(
        "extauthz_deadline_misses",
        "Requests that were answered as could-not-decide because a key set or an engine did not answer in time.",
        value=by_reason[Reason.DEADLINE_EXCEEDED],
    )
    yield GaugeMetricFamily(
        "extauthz_waiting_requests",
        "Requests that wait now: for their turn, a key set, or an engine.",
        value=tally.waiting,
    )
    latency = HistogramMetricFamily(
        "extauthz_decision_seconds", "From the arrival of a call to the departure of its answer."
    )
    latency.add_metric([], _cumulated(BUCKETS_SECONDS, tally.buckets), sum_value=tally.seconds)
    yield latency
