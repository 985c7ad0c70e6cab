import pickle
from collections import Counter
from dataclasses import fields

from extauthz.model.decision import Decision, Effect, PolicyId, Reason
from extauthz.telemetry.tally import (
    BUCKETS_SECONDS,
    MAX_ROUTE_LABELS,
    NO_ROUTE,
    OTHER_ROUTES,
    DecisionCounter,
    RouteLabels,
    Tally,
)


def allowed(route):
    return Decision(Effect.ALLOW, (PolicyId("p"),), (), Reason.ALLOWED, route)


def counter(*routes):
    made = DecisionCounter()
    made.routes.name(routes)
    return made


def test_routes_beyond_the_limit_share_a_label():
    """The number of series is bounded, over reloads too; a route that has a label keeps it."""
    labels = RouteLabels()
    labels.name(f"r{number}" for number in range(MAX_ROUTE_LABELS + 5))
    labels.name(["new"])
    assert [labels["r0"], labels[f"r{MAX_ROUTE_LABELS - 1}"]] == ["r0", f"r{MAX_ROUTE_LABELS - 1}"]
    assert {labels[f"r{MAX_ROUTE_LABELS}"], labels["new"], labels["never declared"]} == {OTHER_ROUTES}
    assert labels[None] == NO_ROUTE
    assert len(labels) == MAX_ROUTE_LABELS + 2, "asking adds nothing"


def test_each_answer_is_counted_once():
    """By effect, reason and route, and by its latency, bounds included."""
    counting = counter("a")
    counting.observe(allowed("a"), BUCKETS_SECONDS[0])
    counting.observe(allowed("a"), 99.0)
    counting.observe(allowed("undeclared"), 0.02)
    tally = counting.tally
    assert tally.decisions == {("allow", "allowed", "a"): 2, ("allow", "allowed", OTHER_ROUTES): 1}
    assert [tally.buckets[0], tally.buckets[8], tally.buckets[-1], sum(tally.buckets)] == [1, 1, 1, 3]
    assert tally.seconds == BUCKETS_SECONDS[0] + 99.0 + 0.02


def test_the_counts_of_processes_add_up():
    """Every number of both."""
    ours, theirs = counter("a"), counter("a")
    for counting in (ours, theirs):
        counting.observe(allowed("a"), 0.001)
        counting.observe(allowed(None), 0.3)
        counting.tally.token_verifications, counting.tally.decision_log_drops = 3, 4
        counting.tally.token_cache_hits, counting.tally.decision_log_left_out, counting.tally.waiting = 5, 6, 7
    ours.tally.add(theirs.tally, ours.routes)
    assert ours.tally.decisions == {("allow", "allowed", "a"): 2, ("allow", "allowed", NO_ROUTE): 2}
    assert [ours.tally.buckets[4], ours.tally.buckets[-1]] == [2, 2]
    added = ours.tally
    assert (added.token_cache_hits, added.decision_log_left_out, added.waiting) == (10, 12, 14)
    assert (ours.tally.seconds, ours.tally.token_verifications, ours.tally.decision_log_drops) == (0.602, 6, 8)


def test_routes_that_another_process_named_are_labelled_anew():
    """A process that began later may have named other routes: together they stay within the limit."""
    ours, theirs = counter("a"), counter("b")
    theirs.observe(allowed("b"), 0.001)
    ours.tally.add(theirs.tally, ours.routes)
    assert ours.tally.decisions == {("allow", "allowed", OTHER_ROUTES): 1}


def test_a_tally_can_be_sent():
    """And is then equal."""
    counting = counter("a")
    counting.observe(allowed("a"), 0.001)
    assert pickle.loads(pickle.dumps(counting.tally)) == counting.tally
    assert counting.tally != Tally()


COUNTERS = {"decisions", "buckets", "engine_answers", "plugin_errors", "plugin_buckets"}


def test_no_count_is_forgotten_when_processes_are_added_up():
    """A field that `add` leaves out would show one process alone."""
    one = Tally(Counter({("allow", "allowed", NO_ROUTE): 1}), [1] * (len(BUCKETS_SECONDS) + 1))
    one.engine_answers["allowed"] = 1
    one.plugin_errors["eval_conflict_error"] = 1
    one.plugin_buckets = [1, 1]
    for name in [each.name for each in fields(Tally) if each.name not in COUNTERS]:
        setattr(one, name, 1)
    total = Tally()
    for _ in range(2):
        total.add(one, RouteLabels())
    assert total.decisions == {("allow", "allowed", NO_ROUTE): 2}
    assert total.buckets == [2] * (len(BUCKETS_SECONDS) + 1)
    assert total.engine_answers == {"allowed": 2}
    assert (total.plugin_errors, total.plugin_buckets) == ({"eval_conflict_error": 2}, [2, 2])
    assert {getattr(total, each.name) for each in fields(Tally) if each.name not in COUNTERS} == {2}
