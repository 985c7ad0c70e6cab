"""Metrics: plain numbers counted on the hot path, and turned into Prometheus families when somebody asks.

prometheus_client's own counters take a lock each; here only the event loop's thread counts, and a scrape reads what
the dictionaries hold at that moment. INVARIANT: every label value comes from the policy or from a table of ours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from extauthz.model.decision import Decision, Reason
from extauthz.telemetry.status import ServiceStatus

MAX_ROUTE_LABELS: Final = 200
OTHER_ROUTES: Final = "other"
NO_ROUTE: Final = ""

BUCKETS_SECONDS: Final = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25)
"""Upper bounds of the latency histogram: most decisions take well under a millisecond, the deadline is 150 ms."""


class ServiceMetrics(Collector):
    """Counts decisions; everything else is read from where it is known."""

    def __init__(
        self,
        status: ServiceStatus,
        *,
        clock: Callable[[], float],
        token_verifications: Callable[[], int],
        decision_log_drops: Callable[[], int],
    ) -> None:
        """Count from zero.

        Args:
            status: the service's state.
            clock: seconds since the epoch.
            token_verifications: tokens whose signature had to be verified since the start; the others were known.
            decision_log_drops: decision records lost since the start.
        """
        self._status = status
        self._clock = clock
        self._token_verifications = token_verifications
        self._decision_log_drops = decision_log_drops
        self._decisions: dict[tuple[str, str, str], int] = {}
        self._route_labels: dict[str | None, str] = {None: NO_ROUTE}
        self._buckets = [0] * (len(BUCKETS_SECONDS) + 1)
        self._seconds = 0.0
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def name_routes(self, routes: Iterable[str]) -> None:
        """Give routes labels of their own, in order, while there are any left. They are kept over reloads."""
        for route in routes:
            if len(self._route_labels) > MAX_ROUTE_LABELS:
                return
            self._route_labels.setdefault(route, route)

    def observe(self, decision: Decision, seconds: float) -> None:
        """Count one answer. The hot path."""
        key = (decision.effect, decision.reason, self._route_labels.get(decision.route, OTHER_ROUTES))
        decisions = self._decisions
        decisions[key] = decisions.get(key, 0) + 1
        self._buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        self._seconds += seconds

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return bytes(generate_latest(self._registry))

    def collect(self) -> Iterator[Metric]:
        """The families, as prometheus_client's registry asks for them."""
        yield from self._decision_families()
        yield from self._policy_families()
        yield from self._key_set_families()
        yield CounterMetricFamily(
            "extauthz_token_verifications",
            "Tokens whose signature was verified; those known already are not counted.",
            value=self._token_verifications(),
        )
        yield CounterMetricFamily(
            "extauthz_decision_log_dropped", "Decisions that were not logged.", value=self._decision_log_drops()
        )

    def _decision_families(self) -> Iterator[Metric]:
        decisions = CounterMetricFamily("extauthz_decisions", "Answers given.", labels=["effect", "reason", "route"])
        counted = self._decisions.copy()
        for (effect, reason, route), count in sorted(counted.items()):
            decisions.add_metric([str(effect), str(reason), route], count)
        yield decisions
        shed = sum(count for (_, reason, _), count in counted.items() if reason == Reason.OVERLOADED)
        yield CounterMetricFamily("extauthz_shed", "Requests refused because too many waited.", value=shed)
        latency = HistogramMetricFamily(
            "extauthz_decision_seconds", "From the arrival of a call to the departure of its answer."
        )
        cumulated, buckets = 0, []
        for bound, count in zip([*map(str, BUCKETS_SECONDS), "+Inf"], self._buckets.copy(), strict=True):
            cumulated += count
            buckets.append((bound, float(cumulated)))
        latency.add_metric([], buckets=buckets, sum_value=self._seconds)
        yield latency

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
        for provider, key_set in sorted(self._status.key_sets.items()):
            failures.add_metric([provider], key_set.failures)
            if key_set.fetched_at is not None:
                age.add_metric([provider], max(0.0, self._clock() - key_set.fetched_at))
        yield age
        yield failures
