from extauthz.telemetry.status import FailedLoad, ServiceStatus


def test_ready_is_a_policy_in_force_and_no_drain(status):
    """Nothing else: a missing key set or a failed reload take no replica out of service."""
    assert status.is_ready
    status.failed_load = FailedLoad("broken", at=600.0)
    assert status.is_ready
    status.is_draining = True
    assert not status.is_ready
    assert not ServiceStatus(read_key_sets=dict).is_ready


def test_degraded_names_what_does_not_work(status):
    """The key sets that are not current, and a reload that failed."""
    assert status.degraded == ("key_set:partner",)
    status.failed_load = FailedLoad("broken", at=600.0)
    assert status.degraded == ("policy_reload", "key_set:partner")
