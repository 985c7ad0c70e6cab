from extauthz.telemetry.status import CertificateStatus, FailedLoad, Listener, ServiceStatus


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


def test_a_certificate_that_could_not_be_loaded_again_is_told(status):
    """The last one is served."""
    status.certificates[Listener.ADMIN] = CertificateStatus(expires_at=1000.0)
    assert "certificate_reload" not in status.degraded
    status.certificates[Listener.ADMIN] = CertificateStatus(expires_at=1000.0, is_current=False)
    assert (status.is_ready, "certificate_reload" in status.degraded) == (True, True)


class Workers:
    """Some worker processes."""

    count = 2
    restarts = 0

    def __init__(self, serving):
        self.serving = serving


def test_missing_workers_are_told_and_none_at_all_is_not_ready(status):
    """As long as one answers, requests are decided."""
    for serving, ready, degraded in [(2, True, False), (1, True, True), (0, False, True)]:
        status.workers = Workers(serving)
        assert (status.is_ready, "workers" in status.degraded) == (ready, degraded)


def test_an_engine_that_is_left_alone_is_told(status):
    """Other requests than those that need it are decided, so the service stays ready."""
    status.engine_is_left_alone = lambda: True
    assert (status.is_ready, "engine" in status.degraded) == (True, True)
