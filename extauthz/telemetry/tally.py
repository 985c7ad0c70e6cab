"""What one process counts: plain numbers, added up on the hot path, and added together over processes.

INVARIANT: every label comes from the policy or from a table of ours, so the number of series is bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final

from extauthz.model.decision import Decision

MAX_ROUTE_LABELS: Final = 200
OTHER_ROUTES: Final = "other"
NO_ROUTE: Final = ""

BUCKETS_SECONDS: Final = (5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25)
"""Upper bounds of the latency histogram: most decisions take well under a millisecond, the deadline is 150 ms."""


@dataclass(slots=True)
class Tally:
    """Counts since a process began."""

    decisions: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Answers by effect, reason and route label."""
    buckets: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS_SECONDS) + 1))
    """Answers by latency: each bucket's own, the last is above all bounds."""
    seconds: float = 0.0
    """The latencies' sum."""
    token_verifications: int = 0
    """Tokens whose signature had to be verified, and was right."""
    token_cache_hits: int = 0
    """Tokens about which everything was known already, that they are no good included."""
    decision_log_drops: int = 0
    """Decision records that were lost."""
    decision_log_left_out: int = 0
    """Answers that are not logged because of sampling."""
    waiting: int = 0
    """Calls that wait at this moment: for their turn, for a key set, or for an engine."""
    engine_answers: Counter[str] = field(default_factory=Counter)
    """What came of asking a remote engine, by reason."""
    engine_seconds: float = 0.0
    """That those took, all together."""
    engine_left_alone: int = 0
    """Processes that do not ask it at this moment, because it has not answered lately."""
    plugin_errors: Counter[str] = field(default_factory=Counter)
    """As a drop-in for opa-envoy-plugin: answers without a decision, by kind."""
    plugin_buckets: list[int] = field(default_factory=list)
    """Likewise: decisions by latency, in buckets that its configuration names; none where they are not wanted."""
    plugin_seconds: float = 0.0
    """Those latencies' sum."""

    def add(self, other: Tally, routes: RouteLabels) -> None:
        """Add what another process has counted; its routes are labelled anew, as it may have named others."""
        for (effect, reason, route), count in other.decisions.items():
            self.decisions[effect, reason, routes[route]] += count
        self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]
        self.seconds += other.seconds
        self.token_verifications += other.token_verifications
        self.token_cache_hits += other.token_cache_hits
        self.decision_log_drops += other.decision_log_drops
        self.decision_log_left_out += other.decision_log_left_out
        self.waiting += other.waiting
        self.engine_answers += other.engine_answers
        self.engine_seconds += other.engine_seconds
        self.engine_left_alone += other.engine_left_alone
        self.plugin_errors += other.plugin_errors
        both = zip_longest(self.plugin_buckets, other.plugin_buckets, fillvalue=0)
        self.plugin_buckets = [mine + theirs for mine, theirs in both]
        self.plugin_seconds += other.plugin_seconds


class RouteLabels(dict[str | None, str]):
    """A route's label, by its name: the routes of the policy have their own, over reloads; all others share one."""

    def __init__(self) -> None:
        super().__init__({None: NO_ROUTE, NO_ROUTE: NO_ROUTE})

    def __missing__(self, route: str | None) -> str:
        return OTHER_ROUTES

    def name(self, routes: Iterable[str]) -> None:
        """Give routes labels of their own, in order, while there are any left. They are kept over reloads."""
        for route in routes:
            if len(self) >= MAX_ROUTE_LABELS + 2:
                return
            self.setdefault(route, route)


class DecisionCounter:
    """Counts answers into `tally`. For one thread."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.routes = RouteLabels()

    def observe(self, decision: Decision, seconds: float) -> None:
        """Count one answer. The hot path."""
        tally = self.tally
        key = (decision.effect, decision.reason, self.routes[decision.route])
        decisions = tally.decisions
        decisions[key] = decisions.get(key, 0) + 1
        tally.buckets[bisect_left(BUCKETS_SECONDS, seconds)] += 1
        tally.seconds += seconds
