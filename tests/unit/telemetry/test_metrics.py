import asyncio
import types

import pytest
from prometheus_client.parser import text_string_to_metric_families

from extauthz import __version__
from extauthz.model.decision import Decision, Effect, PolicyId, Reason
from extauthz.telemetry.metrics import ServiceMetrics
from extauthz.telemetry.status import CertificateStatus, FailedLoad, Listener, ServiceStatus
from extauthz.telemetry.tally import BUCKETS_SECONDS, DecisionCounter, Tally


def allowed(route):
    return Decision(Effect.ALLOW, (PolicyId("p"),), (), Reason.ALLOWED, route)


def denied(reason, route=None):
    return Decision(Effect.DENY, (), (), reason, route)


@pytest.fixture
def counter():
    return DecisionCounter()


@pytest.fixture
def metrics(status, counter):
    return ServiceMetrics(status, clock=lambda: 1000.0, tally=lambda: counter.tally)


def samples(metrics):
    """By name and labels, as Prometheus reads them."""
    families = text_string_to_metric_families(metrics.exposition().decode())
    return {
        (sample.name, *(f"{k}={v}" for k, v in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_decisions_are_counted_by_effect_reason_and_route(metrics, counter):
    """Requests that no route owns have an empty one."""
    counter.routes.name(["order"])
    for _ in range(3):
        counter.observe(allowed("order"), 0.001)
    counter.observe(denied(Reason.NO_ROUTE), 0.001)
    read = samples(metrics)
    assert read["extauthz_decisions_total", "effect=allow", "reason=allowed", "route=order"] == 3
    assert read["extauthz_decisions_total", "effect=deny", "reason=no_route", "route="] == 1


def test_latency_is_a_cumulative_histogram(metrics, counter):
    """Bounds are inclusive, as Prometheus wants it."""
    for seconds in (BUCKETS_SECONDS[0], 0.0011, 99.0):
        counter.observe(denied(Reason.NO_ROUTE), seconds)
    read = samples(metrics)
    assert read["extauthz_decision_seconds_bucket", f"le={BUCKETS_SECONDS[0]}"] == 1
    assert read["extauthz_decision_seconds_bucket", "le=0.001"] == 1
    assert read["extauthz_decision_seconds_bucket", "le=0.0025"] == 2
    assert read["extauthz_decision_seconds_bucket", "le=+Inf"] == 3
    assert read["extauthz_decision_seconds_count",] == 3
    assert read["extauthz_decision_seconds_sum",] == pytest.approx(99.0 + 0.0011 + BUCKETS_SECONDS[0])


def test_refusals_under_overload_are_counted_by_themselves(metrics, counter):
    """Over all routes; an alert needs no regular expression."""
    counter.routes.name(["a"])
    for route in (None, "a"):
        counter.observe(denied(Reason.OVERLOADED, route), 0.1)
    counter.observe(denied(Reason.DEADLINE_EXCEEDED), 0.15)
    counter.tally.waiting = 12
    read = samples(metrics)
    assert read["extauthz_shed_total",] == 2
    assert read["extauthz_deadline_misses_total",] == 1
    assert read["extauthz_waiting_requests",] == 12


def test_what_runs_and_whether_it_is_ready_is_told(metrics, status):
    """By the same rule as the probe."""
    read = samples(metrics)
    assert read["extauthz_build_info", f"version={__version__}"] == 1
    assert read["extauthz_ready",] == 1
    status.is_draining = True
    assert samples(metrics)["extauthz_ready",] == 0


def test_the_policy_in_force_is_told(metrics, status):
    """Its name and revision, when it was loaded, and whether the files hold something else by now."""
    read = samples(metrics)
    assert read["extauthz_policy_info", "name=test", "revision=000000000000"] == 1
    assert read["extauthz_policy_loaded_timestamp_seconds",] == 500
    assert read["extauthz_policy_last_load_successful",] == 1
    status.failed_load, status.failed_loads = FailedLoad("broken", at=600.0), 2
    read = samples(metrics)
    assert read["extauthz_policy_last_load_successful",] == 0
    assert read["extauthz_policy_load_failures_total",] == 2


def test_key_sets_have_an_age_once_they_are_there(metrics):
    """And failures from the first on."""
    read = samples(metrics)
    assert read["extauthz_key_set_age_seconds", "provider=corp"] == 100
    assert ("extauthz_key_set_age_seconds", "provider=partner") not in read
    assert read["extauthz_key_set_fetch_failures_total", "provider=partner"] == 3
    assert read["extauthz_key_set_usable", "provider=corp"] == 1
    assert read["extauthz_key_set_usable", "provider=partner"] == 0


def test_what_others_count_is_read_from_them(metrics, counter):
    """The token cache and the decision log."""
    counter.tally.token_verifications, counter.tally.token_cache_hits = 5, 6
    counter.tally.decision_log_drops, counter.tally.decision_log_left_out = 7, 8
    read = samples(metrics)
    assert read["extauthz_token_verifications_total",] == 5
    assert read["extauthz_token_cache_hits_total",] == 6
    assert read["extauthz_decision_log_dropped_total",] == 7
    assert read["extauthz_decision_log_left_out_total",] == 8
    assert read["process_resident_memory_bytes",] > 0


def test_without_a_policy_there_is_nothing_loaded():
    """The families are there all the same."""
    metrics = ServiceMetrics(ServiceStatus(read_key_sets=dict), clock=lambda: 1000.0, tally=Tally)
    read = samples(metrics)
    assert read["extauthz_policy_last_load_successful",] == 0
    assert not [key for key in read if key[0] == "extauthz_policy_info"]


def test_workers_are_told_where_there_are_any(metrics, status):
    """How many there are, how many there are to be, and how many died."""
    assert not [key for key in samples(metrics) if "worker" in key[0]]
    status.workers = types.SimpleNamespace(count=3, serving=2, restarts=5)
    read = samples(metrics)
    assert read["extauthz_workers",] == 2
    assert read["extauthz_workers_wanted",] == 3
    assert read["extauthz_worker_restarts_total",] == 5


def test_the_certificate_is_told_where_there_is_one(metrics, status):
    """When it expires, and whether it is what the files hold."""
    assert not [key for key in samples(metrics) if "certificate" in key[0]]
    status.certificates[Listener.CALLS] = CertificateStatus(expires_at=2000.0, is_current=False)
    read = samples(metrics)
    assert read["extauthz_certificate_expiry_timestamp_seconds", "listener=calls"] == 2000
    assert read["extauthz_certificate_last_load_successful", "listener=calls"] == 0


def test_a_scrape_asks_other_processes_first(status):
    """What they have counted until now is in it."""
    tally = Tally()

    async def refresh():
        tally.token_verifications = 7

    metrics = ServiceMetrics(status, clock=lambda: 1000.0, tally=lambda: tally, refresh=refresh)
    assert b"extauthz_token_verifications_total 7.0" in asyncio.run(metrics.scrape())


def test_the_plugins_own_metrics(status):
    """By the names of opa-envoy-plugin, where its configuration wants them."""
    tally = Tally()
    metrics = ServiceMetrics(status, clock=lambda: 1000.0, tally=lambda: tally, plugin_bounds=(0.001, 1.0))
    assert samples(metrics)["grpc_request_duration_seconds_count", "handler=check"] == 0
    tally.plugin_buckets, tally.plugin_seconds = [2, 1, 1], 3.5
    tally.plugin_errors["request_parse_error"] += 2
    read = samples(metrics)
    name = "grpc_request_duration_seconds"
    buckets = [read[f"{name}_bucket", "handler=check", f"le={bound}"] for bound in ("0.001", "1.0", "+Inf")]
    assert buckets == [2, 3, 4]
    assert (read[f"{name}_count", "handler=check"], read[f"{name}_sum", "handler=check"]) == (4, 3.5)
    assert read["error_counter", "reason=request_parse_error"] == 2
    unwanted = ServiceMetrics(status, clock=lambda: 1000.0, tally=lambda: tally)
    assert not [key for key in samples(unwanted) if key[0].startswith((name, "error_counter"))]
