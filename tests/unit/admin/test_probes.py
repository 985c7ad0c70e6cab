from extauthz.telemetry.status import FailedLoad, KeySetState, KeySetStatus


def test_alive_is_to_answer(listener):
    """Ready or not."""
    listener.status.policy = None
    reply = listener.request("GET", "/livez")
    assert (reply.status_code, reply.text) == (200, "ok\n")


def test_ready_tells_the_policy_and_the_key_sets(listener):
    """For people who read a probe."""
    reply = listener.request("GET", "/readyz")
    assert reply.status_code == 200
    assert reply.json() == {
        "ready": True,
        "draining": False,
        "policy": {"name": "test", "revision": "000000000000", "loaded_at": "2027-01-15T08:00:00.000Z"},
        "degraded": [],
        "key_sets": {"corp": {"state": "current", "fetched_at": "1970-01-01T00:15:00.000Z", "failures": 0}},
    }


def test_not_ready_before_a_policy_and_while_draining(listener):
    """503: send no requests here."""
    listener.status.is_draining = True
    assert listener.request("GET", "/readyz").status_code == 503
    listener.status.is_draining, listener.status.policy = False, None
    reply = listener.request("GET", "/readyz")
    assert (reply.status_code, reply.json()["ready"], reply.json()["policy"]) == (503, False, None)


def test_what_works_in_part_is_named_and_ready(listener):
    """Without any text of the policy: others may read a probe."""
    listener.key_sets["corp"] = KeySetStatus(KeySetState.MISSING, fetched_at=None, failures=4)
    listener.status.failed_load = FailedLoad("policy.yaml:1:1: EAZ201 'secret' is not a key here", at=600.0)
    reply = listener.request("GET", "/readyz")
    assert reply.status_code == 200
    assert reply.json()["degraded"] == ["policy_reload", "key_set:corp"]
    assert reply.json()["key_sets"]["corp"] == {"state": "missing", "fetched_at": None, "failures": 4}
    assert "secret" not in reply.text
